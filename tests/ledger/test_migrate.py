# ruff: noqa: S608 -- a test's own words
from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from ble_ota.errors import StorageError
from ble_ota.ledger import migrate
from ble_ota.ledger.engine import transaction
from ble_ota.ledger.migrate import SCRIPTS, bring_up
from ble_ota.ledger.runs import begin
from ble_ota.ledger.schema import REVISION, VERSION_TABLE
from ble_ota.ledger.seek import unfinished
from tests.ledger.words import engine_at, started

ONE_MORE = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "later", "{there}", None, None
def upgrade():
    op.add_column("run", sa.Column("station", sa.String(256), nullable=False, server_default=""))
    {more}
"""


def grown(tmp_path: Path, more: str = "") -> Path:
    """The scripts of a later version of the program."""
    scripts = tmp_path / "100% later"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "later_station.py").write_text(ONE_MORE.format(there=REVISION, more=more))
    return scripts


def version(engine: sa.Engine) -> object:
    with transaction(engine, reads=True) as connection:
        return connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()


def test_the_newest_script_is_the_schema_of_this_program() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == REVISION


def test_an_empty_file_becomes_a_ledger(file: Path) -> None:
    with engine_at(file) as engine:
        assert version(engine) == REVISION


def test_alembic_is_not_imported_when_there_is_nothing_to_do(file: Path) -> None:
    with engine_at(file):
        pass
    code = (
        "import sys; from pathlib import Path; from tests.ledger.words import engine_at\n"
        "with engine_at(Path(sys.argv[1])): print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_run_begun_before_an_upgrade_is_there_after_it(file: Path, tmp_path: Path) -> None:
    with engine_at(file) as engine:
        with transaction(engine, reads=False) as connection:
            begin(connection, started("run-1"), now_s=1.0)
            connection.exec_driver_sql("UPDATE run SET approved_by = 'ada', address = 'AA'")
        bring_up(engine, revision="later", scripts=grown(tmp_path))
        assert version(engine) == "later"
        with transaction(engine, reads=True) as connection:
            assert [r.id for r in unfinished(connection)] == ["run-1"]
            assert connection.exec_driver_sql("SELECT station FROM run").scalar() == ""


def test_an_upgrade_that_fails_changes_nothing(file: Path, tmp_path: Path) -> None:
    with engine_at(file) as engine:
        with pytest.raises(StorageError):
            bring_up(engine, revision="later", scripts=grown(tmp_path, 'op.execute("SELECT nothing")'))
        assert version(engine) == REVISION
        assert "station" not in [c["name"] for c in sa.inspect(engine).get_columns("run")]


def test_a_ledger_of_a_newer_version_is_refused_by_its_number(file: Path, tmp_path: Path) -> None:
    with engine_at(file) as engine:
        bring_up(engine, revision="later", scripts=grown(tmp_path))
        with pytest.raises(
            StorageError, match=rf"newer version of this program \(schema later, this one knows {REVISION}\)"
        ):
            bring_up(engine)


@pytest.mark.parametrize(
    "harm",
    ["CREATE TABLE notes (text)", f"CREATE TABLE {VERSION_TABLE} (version_num)"],
    ids=["another database", "no version"],
)
def test_a_database_that_is_no_ledger_is_refused_and_left_alone(harm: str, file: Path) -> None:
    with engine_at(file, schema=False) as engine:
        with transaction(engine, reads=False) as connection:
            connection.exec_driver_sql(harm)
        with pytest.raises(StorageError, match="is not a ledger"):
            bring_up(engine)
        assert len(sa.inspect(engine).get_table_names()) == 1


def test_threads_that_open_a_new_ledger_at_once_all_succeed(file: Path) -> None:
    together, found = Barrier(4), list[object]()

    def open_one() -> None:
        together.wait(10)
        with engine_at(file) as engine:
            found.append(version(engine))

    threads = [Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [REVISION] * 4


def test_processes_that_open_a_new_ledger_at_once_all_succeed(file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.ledger.words import engine_at\n"
        "print(flush=True); sys.stdin.readline()\n"
        "with engine_at(Path(sys.argv[1])): print('opened')"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(file)], stdin=-1, stdout=-1, stderr=-1, text=True)
        for _ in range(2)
    ]
    for process in both:  # each has imported what it needs, and waits
        assert process.stdout is not None
        process.stdout.readline()
    assert [process.communicate("\n", timeout=30) for process in both] == [("opened\n", "")] * 2


def test_another_process_that_was_quicker_is_no_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = migrate._upgrade

    def beaten(connection: sa.Connection, *rest: Any) -> None:
        """On PostgreSQL two may make the same table; the second is told so, with the first one's work done."""
        upgrade(connection, *rest)
        connection.exec_driver_sql("COMMIT")
        msg = "table run already exists"
        raise StorageError(msg)

    monkeypatch.setattr(migrate, "_upgrade", beaten)
    with engine_at(file, schema=False) as engine:
        bring_up(engine)
        assert version(engine) == REVISION

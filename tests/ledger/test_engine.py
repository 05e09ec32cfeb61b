from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, exc

from ble_ota.errors import StorageError
from ble_ota.ledger import schema
from ble_ota.ledger.engine import _use_wal, connect, storage_errors, transaction
from tests.ledger.words import engine_at

MARK = sa.insert(schema.run).values(id="a", pid=1, started_at_s=1.0, hash="")
COUNT = sa.select(sa.func.count()).select_from(schema.run)


@pytest.fixture
def engine(file: Path) -> Iterator[sa.Engine]:
    with engine_at(file) as opened:
        yield opened


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 10_000), ("fullfsync", 1)],
)
def test_every_connection_is_tuned_for_a_power_cut(pragma: str, value: object, engine: sa.Engine) -> None:
    with transaction(engine, reads=True) as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_the_driver_begins_no_transaction_of_its_own(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert connection.connection.driver_connection is not None
        assert connection.connection.driver_connection.isolation_level is None


def test_a_transaction_that_fails_leaves_nothing(engine: sa.Engine) -> None:
    def failing() -> None:
        with transaction(engine, reads=False) as connection:
            connection.execute(MARK)
            raise LookupError

    with pytest.raises(LookupError):
        failing()
    with transaction(engine, reads=True) as connection:
        assert connection.execute(COUNT).scalar() == 0


def test_making_a_table_is_part_of_the_transaction(engine: sa.Engine) -> None:
    def failing() -> None:
        with transaction(engine, reads=False) as connection:
            connection.exec_driver_sql("CREATE TABLE other (x)")
            raise LookupError

    with pytest.raises(LookupError):
        failing()
    assert "other" not in sa.inspect(engine).get_table_names()


def test_a_reader_does_not_wait_for_a_writer(file: Path, engine: sa.Engine) -> None:
    with transaction(engine, reads=False) as writing, engine_at(file, busy_s=0.0, schema=False) as other:
        writing.execute(MARK)
        with transaction(other, reads=True) as reading:
            assert reading.execute(COUNT).scalar() == 0


def test_a_writer_waits_for_another_one(file: Path, engine: sa.Engine) -> None:
    coming, done = threading.Event(), threading.Event()

    def other() -> None:
        with engine_at(file, schema=False) as opened:
            event.listen(opened, "engine_connect", lambda _c: coming.set())  # and BEGIN is next
            with transaction(opened, reads=False) as connection:
                connection.execute(MARK)
            done.set()

    thread = threading.Thread(target=other)
    with transaction(engine, reads=False) as connection:
        thread.start()
        assert coming.wait(10)
        assert connection.execute(COUNT).scalar() == 0
        assert not done.is_set()
    thread.join(10)
    assert done.is_set()


# ---------------------------------------------------------------- what goes wrong has a name


def locked(file: Path) -> None:
    with (
        engine_at(file) as engine,
        engine_at(file, busy_s=0.0, schema=False) as other,
        transaction(engine, reads=False),
        transaction(other, reads=False),
    ):
        pass


def read_only(file: Path) -> None:
    with engine_at(file), engine_at(f"sqlite:///file:{file}?mode=ro&uri=true", schema=False) as other:
        with transaction(other, reads=True) as connection:
            assert connection.execute(COUNT).scalar() == 0
        with transaction(other, reads=False) as connection:
            connection.execute(MARK)


def full(file: Path) -> None:
    with engine_at(file) as engine:

        def fill(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute("PRAGMA max_page_count = 1")  # SQLite takes it as: as large as it is, and no larger

        engine.dispose()
        event.listen(engine, "connect", fill)
        with transaction(engine, reads=False) as connection:
            connection.execute(MARK.values(name="x" * 4000, asked="y" * 4000, command="z" * 4000))


def other_file(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"\x7fELF" * 4096)
    with engine_at(file):
        pass


def overwritten(file: Path) -> None:
    with engine_at(file) as engine, transaction(engine, reads=False) as connection:
        connection.execute(MARK)
    content = file.read_bytes()
    file.write_bytes(content[:100] + b"\xa5" * (len(content) - 100))
    with engine_at(file, schema=False) as engine, transaction(engine, reads=True) as connection:
        connection.execute(COUNT)


def garbled_json(file: Path) -> None:
    with engine_at(file) as engine:
        with transaction(engine, reads=False) as connection:
            connection.execute(MARK)
            connection.exec_driver_sql("""UPDATE run SET plan = '{"id": '""")
        with transaction(engine, reads=True) as connection:
            connection.execute(sa.select(schema.run)).all()


def a_folder(file: Path) -> None:
    file.mkdir(parents=True)
    with engine_at(file):
        pass


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, 266])  # 266: SQLITE_IOERR_READ, a refinement
def test_a_failing_disk_is_named_whatever_it_failed_at(code: int) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    with pytest.raises(StorageError, match="cannot be read or written"), storage_errors(sa.make_url("sqlite:///x")):
        raise exc.OperationalError("", None, error)


def test_an_error_without_a_name_tells_the_words_of_the_driver_bounded() -> None:
    url = sa.make_url("postgresql://ada:hunter2@db.example/ledger")
    with pytest.raises(StorageError) as found, storage_errors(url):
        raise exc.OperationalError("", None, RuntimeError("no\x1b[31m route" + "." * 1000))
    assert str(found.value).startswith(
        "the ledger postgresql at db.example does not do what it should: no[31m route..."
    )
    assert len(str(found.value)) < 400
    assert "hunter2" not in str(found.value)


def test_values_stay_out_of_the_words_of_an_error(engine: sa.Engine) -> None:
    with pytest.raises(StorageError) as found, transaction(engine, reads=False) as connection:
        connection.execute(MARK.values(settings={"a": "hunter2"}, hash=None))
    assert "hunter2" not in f"{found.value} {found.value.__cause__}"


def test_a_bug_stays_a_bug(engine: sa.Engine) -> None:
    with pytest.raises(KeyError), transaction(engine, reads=True):
        raise KeyError


@pytest.mark.parametrize("url", ["nosuch://db/ledger", "postgresql+nosuch://db/ledger"])
def test_a_database_without_a_driver_is_a_named_error(url: str) -> None:
    def opened() -> None:
        with transaction(connect(sa.make_url(url), busy_s=0.0), reads=True):
            pass

    with pytest.raises(StorageError):
        opened()


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (locked, "is locked by another process"),
        (read_only, "can only be read"),
        (full, "cannot be written: the disk is full"),
        (other_file, "is not a ledger"),
        (overwritten, "is damaged"),
        (garbled_json, "is damaged"),
        (a_folder, "cannot be opened"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_what_goes_wrong_with_the_file_is_one_sentence(
    harm: Callable[[Path], object], sentence: str, file: Path
) -> None:
    with pytest.raises(StorageError) as found:
        harm(file)
    assert str(found.value).removeprefix("the ledger ").removeprefix("file:") == f"{file} {sentence}"
    assert found.value.hint


class Contended(sqlite3.Connection):
    """A connection that is told, so many times, that another one switches the file to WAL just now."""

    code = sqlite3.SQLITE_BUSY
    times = 2

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if sql == "PRAGMA journal_mode = WAL" and self.times > 0:
            self.times -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.code
            raise error
        return super().execute(sql, parameters)


@pytest.fixture
def contended(tmp_path: Path) -> Iterator[Contended]:
    connection = sqlite3.connect(tmp_path / "new.db", factory=Contended)
    yield connection
    connection.close()


def test_a_new_file_that_another_process_switches_too_is_waited_for(contended: Contended) -> None:
    _use_wal(contended, 10.0)
    assert contended.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_new_file_that_never_becomes_free_is_given_up_on(contended: Contended) -> None:
    contended.times = 1_000_000
    with pytest.raises(sqlite3.OperationalError, match="is locked"):
        _use_wal(contended, 0.05)


def test_another_error_of_the_switch_is_not_tried_again(contended: Contended) -> None:
    contended.code = sqlite3.SQLITE_READONLY
    with pytest.raises(sqlite3.OperationalError):
        _use_wal(contended, 10.0)
    assert contended.times == 1

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from ble_ota.ledger.engine import transaction
from ble_ota.ledger.migrate import SCRIPTS, _upgrade
from ble_ota.ledger.migrations.versions import r0001_runs
from ble_ota.ledger.schema import REVISION, VERSION_TABLE, metadata
from tests.ledger.words import engine_at


def differences(connection: sa.Connection) -> list[object]:
    options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def columns(connection: sa.Connection) -> dict[str, object]:
    """What SQLite itself says of every column: name, type, nullable, place in the primary key."""
    return {
        name: sorted(row[1:] for row in connection.exec_driver_sql(f"PRAGMA table_info({name})"))
        for name in (*metadata.tables, VERSION_TABLE)
    }


@pytest.fixture
def migrated(file: Path) -> Iterator[sa.Connection]:
    """A database that went through every migration."""
    with engine_at(file.with_name("migrated.db"), schema=False) as engine, transaction(engine, reads=False) as begun:
        _upgrade(begun, REVISION, SCRIPTS)
        yield begun


def test_the_migrations_give_the_schema_of_the_program(migrated: sa.Connection) -> None:
    assert differences(migrated) == []


def test_a_new_ledger_is_what_the_migrations_make(file: Path, migrated: sa.Connection) -> None:
    with engine_at(file) as made, made.connect() as new:
        assert columns(new) == columns(migrated)


def test_a_column_that_is_missing_would_be_seen(migrated: sa.Connection) -> None:
    migrated.exec_driver_sql("ALTER TABLE run DROP COLUMN fingerprint")
    assert len(differences(migrated)) == 1


def test_every_statement_compiles_for_postgresql() -> None:
    out = io.StringIO()
    offline = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": out})
    with Operations.context(offline):
        r0001_runs.upgrade()
    assert [out.getvalue().count(f"CREATE TABLE {name} (") for name in ("run", "event", "mark", "report")] == [1] * 4

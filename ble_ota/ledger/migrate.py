"""Brings a stored schema up to this program's. alembic is imported only when an older one is there.

A new ledger is made from the metadata and marked as what the migrations would have made; a test compares the two.
"""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa

from ble_ota.errors import StorageError
from ble_ota.ledger import audit_log
from ble_ota.ledger.engine import NOT_A_LEDGER, refused, transaction
from ble_ota.ledger.schema import REVISION, VERSION_TABLE, metadata

SCRIPTS = Path(__file__).parent / "migrations"
_one_at_a_time = threading.Lock()  # alembic's `op` and `context` belong to the whole process


def bring_up(engine: sa.Engine, *, revision: str = REVISION, scripts: Path = SCRIPTS) -> None:
    """Make the schema that of `revision`, in one transaction; several processes may do so at once.

    Raises:
        StorageError: It is no ledger, of a newer version, or cannot be changed.
    """
    there = _stored(engine)
    if there == revision:
        return
    try:
        with _one_at_a_time, transaction(engine, reads=False) as connection:
            if there is None and revision == REVISION and not sa.inspect(connection).get_table_names():
                _make(connection)
            else:
                _upgrade(connection, revision, scripts)
    except StorageError:
        if _stored(engine) != revision:  # else another process was quicker, where making a table does not wait
            raise


def _stored(engine: sa.Engine) -> str | None:
    """The revision that is there; None for an empty database."""
    with transaction(engine, reads=True) as connection:
        tables = sa.inspect(connection).get_table_names()
        if not tables:
            return None
        if VERSION_TABLE not in tables:
            raise refused(engine.url, *NOT_A_LEDGER)
        found = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    if found is None:
        raise refused(engine.url, *NOT_A_LEDGER)
    return str(found)


def _make(connection: sa.Connection) -> None:
    metadata.create_all(connection)
    version = sa.Table(VERSION_TABLE, sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
    version.create(connection)  # as alembic makes it
    connection.execute(sa.insert(version).values(version_num=REVISION))
    audit_log.found(connection)


def _upgrade(connection: sa.Connection, revision: str, scripts: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))  # the option is a format
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    there = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if there is not None and there not in known:
        raise refused(
            connection.engine.url,
            f"was written by a newer version of this program (schema {there}, this one knows {revision})",
            "Update ble-ota, or move the file away",
        )
    command.upgrade(config, revision)

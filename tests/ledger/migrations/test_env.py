from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from ble_ota.ledger.engine import transaction
from ble_ota.ledger.migrate import SCRIPTS, _upgrade
from ble_ota.ledger.schema import REVISION
from tests.ledger.words import engine_at


def test_the_migrations_belong_to_the_transaction_they_are_run_in(file: Path) -> None:
    with engine_at(file, schema=False) as engine:
        with engine.connect() as connection, connection.begin() as begun:
            _upgrade(connection, REVISION, SCRIPTS)
            begun.rollback()
        assert sa.inspect(engine).get_table_names() == []


def test_a_second_run_finds_nothing_to_do(file: Path) -> None:
    with engine_at(file) as engine, transaction(engine, reads=False) as connection:
        _upgrade(connection, REVISION, SCRIPTS)

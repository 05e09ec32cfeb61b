from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ble_ota.ledger import Ledger
from tests.ledger.words import Clock, engine_at


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(file: Path, clock: Clock) -> AsyncIterator[Ledger]:
    async with await Ledger.open(file, now=clock) as opened:
        yield opened


@pytest.fixture
def connection(file: Path) -> Iterator[sa.Connection]:
    """A connection inside a transaction that is never committed."""
    with engine_at(file) as engine, engine.connect() as opened:
        yield opened

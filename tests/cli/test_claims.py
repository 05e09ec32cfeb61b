from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from ble_ota.virtual.peripherals.quecthing import Habits
from tests.cli.desk import Desk, started
from tests.cli.left import FORGETS, at, rows, until


@asynccontextmanager
async def at_work(desk: Desk) -> AsyncGenerator[tuple[int, str], None]:
    """A run in a process of its own, in the middle of its transfer; gives process and run."""
    desk.behaves(Habits(silent_after=1000))
    process = await started("update", desk.name, "--yes", "--json")
    line = await until(process, at("transfer.progress", bytes=1000))
    try:
        yield process.pid, line["run"]
    finally:
        process.kill()
        await process.communicate()


async def test_two_state_folders_on_one_ledger_exclude_each_other(desk: Desk, tmp_path: Path) -> None:
    desk.set(ledger=f"sqlite:///{tmp_path / 'shared.db'}")
    async with at_work(desk) as (process, run):
        desk.set(state_dir=tmp_path / "other-state")
        assert await desk.update() == 12
        assert f"process {process} " in desk.told().last["message"]
        assert {r.id: r.open for r in await rows()}[run]
    desk.behaves(FORGETS)
    assert await desk.update() == 0
    assert [(r.ending and r.ending.reason) for r in await rows()] == ["verified", "device_busy", "killed"]

"""What an earlier run leaves behind, and the ledger it stands in."""

from __future__ import annotations

import json
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli.journal import place_of
from ble_ota.ledger import Entry, Ledger, Report, RunRow
from ble_ota.settings import Settings, load
from ble_ota.virtual.developer_center import Faults
from ble_ota.virtual.peripherals.quecthing import Habits, Pause
from ble_ota.virtual.world import WorldFile
from tests.cli.desk import Desk, Told, started

KEEPS = Habits(keeps_session_over_disconnect=True, keeps_session_over_power=True, page_bytes=100)
FORGETS = Habits(stray_packet="declines")  # and says so at once


def settings() -> Settings:
    """What the environment says, as for any command."""
    return load()


async def rows(*, of: str = "") -> list[RunRow]:
    """The runs of the ledger, newest first."""
    async with await Ledger.open(place_of(settings())) as ledger:
        return await ledger.runs(of=of)


async def events(run: str) -> list[Entry]:
    async with await Ledger.open(place_of(settings())) as ledger:
        return await ledger.events(run)


async def reports() -> list[Report]:
    """The reports of the ledger, oldest first."""
    async with await Ledger.open(place_of(settings())) as ledger:
        return (await ledger.reports())[::-1]


def reported(desk: Desk) -> list[int]:
    """What the Developer Center was told, in order."""
    return [r["reportStatus"] for r in desk.records("status.reported")]


async def given_up(desk: Desk, **more: Any) -> Told:
    """An update that was agreed to and confirmed, and got no firmware: the quickest way to leave something."""
    desk.center.faults = Faults(status=404, only="/oss/")
    assert await desk.update(**more) == 20
    desk.center.faults = Faults()
    return desk.told()


async def interrupted(desk: Desk, at: int = 1000, **more: Any) -> Told:
    """An update whose device pauses for ever at half; it is mended afterwards."""
    desk.behaves(replace(FORGETS, pauses=(Pause(at=at, delay_s=1, lasts_s=None),)))
    assert await desk.update(**more) == 31
    desk.behaves(FORGETS)
    return desk.told()


async def killed(desk: Desk, at: Callable[[dict[str, Any]], bool], habits: Habits = KEEPS) -> str:
    """An update in a process of its own, killed at an event; its run. The device keeps its habits."""
    desk.behaves(habits)
    process = await started("update", desk.name, "--yes", "--json")
    line = await until(process, at)
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    return str(line["run"])


async def until(process: Process, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Read lines of the process up to the one that is wanted."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if wanted(event := json.loads(line)):
            return dict(event)
    raise AssertionError


def at(name: str, **fields: int) -> Callable[[dict[str, Any]], bool]:
    """The event of this name, with at least so much in its fields."""
    return lambda e: e["event"] == name and all(e[field] >= least for field, least in fields.items())


def upon(monkeypatch: pytest.MonkeyPatch, word: str, act: Callable[[], None]) -> None:
    """Do `act` at the moment when a line with `word` is told."""
    write = sys.stdout.write

    def watched(text: str) -> int:
        if word in text:
            act()
        return write(text)

    monkeypatch.setattr(sys.stdout, "write", watched)


def edit(path: Path) -> None:
    """Change the first byte of a file in place."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(bytes([path.read_bytes()[0] ^ 1]))


def new_firmware(desk: Desk, version: str, content: bytes = b"newer" * 100) -> None:
    """Somebody publishes another version: the plan changes."""
    name = f"{version}.bin"
    (desk.world.folder / "firmware" / name).write_bytes(content)
    file = WorldFile(name, len(content), sha256(content).hexdigest())
    component = replace(desk.world.components[0], target=version, files=(file,))
    object.__setattr__(desk.world, "components", (component, *desk.world.components[1:]))
    desk.world.save()


def result(desk: Desk) -> Any:
    """The data of the one line that a command gave, and nothing else on stdout."""
    (line,) = [json.loads(text) for text in desk.capsys.readouterr().out.splitlines()]
    assert line["event"] == "result"
    return line["data"]

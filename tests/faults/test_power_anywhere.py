"""Count the flash operations of a good update, then take the device's power away at each one, on each kind of device.

It always boots something that was whole, and the same command brings it home.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from ble_ota.errors import BleOtaError
from ble_ota.install import Patience
from ble_ota.virtual.peripherals.quecthing import Habits, PowerCutError
from ble_ota.virtual.world import World
from tests.bench import Bench, content, images, planned

pytestmark = pytest.mark.looptime

OFF_S = 2.0
KINDS = {
    "forgets": Habits(),
    "keeps over power": Habits(keeps_session_over_disconnect=True, keeps_session_over_power=True, page_bytes=512),
    "reboots unasked": Habits(reboots_without_ack=True),
}
PATIENCE = Patience(reboot_s=30)


class Power:
    """Fails once, at the flash operation with this number, and comes back after `OFF_S`."""

    def __init__(self, on: Bench, at: int | None) -> None:
        self.on = on
        self.at = at
        self.operations = 0
        self.failed = False
        on.device.flash.on_operation = self.operation

    def operation(self, _words: str) -> None:
        self.operations += 1
        if self.operations - 1 == self.at:
            self.at, self.failed = None, True
            asyncio.get_running_loop().call_later(OFF_S, self.on.air.add, self.on.device)
            raise PowerCutError


async def one_run(folder: Path, habits: Habits, patience: Patience, *, at: int | None) -> tuple[Bench, Power, str]:
    """One whole run over the world in `folder`; gives how it ended."""
    on = Bench(World.create(folder, packages={"MAIN": (bytes(range(250)) * 4, b"the second file" * 30)}), habits)
    power = Power(on, at)
    try:
        installer = await on.installer(patience)
        if installer.device.running(planned(on.world)) == "1.1.0":
            return on, power, "nothing to do"
        installed = await installer.install(planned(on.world), images(on.world))
    except BleOtaError as error:
        return on, power, error.reason
    return on, power, installed.version


async def operations(folder: Path, habits: Habits) -> int:
    _, good, ended = await one_run(folder, habits, PATIENCE, at=None)
    assert ended == "1.1.0"
    return good.operations


def boots_something_whole(on: Bench) -> bool:
    """Whether it runs what it was born with, or the new image, and nothing in between."""
    return {"1.0.0": b"", "1.1.0": content(on.world)}[on.device.version("MAIN")] == on.device.running("MAIN")


@pytest.mark.parametrize("kind", KINDS)
async def test_one_run_brings_it_home(tmp_path: Path, kind: str) -> None:
    for k in range(await operations(tmp_path / "good", KINDS[kind])):
        on, power, ended = await one_run(tmp_path / str(k), KINDS[kind], PATIENCE, at=k)
        where = f"power failed at flash operation {k}"
        assert power.failed, where
        assert ended == "1.1.0", where
        assert on.device.running("MAIN") == content(on.world), where


@pytest.mark.parametrize("kind", KINDS)
async def test_it_always_boots_and_a_second_run_brings_it_home(tmp_path: Path, kind: str) -> None:
    failed = 0
    for k in range(await operations(tmp_path / "good", KINDS[kind])):
        on, _, first = await one_run(tmp_path / str(k), KINDS[kind], replace(PATIENCE, links=1), at=k)
        failed += first != "1.1.0"
        await asyncio.sleep(OFF_S + KINDS[kind].boot_s)  # its power is back
        where = f"power failed at flash operation {k}: {first}"
        assert boots_something_whole(on), where
        again, _, second = await one_run(tmp_path / str(k), KINDS[kind], PATIENCE, at=None)
        assert second in ("1.1.0", "nothing to do"), f"{where}, then {second}"
        assert again.device.running("MAIN") == content(again.world), where
    assert failed > 5

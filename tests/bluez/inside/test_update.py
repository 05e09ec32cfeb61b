"""Whole updates of 32 kB over QuecThing by `ble-ota flash`, each with a misfortune: PASS, and the flash is the file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ble_ota.virtual.strikes import Strike
from tests.bluez.inside.bluez import ADAPTERS, Machine
from tests.bluez.inside.program import RUN_S, SIZE_BYTES, TARGET, Ended, Product, Program

HALF = SIZE_BYTES // 2
NEVER = Strike("link", 10 * SIZE_BYTES)
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("mended")]


def passed(ended: Ended, product: Product) -> bool:
    """Whether the run says PASS, and rightly."""
    return (ended.code, ended.lines[-1].get("verdict")) == (0, "PASS") and product.runs == (TARGET, product.firmware)


async def test_a_link_cut_in_the_middle_is_carried_on(bluez: Machine, tmp_path: Path) -> None:
    product = Product(tmp_path, Strike("link", HALF), keeps_session_over_disconnect=True)
    async with bluez.around(product.device):
        ended = await product.flash(Program(tmp_path))
    assert passed(ended, product)
    assert product.device.strike is None  # it did fall
    assert product.device.stats.bytes < SIZE_BYTES + HALF  # and what was there was not sent again


@pytest.mark.parametrize("harm", ["adapter off", "bluetoothd killed"])
async def test_the_systems_bluetooth_goes_and_comes_back(bluez: Machine, tmp_path: Path, harm: str) -> None:
    product, program = Product(tmp_path, NEVER, keeps_session_over_disconnect=True), Program(tmp_path)
    async with bluez.around(product.device), asyncio.TaskGroup() as tasks:
        flashing = tasks.create_task(product.flash(program))
        async with asyncio.timeout(RUN_S):
            while product.device.stats.bytes < HALF:
                await program.lines.get()
        if harm == "adapter off":
            for name in ADAPTERS:
                await bluez.power(name, on=False)
        else:
            await bluez.kill()
        await bluez.mend()
    assert passed(flashing.result(), product)

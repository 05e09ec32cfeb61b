"""What else a user runs over BlueZ: `scan`, and `doctor` when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.cli.doctor_bluetooth import bluetooth
from ble_ota.cli.doctor_system import RealSystem
from ble_ota.virtual.strikes import Strike
from tests.bluez.inside.bluez import ADAPTERS, Machine
from tests.bluez.inside.program import Product, Program

NEVER = Strike("link", 1_000_000)
pytestmark = pytest.mark.usefixtures("mended")


async def test_scan_tells_the_keys_of_a_device(bluez: Machine, tmp_path: Path) -> None:
    product = Product(tmp_path, NEVER)
    async with bluez.around(product.device):
        ended = await Program(tmp_path).run("scan", "--timeout", "8")
    assert ended.code == 0
    assert product.made.device_key in ended.words + str(ended.lines)


async def test_scan_without_an_adapter_ends_with_its_own_code(bluez: Machine, tmp_path: Path) -> None:
    for name in ADAPTERS:
        await bluez.power(name, on=False)
    assert (await Program(tmp_path).run("scan", "--timeout", "8")).code == 34


async def test_doctor_finds_nothing_wrong_where_nothing_is(bluez: Machine, tmp_path: Path) -> None:
    ended = await Program(tmp_path).run("doctor")
    said = [finding for finding in ended.lines[-1]["data"] if finding["what"].startswith("blue")]
    assert said
    assert [line for line in said if not line["ok"]] == []


async def test_doctor_names_an_adapter_that_is_off(bluez: Machine) -> None:
    for name in ADAPTERS:
        await bluez.power(name, on=False)
    assert "is off" in str((await bluetooth(RealSystem()))[0])


async def test_doctor_names_a_bluetoothd_that_does_not_run(bluez: Machine) -> None:
    await bluez.kill()
    assert "bluetoothd does not run" in str((await bluetooth(RealSystem()))[0])

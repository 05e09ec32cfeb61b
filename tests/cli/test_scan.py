from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.scan import scan
from ble_ota.settings import isolated
from ble_ota.virtual.world import World
from tests.cli.desk import told

pytestmark = pytest.mark.looptime


async def test_devices_near_are_told_with_their_keys(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert await scan(Common("scan", json=True), isolated(radio=f"virtual:{world.folder}"), 1) == 0
    (near,) = told(*capsys.readouterr()).last["data"]
    made = world.devices[0]
    assert (near["address"], near["name"], near["protocol"]) == (made.address, made.name, "quecthing")
    assert (near["product_key"], near["device_key"]) == (world.product_key, made.device_key)


async def test_the_table_is_aligned(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    await scan(Common("scan"), isolated(radio=f"virtual:{world.folder}"), 1)
    head, row = capsys.readouterr().out.splitlines()
    assert head.index("PROTOCOL") == row.index("quecthing")
    assert row.endswith(f"{world.product_key}/{world.devices[0].device_key}")


async def test_nobody_near_is_exit_30(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    World(tmp_path, "p", (), ()).save()
    assert await scan(Common("scan"), isolated(radio=f"virtual:{tmp_path}"), 1) == 30
    assert capsys.readouterr().out == "No device whose protocol is known was heard\n"

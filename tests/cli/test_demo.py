from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.demo import demo, settings_of
from ble_ota.virtual.world import World
from tests.cli.desk import told

pytestmark = pytest.mark.looptime


async def test_one_device_is_updated(capsys: pytest.CaptureFixture[str]) -> None:
    assert await demo(Common("demo", json=True), size=1000, devices=1) == 0
    assert told(*capsys.readouterr()).last["verdict"] == "PASS"


async def test_each_of_several_devices_has_a_run_and_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert await demo(Common("demo", json=True), size=500, devices=2) == 0
    ends = [line for line in told(*capsys.readouterr()).lines if line["event"] == "run.finished"]
    assert [e["verdict"] for e in ends] == ["PASS", "PASS"]
    assert len({e["run"] for e in ends}) == 2


async def test_one_of_several_that_fails_does_not_stop_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create = World.create

    def with_a_grumpy_one(folder: Path, *, devices: int, size_bytes: int) -> World:
        world = create(folder, devices=devices, size_bytes=size_bytes)
        (world.home(world.devices[0]) / "habits.json").write_text('{"declines": true}')
        return world

    monkeypatch.setattr(World, "create", with_a_grumpy_one)
    assert await demo(Common("demo", json=True), size=500, devices=2) == 40
    ends = [line for line in told(*capsys.readouterr()).lines if line["event"] == "run.finished"]
    assert [(e["verdict"], e["exit_code"]) for e in ends] == [("FAIL", 32), ("PASS", 0)]


async def test_nothing_of_the_users_is_touched(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    await demo(Common("demo", quiet=True), size=500, devices=1)
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "state").exists()


def test_settings_of_the_user_are_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLE_OTA_LINKS", "99")
    assert settings_of(world, "http://127.0.0.1:1").links == 3

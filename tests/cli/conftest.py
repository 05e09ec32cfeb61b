"""The desk, and an environment that says nothing of this machine's."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from ble_ota.virtual.developer_center import DeveloperCenter, serve
from ble_ota.virtual.world import World
from tests.cli.desk import Desk


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("BLE_OTA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("BLE_OTA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("BLE_OTA_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BLE_OTA_KEYRING", "false")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.create(tmp_path / "world", size_bytes=2000)


@pytest.fixture
async def desk(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Desk, None]:
    center = DeveloperCenter(world)
    async with serve(center) as url:
        desk = Desk(world, center, url, capsys, monkeypatch)
        desk.set(cloud=url, radio=f"virtual:{world.folder}", user_domain=world.user.user_domain)
        desk.set(user_domain_secret=world.user.user_domain_secret, email=world.user.email)
        desk.set(password=world.user.password, scan_s=5, reboot_s=2, links=1)
        desk.set(report_status__succeeded=9, report_status__failed=8)
        yield desk

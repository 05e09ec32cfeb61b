"""Five hundred devices in one file: planned, confirmed and watched in batches, with few calls in flight."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from ble_ota.cli.virtual import environment
from ble_ota.virtual.developer_center import DeveloperCenter, Faults, Habits, OnlineTerms, serve
from ble_ota.virtual.world import World
from tests.journeys.processes import run

DEVICES, BATCH, AT_ONCE = 500, 50, 3
LASTS_S = 0.005  # each call, so that they can meet


class Counting(DeveloperCenter):
    """Counts the calls by name, and how many are under way."""

    def __init__(self, world: World) -> None:
        super().__init__(world, online=OnlineTerms({"*": Habits(download_s=0.5, upgrade_s=0.5)}))
        self.names: list[str] = []
        self.under_way = 0
        self.most = 0

    @property
    def app(self) -> ASGIApp:
        inner = super().app

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            self.names.append(scope["path"].rsplit("/", 1)[-1])
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                await asyncio.sleep(LASTS_S)
                await inner(scope, receive, send)
            finally:
                self.under_way -= 1

        return counted


@pytest.fixture
def file_of(tmp_path: Path) -> tuple[World, Path]:
    world = World.create(tmp_path / "world", online=DEVICES, size_bytes=1000)
    listed = tmp_path / "devices.csv"
    lines = (f"{world.online_product},{device.device_key}" for device in world.online)
    listed.write_text("# product,device\n" + "\n".join(lines) + "\n")
    return world, listed


@pytest.mark.timeout(240)  # whole processes, and five hundred devices
async def test_five_hundred_devices_are_planned_confirmed_and_watched(
    file_of: tuple[World, Path], tmp_path: Path
) -> None:
    world, listed = file_of
    center = Counting(world)
    async with serve(center) as url:
        env = environment(world, url) | {
            "BLE_OTA_BATCH": str(BATCH),
            "BLE_OTA_CALLS_AT_ONCE": str(AT_ONCE),
            "BLE_OTA_CALLS_PER_S": "1000",
            "BLE_OTA_POLL_S": "0.3",
        }
        named = ("--file", str(listed))
        planned = await run(tmp_path, "mqtt", "plan", *named, **env)
        assert (planned.code, len(planned.data["devices"])) == (0, DEVICES), planned.err
        center.faults = Faults(only="userBatchConfirmUpgrade", lost_answer=True, spares=2, times=1)
        center.names.clear()
        confirmed = await run(tmp_path, "mqtt", "confirm", *named, "--yes", **env)
        assert (confirmed.code, confirmed.data["taken"]) == (0, DEVICES), confirmed.err
        assert center.names.count("userBatchConfirmUpgrade") == DEVICES / BATCH  # none of them twice
        watched = await run(tmp_path, "mqtt", "watch", *named, **env)
        assert (watched.code, watched.data["succeeded"]) == (0, DEVICES), watched.err
    assert center.most == AT_ONCE
    orders = [record for record in center.records() if record["what"] == "order.given"]
    assert len({record["deviceKey"] for record in orders}) == len(orders) == DEVICES

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import pytest

from ble_ota.virtual.peripherals import QuecThing
from ble_ota.virtual.peripherals.quecthing.body import Body, Stats
from ble_ota.virtual.world import World
from tests.virtual.peripherals.quecthing.bench import bench, frame


def thing(folder: Path) -> QuecThing:
    world = World.create(folder)
    return QuecThing(world, world.devices[0])


def test_counting_begins_at_nothing() -> None:
    assert not any(astuple(Stats()))


@pytest.mark.looptime
async def test_each_device_counts_for_itself(tmp_path: Path) -> None:
    first, second = bench(tmp_path / "1"), bench(tmp_path / "2")
    first.thing.written("00009c40-0000-1000-8000-00805f9b34fb", frame(0x7040))
    assert (first.thing.stats.frames_good, second.thing.stats.frames_good) == (1, 0)


def test_a_device_is_a_body(tmp_path: Path) -> None:
    body: Body = thing(tmp_path)
    assert body.boot.staged == ()

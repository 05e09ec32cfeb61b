from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ble_ota.cli.replay import Host
from ble_ota.errors import DeviceSilentError
from ble_ota.events import Event, TransferProgress
from ble_ota.install import Patience
from ble_ota.virtual import fixtures
from ble_ota.virtual.air import Air
from ble_ota.virtual.fixtures import (  # noqa: F401 -- by name, as a conftest's `pytest_plugins` would bring them
    VirtualCenter,
    replay_of,
    virtual_air,
    virtual_center,
    virtual_device,
    virtual_radio,
    virtual_world,
)
from ble_ota.virtual.peripherals.quecthing import Habits, QuecThing
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.replayed import Replayed
from ble_ota.virtual.world import World
from tests.bench import bench
from tests.taped import taped

# The parameters below are the fixtures above, hence the suppressed F811.


def test_the_world_lies_in_the_folder_of_the_test(virtual_world: World, tmp_path: Path) -> None:  # noqa: F811
    assert virtual_world.folder.is_relative_to(tmp_path)


def test_the_world_has_a_device(virtual_world: World) -> None:  # noqa: F811
    assert len(virtual_world.devices) == 1


@pytest.mark.looptime
async def test_the_radio_finds_the_device(virtual_radio: VirtualRadio, virtual_device: QuecThing) -> None:  # noqa: F811
    assert {a.address async for a in virtual_radio.scan(within_s=1)} == {virtual_device.address}


@pytest.mark.looptime
async def test_the_radio_connects_the_device(virtual_radio: VirtualRadio, virtual_device: QuecThing) -> None:  # noqa: F811
    async with virtual_radio.connect(virtual_device.address, within_s=1) as link:
        assert link.facts.address == virtual_device.address


@pytest.mark.looptime
async def test_without_the_device_the_air_is_empty(virtual_air: Air) -> None:  # noqa: F811
    assert list(virtual_air.adverts()) == []


@pytest.mark.looptime
async def test_the_device_is_the_first_of_the_world(virtual_world: World, virtual_device: QuecThing) -> None:  # noqa: F811
    assert virtual_device.address == virtual_world.devices[0].address


async def test_the_center_answers_at_its_address(virtual_center: VirtualCenter) -> None:  # noqa: F811
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{virtual_center.url}/v2/enduser/enduserapi/userInfo")
    assert answer.json()["code"] != 200  # nobody has logged in


async def test_the_center_is_the_one_of_the_world(virtual_center: VirtualCenter, virtual_world: World) -> None:  # noqa: F811
    virtual_center.center.records()
    assert (virtual_world.folder / "cloud").is_dir()


def test_every_fixture_says_what_it_is() -> None:
    for name in fixtures.__all__:
        assert getattr(fixtures, name).__doc__, name


@pytest.mark.looptime
async def test_a_failure_of_the_field_becomes_a_test(
    tmp_path: Path,
    replay_of: Callable[[Path], Replayed],  # noqa: F811
) -> None:
    """The device of a recorded run, and today's code: what one writes for a transcript that somebody sent."""
    file = tmp_path / "silent.jsonl"
    file.write_text((await taped(bench(tmp_path, Habits(silent_after=1000)), Patience(links=2))).text, "ascii")

    on, events = replay_of(file), list[Event]()
    with pytest.raises(DeviceSilentError):
        await Host.of(on).play(events.append)
    assert on.device.divergence() is None
    assert max(e.bytes for e in events if isinstance(e, TransferProgress)) == 1000

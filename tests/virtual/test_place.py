from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from bumble.device import Device

from ble_ota.gatt import bumble_backend
from ble_ota.link import Advert, uuid16
from ble_ota.virtual.peripherals.quecthing import Habits, Pause
from ble_ota.virtual.place import HOST_ADDRESS, QUICK, habits_of, peripheral_of, place
from ble_ota.virtual.strikes import Strike, Struck
from ble_ota.virtual.world import World, WorldError

PROMPT_S = 5.0  # what takes milliseconds, on a machine that is busy
PROTOCOL = uuid16(0x9C40)


async def seen(host: Device, count: int) -> dict[str, Advert]:
    """The first `count` devices that tell their maker's data, by address."""
    found: dict[str, Advert] = {}
    async with asyncio.timeout(PROMPT_S), bumble_backend.radio(host, "under test") as radio:
        async for advert in radio.scan(within_s=PROMPT_S):
            if advert.manufacturer:
                found[advert.address] = advert
            if len(found) == count:
                break
    return found


async def test_every_device_of_the_world_is_on_the_air(tmp_path: Path) -> None:
    world = World.create(tmp_path, devices=2)
    async with place(world) as host:
        found = await seen(host, 2)
    assert {(a.address, a.name) for a in found.values()} == {(d.address, d.name) for d in world.devices}


async def test_habits_are_those_of_the_devices(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    async with place(world, Habits(advert_format="2022")) as host:
        (advert,) = (await seen(host, 1)).values()
    assert set(advert.manufacturer) == {0xDEC0}  # the first two bytes of C0:DE:…, as a company would stand


async def test_a_device_of_the_place_has_its_table(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    address = world.devices[0].address
    async with (
        place(world) as host,
        bumble_backend.radio(host, "under test") as radio,
        radio.connect(address, within_s=PROMPT_S) as link,
    ):
        assert link.facts.find(PROTOCOL) is not None


async def test_the_host_has_an_address_that_no_device_can_have(tmp_path: Path) -> None:
    async with place(World.create(tmp_path / "small")) as host:
        assert str(host.random_address).startswith(HOST_ADDRESS)
    assert HOST_ADDRESS not in {d.address for d in World.create(tmp_path / "large", devices=99).devices}


# ---------------------------------------------------------------- habits


def said(world: World, text: str) -> Habits:
    """What `habits_of` makes of a file with this text."""
    device = world.devices[0]
    (world.home(device) / "habits.json").write_text(text, "utf-8")
    return habits_of(world, device)


def test_a_device_without_a_file_is_quick(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    assert habits_of(world, world.devices[0]) == QUICK


def test_a_file_says_what_differs(tmp_path: Path) -> None:
    assert said(World.create(tmp_path), '{"chunk_bytes": 99}') == replace(QUICK, chunk_bytes=99)


def test_pauses_are_pauses(tmp_path: Path) -> None:
    assert said(World.create(tmp_path), '{"pauses": [{"at": 7}]}').pauses == (Pause(at=7),)


@pytest.mark.parametrize("text", ["", "[]", '{"nothing_like_it": 1}', '{"pauses": [{}]}', '{"pauses": 1}'])
def test_a_file_that_is_not_right_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(WorldError, match=r"habits\.json is not right"):
        said(World.create(tmp_path), text)


async def test_a_device_of_the_place_behaves_as_its_file_says(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    said(world, '{"advert_format": "2022"}')
    async with place(world) as host:
        (advert,) = (await seen(host, 1)).values()
    assert set(advert.manufacturer) == {0xDEC0}


# ---------------------------------------------------------------- strikes


def test_a_device_whose_folder_says_so_is_going_to_be_struck(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    (world.home(world.devices[0]) / "strike.json").write_text('{"what": "power", "at_bytes": 7}')
    made = peripheral_of(world, world.devices[0])
    assert isinstance(made, Struck)
    assert (made.strike, made.habits) == (Strike("power", 7), QUICK)


def test_other_devices_are_not(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    assert not isinstance(peripheral_of(world, world.devices[0]), Struck)


async def test_a_strike_that_cannot_be_read_is_said_by_the_place(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    (world.home(world.devices[0]) / "strike.json").write_text("{}")
    with pytest.raises(WorldError, match=r"strike\.json is not right"):
        async with place(world):
            pass

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ble_ota import target
from ble_ota.errors import DeviceAmbiguousError, DeviceNotFoundError
from ble_ota.link import Advert, Link
from ble_ota.protocols import quecthing
from ble_ota.protocols.driver import Sighting, Versions
from ble_ota.target import Wanted, describe, find, look, sightings
from ble_ota.virtual.air import Air
from ble_ota.virtual.peripherals.quecthing import Habits, QuecThing
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.world import World
from tests.bench import bench

pytestmark = pytest.mark.looptime

DRIVERS = [quecthing.driver(quecthing.Options())]


def radio_of(world: World, habits: Habits | None = None) -> VirtualRadio:
    air = Air()
    for device in world.devices:
        air.add(QuecThing(world, device, habits or Habits()))
    return VirtualRadio(air)


@dataclass
class Saying:
    """A radio that hears what it was told to."""

    adverts: list[Advert]

    async def scan(self, *, within_s: float) -> AsyncGenerator[Advert, None]:
        for advert in self.adverts:
            yield advert
        await asyncio.sleep(within_s)

    def connect(self, address: str, *, within_s: float) -> AbstractAsyncContextManager[Link]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("c0:de:b0:e0:00:01", Wanted(address="C0:DE:B0:E0:00:01")),
        ("C0-DE-B0-E0-00-01", Wanted(address="C0:DE:B0:E0:00:01")),
        (" c0_de_b0_e0_00_01", Wanted(address="C0:DE:B0:E0:00:01")),
        ("C0DEB0E00001", Wanted(name="C0DEB0E00001")),
        ("8C0A7B5E-0001-4B7C-9D3A-0123456789ab", Wanted(address="8C0A7B5E-0001-4B7C-9D3A-0123456789AB")),
        ("p11vWQ/B0E0C0DE0001", Wanted(product_key="p11vWQ", device_key="B0E0C0DE0001")),
        ("QUEC_BLE_0001", Wanted(name="QUEC_BLE_0001")),
        ("half/", Wanted(name="half/")),
        ("", Wanted()),
    ],
)
async def test_a_device_is_named_by_address_keys_or_name(text: str, wanted: Wanted) -> None:
    assert Wanted.parse(text) == wanted


@pytest.mark.parametrize("name", ["C0:DE:B0:E0:00:02", "p11vWQ/B0E0C0DE0002", "QUEC_BLE_0002"])
async def test_the_one_that_is_meant_is_found_among_others(tmp_path: Path, name: str) -> None:
    radio = radio_of(World.create(tmp_path, devices=3))
    target = await find(radio, DRIVERS, Wanted.parse(name))
    assert target.advert.address == "C0:DE:B0:E0:00:02"
    assert (target.product_key, target.device_key) == ("p11vWQ", "B0E0C0DE0002")


@pytest.mark.parametrize(
    ("product_key", "device_key", "fits"),
    [
        ("p11vWQ", "B0E0C0DE0002", True),
        ("pOTHER", "B0E0C0DE0002", False),  # keys are unique within a product only
        ("p11vWQ", "B0E0C0DE0001", False),
        ("", "B0E0C0DE0002", True),
        ("p11vWQ", "", True),
    ],
)
async def test_a_device_that_tells_its_keys_must_have_all_that_are_wanted(
    product_key: str, device_key: str, fits: bool
) -> None:
    heard = Advert("C0:DE:B0:E0:00:02", "QUEC_BLE_0002", -40), Sighting("quecthing", "p11vWQ", "B0E0C0DE0002")
    assert Wanted(product_key=product_key, device_key=device_key).fits(*heard) is fits


async def test_a_device_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    radio = radio_of(World.create(tmp_path))
    with pytest.raises(DeviceNotFoundError, match="p11vWQ/B0E0C0DE0009 was not heard within 10 s"):
        await find(radio, DRIVERS, Wanted.parse("p11vWQ/B0E0C0DE0009"))


@pytest.mark.parametrize(
    ("heard", "hint"),
    [
        ("8C0A7B5E-0001-4B7C-9D3A-0123456789AB", "This system does not tell Bluetooth addresses"),
        ("C0:00:00:00:00:02", "A device is on the air as C0:00:00:00:00:02, one higher"),
        ("C0:00:00:00:00:77", DeviceNotFoundError.hint),
    ],
)
async def test_an_address_that_is_not_there_gets_a_hint_by_what_else_is(heard: str, hint: str) -> None:
    with pytest.raises(DeviceNotFoundError) as missing:
        await find(Saying([Advert(heard, "DfuTarg", -50)]), DRIVERS, Wanted(address="C0:00:00:00:00:01"))
    assert missing.value.hint.startswith(hint)


async def test_a_name_that_is_not_there_gets_the_usual_hint() -> None:
    with pytest.raises(DeviceNotFoundError) as missing:
        await find(Saying([Advert("C0:00:00:00:00:02", "x", -50)]), DRIVERS, Wanted(name="C0"))
    assert missing.value.hint == DeviceNotFoundError.hint


async def test_a_crowd_on_the_air_is_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "HEARD_MAX", 1)
    crowd = [Advert(f"C0:00:00:00:00:{n:02X}", "x", -50) for n in (0x77, 0x02)]
    with pytest.raises(DeviceNotFoundError) as missing:
        await find(Saying(crowd), DRIVERS, Wanted(address="C0:00:00:00:00:01"))
    assert missing.value.hint == DeviceNotFoundError.hint


async def test_no_name_and_one_device_is_that_device(tmp_path: Path) -> None:
    assert (await find(radio_of(World.create(tmp_path)), DRIVERS, Wanted())).device_key == "B0E0C0DE0001"


async def test_no_name_and_two_devices_is_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(DeviceAmbiguousError, match=r"B0E0C0DE0001.*B0E0C0DE0002"):
        await find(radio_of(World.create(tmp_path, devices=2)), DRIVERS, Wanted())


async def test_two_with_one_name_are_refused() -> None:
    heard = [Advert(f"C0:00:00:00:00:0{n}", "QUEC_BLE_1234", -50) for n in (1, 2)]
    with pytest.raises(DeviceAmbiguousError, match=r"C0:00:00:00:00:01.*C0:00:00:00:00:02"):
        await find(Saying(heard), DRIVERS, Wanted(name="QUEC_BLE_1234"))


async def test_a_device_that_tells_no_keys_is_known_by_its_tail(tmp_path: Path) -> None:
    radio = radio_of(World.create(tmp_path, devices=2), Habits(advert_format="2022"))
    target = await find(radio, DRIVERS, Wanted(product_key="p11vWQ", device_key="B0E0C0DE0002"))
    assert target.advert.name == "QUEC_BLE_0002"
    assert target.device_key == ""


async def test_keys_that_came_before_are_not_forgotten_by_a_shorter_packet(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    (whole, *_) = [a async for a in radio_of(world).scan(within_s=0.05)]
    bare = replace(whole, manufacturer={})
    for order in ([whole, bare], [bare, whole]):
        target = await find(Saying(order), DRIVERS, Wanted(address=whole.address))
        assert target.device_key == "B0E0C0DE0001"


async def test_what_speaks_no_known_protocol_is_passed_over() -> None:
    with pytest.raises(DeviceNotFoundError):
        await find(Saying([Advert("C0:00:00:00:00:01", "Headphones", -40)]), DRIVERS, Wanted())
    assert await sightings(Saying([Advert("C0:00:00:00:00:01", "Headphones", -40)]), DRIVERS, within_s=1) == {}


async def test_all_that_are_near_are_listed(tmp_path: Path) -> None:
    seen = await sightings(radio_of(World.create(tmp_path, devices=3)), DRIVERS, within_s=1)
    assert sorted(t.device_key for t in seen.values()) == ["B0E0C0DE0001", "B0E0C0DE0002", "B0E0C0DE0003"]


async def test_a_look_says_what_runs_and_lets_go(tmp_path: Path) -> None:
    on = bench(tmp_path)
    target, info = await on.identified()
    assert dict(info.versions) == {"": "1.0.0"}
    assert on.names == ["link.connected"]
    again = await look(target, on.radio, on.secret, emit=on.events.append, purpose="identify")
    assert again == Versions({"": "1.0.0"}, "device", texts={12: "1.0.0"})


async def test_only_a_look_that_verifies_asks_for_the_key_by_an_announcement(tmp_path: Path) -> None:
    """An announcement ends the file that the device may still know: not before a transfer."""
    on = bench(tmp_path, Habits(answers_version=False, firmware_revision=True))
    target = await on.target()
    for purpose, announced in (("identify", 0), ("verify", 1)):
        seen = await look(target, on.radio, on.secret, emit=on.events.append, purpose=purpose)
        assert (seen.key_shown, on.device.stats.announced) == (bool(announced), announced)


async def test_what_is_shown_of_a_device_has_no_control_characters() -> None:
    driver = DRIVERS[0]
    advert = Advert("C0:00:00:00:00:01", "QUEC_BLE_\x1b[31m", -40)
    target = await find(Saying([advert]), [driver], Wanted())
    assert "\x1b" not in str(target)
    assert "\x1b" not in describe(target, Versions()).name


async def test_a_wanted_device_says_its_name() -> None:
    assert str(Wanted.parse("p/d")) == "p/d"
    assert str(Wanted()) == "any device"
    assert Wanted(product_key="p", device_key="1234").fits(Advert("C0:00:00:00:12:34", "x", None), Sighting("q"))
    other = Sighting("q", product_key="other")  # the form of 2022 tells the product of an unbound device
    assert not Wanted(product_key="p", device_key="1234").fits(Advert("C0:00:00:00:12:34", "x", None), other)

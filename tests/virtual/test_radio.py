from __future__ import annotations

import asyncio

import pytest

from ble_ota.errors import DeviceNotFoundError, LinkLostError
from ble_ota.link import Link, Radio
from ble_ota.virtual.air import Air
from ble_ota.virtual.peripheral import Advertisement
from ble_ota.virtual.radio import VirtualRadio
from tests.virtual.peripherals.parrot import ADDRESS, Parrot

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


def with_parrot() -> tuple[Air, Parrot, Radio]:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    return air, parrot, VirtualRadio(air)


async def seen(radio: Radio, within_s: float) -> list[str]:
    return [advert.address async for advert in radio.scan(within_s=within_s)]


async def test_a_device_is_seen_once_per_advertising_interval() -> None:
    _, _, radio = with_parrot()
    assert await seen(radio, 0.95) == [ADDRESS] * 10


async def test_a_scan_ends_in_time() -> None:
    _, _, radio = with_parrot()
    await seen(radio, 0.95)
    assert now() == pytest.approx(0.95)


async def test_a_scan_of_empty_air_ends_in_time_with_nothing() -> None:
    assert await seen(VirtualRadio(Air()), 3) == []
    assert now() == pytest.approx(3)


async def test_a_device_that_comes_later_is_seen() -> None:
    air, parrot, radio = with_parrot()
    parrot.carrier.advertise(None)
    asyncio.get_running_loop().call_later(1, parrot.carrier.advertise, Advertisement("late"))
    assert len(await seen(radio, 1.95)) in {9, 10}
    assert len(list(air.adverts())) == 1


async def test_a_connection_ends_with_its_block() -> None:
    _, parrot, radio = with_parrot()
    async with radio.connect(ADDRESS, within_s=1) as link:
        assert parrot.links == ["up"]
    with pytest.raises(LinkLostError):
        await link.read(3)
    await parrot.is_alone()
    assert parrot.links == ["up", "down"]


async def test_a_connection_ends_with_a_block_that_fails() -> None:
    _, parrot, radio = with_parrot()
    with pytest.raises(ZeroDivisionError):
        async with radio.connect(ADDRESS, within_s=1):
            raise ZeroDivisionError
    await parrot.is_alone()
    assert parrot.links == ["up", "down"]


async def test_nobody_at_the_address_is_said_when_the_time_is_over() -> None:
    _, _, radio = with_parrot()
    with pytest.raises(DeviceNotFoundError, match=r"C0:00:00:00:00:99 .* 5 s"):
        async with radio.connect("C0:00:00:00:00:99", within_s=5):
            pass
    assert now() == pytest.approx(5)


async def test_a_connected_device_cannot_be_connected_a_second_time() -> None:
    air, _, radio = with_parrot()
    async with radio.connect(ADDRESS, within_s=1):
        with pytest.raises(DeviceNotFoundError):
            async with VirtualRadio(air).connect(ADDRESS, within_s=1):
                pass


async def test_a_refused_second_connection_leaves_the_first_alone() -> None:
    air, _, radio = with_parrot()
    async with radio.connect(ADDRESS, within_s=1) as link:
        with pytest.raises(DeviceNotFoundError):
            async with VirtualRadio(air).connect(ADDRESS, within_s=1):
                pass
        assert await link.read(3) == b"polly"


async def test_a_device_that_comes_in_time_is_connected() -> None:
    _, parrot, radio = with_parrot()
    parrot.carrier.advertise(None)
    asyncio.get_running_loop().call_later(3, parrot.carrier.advertise, Advertisement("late"))
    async with radio.connect(ADDRESS, within_s=5) as link:
        assert await link.read(3) == b"polly"


async def test_a_link_that_breaks_before_it_stands_is_a_lost_link() -> None:
    air, _, radio = with_parrot()
    air.before_operation = lambda _index, kind: air.cut() if kind == "connect" else None
    with pytest.raises(LinkLostError):
        async with radio.connect(ADDRESS, within_s=5):
            pass


async def test_whoever_gives_up_connecting_leaves_the_device_on_the_air() -> None:
    air, parrot, radio = with_parrot()

    async def connect() -> Link:
        async with radio.connect(ADDRESS, within_s=5) as link:
            return link

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await connect()
    assert len(list(air.adverts())) == 1
    assert parrot.links == []

"""What every `Radio` must do, whoever carries it; `test_contract_link.py` goes on with the links."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest

from ble_ota.errors import DeviceNotFoundError, LinkLostError
from ble_ota.link import Advert, Characteristic, Link, LinkFacts
from tests.gatt.contract import (
    ADDRESS,
    FIRST,
    MAKER,
    NEWS,
    NOBODY,
    OTHER,
    PROMPT_S,
    SECOND,
    TALK,
    TWIN,
    Carried,
    Rig,
    handle,
    handle_of_twin,
    heard,
)


async def found(rig: Rig, address: str) -> Advert:
    """The first sighting of `address` that names its maker: a scan response comes after its advertisement."""
    async with aclosing(rig.radio.scan(within_s=PROMPT_S)) as adverts:
        async for advert in adverts:
            if advert.address == address and advert.manufacturer:
                return advert
    pytest.fail(f"{address} was not heard")


# ---------------------------------------------------------------- finding


async def test_a_scan_finds_what_the_maker_says(rig: Rig) -> None:
    assert (await found(rig, ADDRESS)).manufacturer == MAKER


async def test_a_scan_finds_name_and_services(rig: Rig) -> None:
    advert = await found(rig, ADDRESS)
    assert (advert.name, advert.services) == ("subject", (FIRST,))


async def test_a_scan_finds_every_device(rig: Rig) -> None:
    assert {(await found(rig, address)).address for address in (ADDRESS, OTHER)} == {ADDRESS, OTHER}


async def test_a_scan_ends_in_time(rig: Rig) -> None:
    async with asyncio.timeout(0.05 + PROMPT_S):
        assert {advert.address async for advert in rig.radio.scan(within_s=0.05)} == {ADDRESS, OTHER}


async def test_two_scans_at_once_do_not_end_each_other(rig: Rig) -> None:
    async with aclosing(rig.radio.scan(within_s=PROMPT_S)) as adverts:
        await anext(adverts)
        await found(rig, OTHER)
        after = [await anext(adverts) for _ in range(100)]
    assert len(after) == 100


# ---------------------------------------------------------------- connecting


async def test_nobody_at_the_address_is_said_in_time(rig: Rig) -> None:
    async with asyncio.timeout(0.1 + PROMPT_S):
        with pytest.raises(DeviceNotFoundError, match=NOBODY):
            async with rig.radio.connect(NOBODY, within_s=0.1):
                pytest.fail("nobody was connected")


async def test_after_nobody_answered_the_next_connect_works(rig: Rig) -> None:
    with pytest.raises(DeviceNotFoundError):
        async with rig.radio.connect(NOBODY, within_s=0.05):
            pytest.fail("nobody was connected")
    async with rig.radio.connect(ADDRESS, within_s=PROMPT_S) as link:
        assert link.facts.address == ADDRESS


async def test_every_characteristic_is_found_in_order(link: Link) -> None:
    assert [(c.uuid, c.service) for c in application(link.facts)] == [
        (TALK, FIRST),
        (TWIN, FIRST),
        (TWIN, SECOND),
        (NEWS, SECOND),
    ]


async def test_a_uuid_that_occurs_twice_has_two_handles(link: Link) -> None:
    first, second = (c.handle for c in link.facts.characteristics if c.uuid == TWIN)
    assert first < second


async def test_a_uuid_that_occurs_twice_is_read_by_handle(link: Link) -> None:
    values = [await link.read(c.handle) for c in link.facts.characteristics if c.uuid == TWIN]
    assert values == [ADDRESS.encode()] * 2


@pytest.mark.parametrize(("mtu", "room"), [(23, 20), (100, 97), (517, 512)])
async def test_a_write_may_carry_the_mtu_less_three_up_to_512_bytes(carried: Carried, mtu: int, room: int) -> None:
    async with carried(mtu) as rig, rig.radio.connect(ADDRESS, within_s=PROMPT_S) as link:
        assert {c.max_write for c in link.facts.characteristics} == {room}


@pytest.mark.parametrize("mtu", [23, 517])
async def test_a_device_may_say_as_much_at_once(carried: Carried, mtu: int) -> None:
    async with carried(mtu) as rig, rig.radio.connect(ADDRESS, within_s=PROMPT_S) as link:
        room = link.facts.characteristics[0].max_write
        await link.subscribe(handle(link, NEWS))
        assert rig.subject.carrier.max_value == room
        rig.subject.carrier.send(NEWS, bytes(room))
        assert (await heard(link, handle(link, NEWS))).data == bytes(room)


async def test_leaving_the_block_tells_the_device(rig: Rig) -> None:
    async with rig.radio.connect(ADDRESS, within_s=PROMPT_S):
        pass
    async with asyncio.timeout(PROMPT_S):
        await rig.subject.down.wait()
    assert rig.subject.links == ["up", "down"]


async def test_leaving_the_block_ends_the_link(rig: Rig) -> None:
    async with rig.radio.connect(ADDRESS, within_s=PROMPT_S) as link:
        pass
    with pytest.raises(LinkLostError):
        await link.read(handle_of_twin(link))


async def test_a_block_that_fails_ends_the_link(rig: Rig) -> None:
    with pytest.raises(ZeroDivisionError):
        async with rig.radio.connect(ADDRESS, within_s=PROMPT_S):
            raise ZeroDivisionError
    async with asyncio.timeout(PROMPT_S):
        await rig.subject.down.wait()


async def test_a_device_that_was_left_advertises_again(rig: Rig) -> None:
    async with rig.radio.connect(ADDRESS, within_s=PROMPT_S):
        pass
    assert (await found(rig, ADDRESS)).address == ADDRESS


async def test_a_connected_device_does_not_advertise(rig: Rig, link: Link) -> None:
    assert link.facts.address == ADDRESS
    assert {advert.address async for advert in rig.radio.scan(within_s=0.1)} == {OTHER}


async def test_a_device_can_be_connected_again_and_again(rig: Rig) -> None:
    for _ in range(5):
        async with rig.radio.connect(ADDRESS, within_s=PROMPT_S) as link:
            assert await link.read(handle_of_twin(link)) == ADDRESS.encode()


async def test_two_devices_are_connected_at_once(rig: Rig) -> None:
    async with AsyncExitStack() as links:

        async def connect(address: str) -> Link:
            return await links.enter_async_context(rig.radio.connect(address, within_s=PROMPT_S))

        first, second = await asyncio.gather(connect(ADDRESS), connect(OTHER))
        values = await asyncio.gather(first.read(handle_of_twin(first)), second.read(handle_of_twin(second)))
    assert list(values) == [ADDRESS.encode(), OTHER.encode()]


async def test_the_loss_of_one_link_leaves_the_other_alone(rig: Rig, link: Link) -> None:
    async with rig.radio.connect(OTHER, within_s=PROMPT_S) as other:
        rig.subject.carrier.disconnect()
        with pytest.raises(LinkLostError):
            await heard(link, handle(link, NEWS))
        assert await other.read(handle_of_twin(other)) == OTHER.encode()


def application(facts: LinkFacts) -> list[Characteristic]:
    """Without those every GATT server has (0x1800, 0x1801)."""
    return [c for c in facts.characteristics if c.service in {FIRST, SECOND}]

from __future__ import annotations

import asyncio

import pytest

from ble_ota.errors import LinkLostError
from ble_ota.virtual.air import QUEUE_MAX, Air, Berth, Fate, Operation
from ble_ota.virtual.link import VirtualLink
from tests.virtual.peripherals.parrot import ADDRESS, NEWS, TALK, Parrot, heard

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


def berth(air: Air, address: str = ADDRESS) -> Berth:
    found = air.advertising(address)
    assert found is not None
    return found


async def linked(air: Air) -> VirtualLink:
    link = VirtualLink(berth(air))
    await link.stand()
    return link


async def test_a_device_is_seen_as_it_advertises() -> None:
    air = Air()
    air.add(Parrot())
    (seen,) = air.adverts()
    assert (seen.address, seen.name, seen.services[0][4:8], seen.manufacturer) == (ADDRESS, "parrot", "ff00", {1: b"x"})


async def test_the_same_seed_gives_the_same_signal() -> None:
    def signals(seed: int) -> list[int | None]:
        air = Air(seed)
        air.add(Parrot())
        return [advert.rssi_dbm for _ in range(9) for advert in air.adverts()]

    assert signals(7) == signals(7)
    assert signals(7) != signals(8)


async def test_a_device_that_goes_silent_is_not_seen() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    parrot.carrier.advertise(None)
    assert list(air.adverts()) == []
    assert air.advertising(ADDRESS) is None


async def test_a_device_with_a_link_is_not_seen() -> None:
    air = Air()
    air.add(Parrot())
    await linked(air)
    assert list(air.adverts()) == []


async def test_a_device_that_is_being_connected_is_not_seen() -> None:
    air = Air()
    air.add(Parrot())
    VirtualLink(berth(air))
    assert air.advertising(ADDRESS) is None


async def test_a_device_whose_link_ended_is_seen_again() -> None:
    air = Air()
    air.add(Parrot())
    (await linked(air)).close()
    assert len(list(air.adverts())) == 1


async def test_connecting_takes_its_time() -> None:
    air = Air(connect_s=0.3)
    air.add(Parrot())
    await linked(air)
    assert now() == pytest.approx(0.3)


async def test_the_peripheral_hears_of_both_ends_of_a_link() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    (await linked(air)).close()
    await parrot.is_alone()
    assert parrot.links == ["up", "down"]


async def test_a_cut_drops_every_link_and_both_ends_see_it() -> None:
    air, parrots = Air(), [Parrot(f"C0:00:00:00:00:0{n}") for n in (1, 2)]
    links: list[VirtualLink] = []
    for parrot in parrots:
        air.add(parrot)
        links.append(VirtualLink(berth(air, parrot.address)))
        await links[-1].stand()
    air.cut()
    for link in links:
        with pytest.raises(LinkLostError):
            await link.read(3)
    for parrot in parrots:
        await parrot.is_alone()
    assert [p.links for p in parrots] == [["up", "down"]] * 2


async def test_a_link_cut_before_it_stands_was_never_there_for_the_peripheral() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    air.before_operation = lambda _index, _kind: air.cut()
    with pytest.raises(LinkLostError):
        await linked(air)
    air.before_operation = None
    await linked(air)
    assert parrot.links == ["up"]


async def test_a_peripheral_may_drop_the_link_in_the_middle_of_a_call() -> None:
    air = Air()

    class Rude(Parrot):
        def written(self, uuid: str, value: bytes) -> None:
            self.carrier.disconnect()
            assert self.links == ["up"]  # told in a call of its own, later

    rude = Rude("C0:00:00:00:00:09")
    air.add(rude)
    link = VirtualLink(berth(air, rude.address))
    await link.stand()
    with pytest.raises(LinkLostError):
        await link.write(1, b"go", ack=True)
    await rude.is_alone()
    assert rude.links == ["up", "down"]


async def test_a_peripheral_without_a_link_may_drop_it() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    parrot.carrier.disconnect()
    await linked(air)
    assert parrot.links == ["up"]


async def test_another_peripheral_at_the_same_address_takes_the_place_of_the_first() -> None:
    air, first, second = Air(), Parrot(), Parrot()
    air.add(first)
    link = await linked(air)
    air.add(second)
    with pytest.raises(LinkLostError):
        await link.read(3)
    await linked(air)
    assert (first.links, second.links) == (["up", "down"], ["up"])


async def test_operations_are_told_in_order_with_a_running_number() -> None:
    air, told = Air(), list[tuple[int, str]]()
    air.add(Parrot())
    air.before_operation = lambda index, kind: told.append((index, kind))
    link = await linked(air)
    await link.subscribe(1)
    await link.write(1, b"x", ack=True)
    await heard(link, 1)
    await link.read(3)
    assert told == [(0, "connect"), (1, "subscribe"), (2, "write"), (3, "indication"), (4, "read")]


async def test_an_indication_that_is_cut_does_not_arrive() -> None:
    air = Air()
    air.add(Parrot())
    link = await linked(air)
    await link.subscribe(1)
    air.before_operation = lambda _index, kind: air.cut() if kind == "indication" else None
    await link.write(1, b"x", ack=True)
    with pytest.raises(LinkLostError):
        await heard(link, 1)


@pytest.mark.parametrize(("handle", "uuid", "intervals"), [(1, TALK, 2), (2, NEWS, 1)])
async def test_an_indication_takes_two_intervals_and_a_notification_one(handle: int, uuid: str, intervals: int) -> None:
    air, parrot = Air(interval_s=1.0), Parrot()
    air.add(parrot)
    link = await linked(air)
    await link.subscribe(handle)
    before = now()
    for _ in range(3):
        parrot.carrier.send(uuid, b"x")
    for _ in range(3):
        await heard(link, handle)
    assert now() - before == pytest.approx(3 * intervals)


async def test_what_nobody_subscribed_to_does_not_arrive() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    link = await linked(air)
    parrot.chatter(b"early")
    await link.subscribe(2)
    parrot.chatter(b"late")
    assert (await heard(link, 2)).data == b"late"


async def test_what_was_on_its_way_when_the_link_ended_does_not_come_on_the_next() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    first = await linked(air)
    await first.subscribe(2)
    parrot.chatter(b"old", b"old")
    first.close()
    second = await linked(air)
    await second.subscribe(2)
    parrot.chatter(b"new")
    assert (await heard(second, 2)).data == b"new"


async def test_a_subscription_ends_with_its_link() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    first = await linked(air)
    await first.subscribe(2)
    first.close()
    await linked(air)
    parrot.chatter(b"x")
    assert air.lost == 1


async def test_a_device_that_says_too_much_loses_it() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    link = await linked(air)
    await link.subscribe(2)
    parrot.chatter(*[b"x"] * (QUEUE_MAX + 3))
    assert air.lost == 3


async def test_a_host_that_takes_nothing_holds_the_device_up_and_loses_nothing() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    link = await linked(air)
    await link.subscribe(2)
    parrot.chatter(*(n.to_bytes(2, "big") for n in range(QUEUE_MAX)))
    await link.read(3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await heard(link, 1)
    parrot.chatter(*(n.to_bytes(2, "big") for n in range(QUEUE_MAX, QUEUE_MAX + 50)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await heard(link, 1)
    got = [int.from_bytes((await heard(link, 2)).data, "big") for _ in range(QUEUE_MAX + 50)]
    assert got == list(range(QUEUE_MAX + 50))


async def test_a_host_that_takes_nothing_for_too_long_makes_the_device_lose_it() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    link = await linked(air)
    await link.subscribe(2)
    for _ in range(3):
        parrot.chatter(*[b"x"] * QUEUE_MAX)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await heard(link, 1)
    assert air.lost == QUEUE_MAX


async def test_a_value_larger_than_one_indication_is_a_bug_of_the_peripheral() -> None:
    air, parrot = Air(mtu=23), Parrot()
    air.add(parrot)
    with pytest.raises(ValueError, match="21 bytes where one may have 20"):
        parrot.carrier.send(TALK, b"x" * 21)


async def test_no_value_has_more_bytes_than_an_attribute() -> None:
    air, parrot = Air(mtu=600), Parrot()
    air.add(parrot)
    assert parrot.carrier.max_value == 512


async def test_an_mtu_below_the_least_is_refused() -> None:
    with pytest.raises(ValueError, match="22"):
        Air(mtu=22)


# ---------------------------------------------------------------------- what a test may do to the air


async def test_an_operation_is_told_with_its_device_and_its_bytes() -> None:
    air, told = Air(), list[Operation]()
    air.add(Parrot())

    def passes(operation: Operation) -> Fate:
        told.append(operation)
        return Fate.PASS

    air.on_operation = passes
    link = await linked(air)
    await link.subscribe(1)
    await link.write(1, b"x", ack=True)
    await heard(link, 1)
    await link.read(3)
    assert told == [
        Operation(0, "connect", ADDRESS),
        Operation(1, "subscribe", ADDRESS),
        Operation(2, "write", ADDRESS, b"x"),
        Operation(3, "indication", ADDRESS, b"x"),
        Operation(4, "read", ADDRESS),
    ]


async def test_both_hooks_count_alike() -> None:
    air, told = Air(), list[str]()
    air.add(Parrot())

    def passes(operation: Operation) -> Fate:
        told.append(f"on {operation.index}")
        return Fate.PASS

    air.on_operation = passes
    air.before_operation = lambda index, _kind: told.append(f"before {index}")
    await linked(air)
    assert told == ["before 0", "on 0"]


async def test_a_fate_is_the_fate_of_one_link() -> None:
    air, parrots = Air(), [Parrot(f"C0:00:00:00:00:0{n}") for n in (1, 2)]
    links: list[VirtualLink] = []
    for parrot in parrots:
        air.add(parrot)
        links.append(VirtualLink(berth(air, parrot.address)))
        await links[-1].stand()
    air.on_operation = lambda operation: Fate.CUT_BEFORE if operation.address == parrots[0].address else Fate.PASS
    with pytest.raises(LinkLostError):
        await links[0].read(3)
    assert await links[1].read(3) == b"polly"


@pytest.mark.parametrize("far", [True, {ADDRESS}, frozenset({ADDRESS, "C0:00:00:00:00:02"})])
async def test_a_device_out_of_range_is_neither_seen_nor_connected(far: bool | set[str]) -> None:
    air = Air()
    air.add(Parrot())
    air.out_of_range = far
    assert list(air.adverts()) == []
    assert air.advertising(ADDRESS) is None


@pytest.mark.parametrize("far", [False, set[str](), {"C0:00:00:00:00:02"}])
async def test_a_device_in_range_is_seen(far: bool | set[str]) -> None:
    air = Air()
    air.add(Parrot())
    air.out_of_range = far
    assert len(list(air.adverts())) == 1
    assert air.advertising(ADDRESS) is not None


async def test_a_link_that_stands_outlives_the_range() -> None:
    air = Air()
    air.add(Parrot())
    link = await linked(air)
    air.out_of_range = True
    assert await link.read(3) == b"polly"


async def test_the_mtu_is_that_of_the_next_link_at_both_ends() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    first = await linked(air)
    air.mtu = 23
    assert (first.facts.characteristics[0].max_write, parrot.carrier.max_value) == (244, 244)
    first.close()
    second = await linked(air)
    assert (second.facts.characteristics[0].max_write, parrot.carrier.max_value) == (20, 20)


async def test_an_mtu_is_not_set_below_the_least() -> None:
    air = Air()
    with pytest.raises(ValueError, match="22"):
        air.mtu = 22
    assert air.mtu == 247


async def test_the_same_peripheral_may_be_added_again() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    await linked(air)
    air.add(parrot)
    await linked(air)
    assert parrot.links == ["up", "down", "up"]

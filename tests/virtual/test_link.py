from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from ble_ota.errors import AttRefusedError, DeviceNotFoundError, LinkLostError
from ble_ota.link import Link
from ble_ota.virtual.air import Air, Fate
from ble_ota.virtual.link import VirtualLink
from ble_ota.virtual.peripherals import Habits, PowerCutError, QuecThing
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.world import World
from tests.virtual.peripherals.parrot import ADDRESS, Parrot, heard
from tests.virtual.peripherals.quecthing.bench import CHAR, RECEIVE, SUCCESS, frame, notification, packet

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def link_to(parrot: Parrot, air: Air | None = None) -> AsyncGenerator[Link, None]:
    air = air or Air()
    air.add(parrot)
    async with VirtualRadio(air).connect(ADDRESS, within_s=1) as link:
        yield link


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_handles_count_from_one_in_the_order_of_the_table() -> None:
    async with link_to(Parrot()) as link:
        found = [(c.handle, c.uuid[4:8], c.service[4:8]) for c in link.facts.characteristics]
    assert found == [(1, "ff01", "ff00"), (2, "ff02", "ff10"), (3, "ff03", "ff10")]


@pytest.mark.parametrize(("mtu", "room"), [(23, 20), (247, 244), (517, 512)])
async def test_a_write_carries_mtu_less_three_at_most_512(mtu: int, room: int) -> None:
    async with link_to(Parrot(), Air(mtu=mtu)) as link:
        assert {c.max_write for c in link.facts.characteristics} == {room}


async def test_a_write_arrives() -> None:
    parrot = Parrot()
    async with link_to(parrot) as link:
        await link.write(1, b"one", ack=True)
        await link.write(2, b"two", ack=False)
    assert parrot.heard == [b"one", b"two"]


async def test_the_largest_write_arrives() -> None:
    parrot = Parrot()
    async with link_to(parrot) as link:
        await link.write(1, b"x" * 244, ack=True)
    assert parrot.heard == [b"x" * 244]


async def test_a_larger_write_is_a_bug_of_the_caller() -> None:
    parrot = Parrot()
    async with link_to(parrot) as link:
        with pytest.raises(ValueError, match="245 bytes where one may have 244"):
            await link.write(1, b"x" * 245, ack=True)
    assert parrot.heard == []


@pytest.mark.parametrize("handle", [0, 4, -1])
async def test_an_unknown_handle_is_a_bug_of_the_caller(handle: int) -> None:
    async with link_to(Parrot()) as link:
        with pytest.raises(ValueError, match="handle"):
            await link.read(handle)


async def test_a_value_is_read() -> None:
    async with link_to(Parrot()) as link:
        assert await link.read(3) == b"polly"


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda link: link.read(1), 0x02),
        (lambda link: link.write(2, b"", ack=True), 0x03),
        (lambda link: link.write(1, b"", ack=False), 0x03),
        (lambda link: link.subscribe(3), 0x06),
    ],
)
async def test_what_a_characteristic_cannot_do_is_refused(ask: Callable[[Link], Awaitable[object]], code: int) -> None:
    async with link_to(Parrot()) as link:
        with pytest.raises(AttRefusedError) as refused:
            await ask(link)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("ask", "intervals"),
    [
        (lambda link: link.read(3), 2),
        (lambda link: link.subscribe(1), 2),
        (lambda link: link.write(1, b"", ack=True), 2),
        (lambda link: link.write(2, b"", ack=False), 1),
    ],
)
async def test_an_operation_takes_its_connection_intervals(
    ask: Callable[[Link], Awaitable[object]], intervals: int
) -> None:
    async with link_to(Parrot(), Air(interval_s=1.0)) as link:
        before = now()
        await ask(link)
        assert now() - before == pytest.approx(intervals)


async def test_requests_take_turns() -> None:
    async with link_to(Parrot(), Air(interval_s=1.0)) as link:
        before = now()
        await asyncio.gather(link.read(3), link.read(3))
        assert now() - before == pytest.approx(4)


async def test_what_the_device_says_comes_in_order() -> None:
    parrot = Parrot()
    async with link_to(parrot) as link:
        await link.subscribe(2)
        parrot.chatter(b"a", b"b", b"c")
        assert [(await heard(link, 2)).data for _ in range(3)] == [b"a", b"b", b"c"]


async def test_each_listener_gets_its_own_characteristic() -> None:
    parrot = Parrot()
    async with link_to(parrot) as link:
        await link.subscribe(1)
        await link.subscribe(2)
        parrot.chatter(b"news")
        await link.write(1, b"talk", ack=True)
        assert (await heard(link, 1)).data == b"talk"
        assert (await heard(link, 1, 2)).data == b"news"


@pytest.mark.parametrize(
    "ask",
    [
        lambda link: link.read(3),
        lambda link: link.subscribe(1),
        lambda link: link.write(1, b"", ack=True),
        lambda link: link.write(2, b"", ack=False),
        lambda link: heard(link, 1),
    ],
)
async def test_everything_on_a_lost_link_says_that_it_is_lost(ask: Callable[[Link], Awaitable[object]]) -> None:
    air = Air()
    async with link_to(Parrot(), air) as link:
        air.cut()
        with pytest.raises(LinkLostError, match=ADDRESS):
            await ask(link)


async def test_what_arrived_before_the_loss_can_still_be_taken() -> None:
    air, parrot = Air(), Parrot()
    async with link_to(parrot, air) as link:
        await link.subscribe(2)
        parrot.chatter(b"x")
        await link.read(3)
        air.cut()
        assert (await heard(link, 2)).data == b"x"


async def test_whoever_waits_is_told_of_the_loss() -> None:
    air = Air()
    async with link_to(Parrot(), air) as link:
        asyncio.get_running_loop().call_later(7, air.cut)
        with pytest.raises(LinkLostError):
            await heard(link, 1)
        assert now() == pytest.approx(7.05)


async def test_a_write_whose_answer_is_lost_has_arrived() -> None:
    air, parrot = Air(interval_s=1.0), Parrot()
    async with link_to(parrot, air) as link:
        asyncio.get_running_loop().call_later(1.5, air.cut)
        with pytest.raises(LinkLostError):
            await link.write(1, b"x", ack=True)
    assert parrot.heard == [b"x"]


async def test_a_write_that_is_cut_has_not_arrived() -> None:
    air, parrot = Air(), Parrot()
    async with link_to(parrot, air) as link:
        air.before_operation = lambda _index, _kind: air.cut()
        with pytest.raises(LinkLostError):
            await link.write(1, b"x", ack=True)
    assert parrot.heard == []


async def test_a_closed_link_may_be_closed_again() -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    berth = air.advertising(ADDRESS)
    assert berth is not None
    link = VirtualLink(berth)
    await link.stand()
    link.close()
    link.close()
    await parrot.is_alone()
    assert parrot.links == ["up", "down"]


# ---------------------------------------------------------------------- a whole update, cut anywhere

IMAGE = bytes(n * 7 % 256 for n in range(700))
OPERATIONS = 20
PLAIN = Habits(login_required=False)


async def update(air: Air, address: str) -> None:
    """Connect, send IMAGE, take note of the success, and see the link go down for the reboot."""
    async with VirtualRadio(air).connect(address, within_s=20) as link:
        char = link.facts.find(CHAR)
        assert char is not None

        async def say(command: int, data: bytes, packet_id: int = 1000) -> None:
            await link.write(char.handle, frame(command, data, packet_id), ack=True)

        async def hear() -> bytes:
            return (await heard(link, char.handle)).data

        await link.subscribe(char.handle)
        await say(0x7022, notification(IMAGE))
        assert RECEIVE in await hear()
        for at in range(0, len(IMAGE), 100):
            await say(0x7025, packet(at, IMAGE[at : at + 100]))
            await hear()
        success = await hear()
        assert success.endswith(SUCCESS)
        await say(0x7024, b"", int.from_bytes(success[5:7], "big"))
        with suppress(LinkLostError):
            await heard(link, char.handle)


def on_air(folder: Path, habits: Habits = PLAIN) -> tuple[Air, QuecThing]:
    world = World.create(folder)
    thing = QuecThing(world, world.devices[0], habits)
    air = Air()
    air.add(thing)
    return air, thing


async def booted(air: Air, thing: QuecThing) -> tuple[bytes, str]:
    """What it runs once it can be met again."""
    async with VirtualRadio(air).connect(thing.address, within_s=20):
        return thing.running("MAIN"), thing.version("MAIN")


async def test_an_update_has_so_many_operations(tmp_path: Path) -> None:
    air, thing = on_air(tmp_path)
    await update(air, thing.address)
    assert air.operations == OPERATIONS


@pytest.mark.parametrize("at", range(OPERATIONS))
async def test_a_cut_before_any_operation_is_mended_by_the_same_again(tmp_path: Path, at: int) -> None:
    air, thing = on_air(tmp_path)
    air.before_operation = lambda index, _kind: air.cut() if index == at else None
    with pytest.raises(LinkLostError):
        await update(air, thing.address)
    assert thing.running("MAIN") == b""
    await update(air, thing.address)
    assert await booted(air, thing) == (IMAGE, "9.9.9")


@pytest.mark.parametrize("fate", [f for f in Fate if f is not Fate.PASS])
@pytest.mark.parametrize("at", range(OPERATIONS))
async def test_any_fate_of_any_operation_is_mended_by_the_same_again(tmp_path: Path, at: int, fate: Fate) -> None:
    air, thing = on_air(tmp_path)
    air.on_operation = lambda operation: fate if operation.index == at else Fate.PASS
    with suppress(LinkLostError, TimeoutError, AssertionError):  # of a device that cancels, for one
        await update(air, thing.address)
    await update(air, thing.address)
    assert await booted(air, thing) == (IMAGE, "9.9.9")


# ---------------------------------------------------------------------- power that fails anywhere

FLASH_OPERATIONS = 12  # erase, stage, seven packets, accept; at the boot: move, save


def fails_at(thing: QuecThing, at: int) -> None:
    """Let power fail in the flash operation with this number, from now on, once."""
    begun = thing.flash.operations

    def cut(_operation: str) -> None:
        if thing.flash.operations == begun + at + 1:
            raise PowerCutError

    thing.flash.on_operation = cut


async def test_an_update_has_so_many_flash_operations(tmp_path: Path) -> None:
    air, thing = on_air(tmp_path)
    await update(air, thing.address)
    await booted(air, thing)
    assert thing.flash.operations == FLASH_OPERATIONS


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("at", range(FLASH_OPERATIONS))
async def test_power_that_comes_back_on_the_air_is_followed_by_a_whole_update(
    tmp_path: Path, at: int, same: bool
) -> None:
    air, thing = on_air(tmp_path)
    fails_at(thing, at)
    with suppress(LinkLostError):
        await update(air, thing.address)
    with pytest.raises(DeviceNotFoundError):
        await booted(air, thing)
    if not same:
        thing = QuecThing(World.open(tmp_path), thing.world.devices[0], PLAIN)
    air.add(thing)
    assert await booted(air, thing) in ((b"", "1.0.0"), (IMAGE, "9.9.9"))
    await update(air, thing.address)
    assert await booted(air, thing) == (IMAGE, "9.9.9")

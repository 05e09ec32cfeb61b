from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from ble_ota.errors import LinkLostError
from ble_ota.link import Link
from ble_ota.virtual.air import Air
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.wire import Fate, Operation
from tests.virtual.peripherals.parrot import ADDRESS, Parrot, heard

pytestmark = pytest.mark.looptime

FADES_S = 5.0


@dataclass(slots=True)
class Pair:
    """A host and a parrot."""

    air: Air
    parrot: Parrot
    link: Link

    def meets(self, fate: Fate, kind: str) -> None:
        """The next operation of this kind meets its fate, and no other."""
        fates = iter((fate,))

        def befalls(operation: Operation) -> Fate:
            return next(fates, Fate.PASS) if operation.kind == kind else Fate.PASS

        self.air.on_operation = befalls


@asynccontextmanager
async def pair() -> AsyncGenerator[Pair, None]:
    """A link on which one interval is a second."""
    air, parrot = Air(interval_s=1.0), Parrot()
    air.add(parrot)
    async with VirtualRadio(air).connect(ADDRESS, within_s=1) as link:
        await link.subscribe(1)
        await link.subscribe(2)
        yield Pair(air, parrot, link)


def now() -> float:
    return asyncio.get_running_loop().time()


async def lost_after(doing: Awaitable[object]) -> float:
    """How long it takes until the host knows that the link is gone."""
    before = now()
    with pytest.raises(LinkLostError):
        await doing
    return now() - before


# ---------------------------------------------------------------------- what the host asks


@pytest.mark.parametrize(
    ("fate", "arrives", "lost_s"),
    [
        (Fate.CUT_BEFORE, False, 0),
        (Fate.CUT_AFTER, True, 1),
        (Fate.LOSE_ANSWER, True, 1 + FADES_S),
        (Fate.LOSE, False, 1 + FADES_S),
    ],
)
async def test_a_write_request_meets_its_fate(fate: Fate, arrives: bool, lost_s: float) -> None:
    async with pair() as on:
        on.meets(fate, "write")
        assert await lost_after(on.link.write(1, b"x", ack=True)) == pytest.approx(lost_s)
        assert bool(on.parrot.heard) is arrives
        await on.parrot.is_alone()


@pytest.mark.parametrize(("fate", "arrives"), [(Fate.CUT_BEFORE, False), (Fate.CUT_AFTER, True)])
async def test_a_write_command_is_cut(fate: Fate, arrives: bool) -> None:
    async with pair() as on:
        on.meets(fate, "write")
        await lost_after(on.link.write(2, b"x", ack=False))
        assert bool(on.parrot.heard) is arrives


@pytest.mark.parametrize(("fate", "arrives"), [(Fate.LOSE, False), (Fate.LOSE_ANSWER, True)])
async def test_a_write_command_has_no_answer_to_miss(fate: Fate, arrives: bool) -> None:
    async with pair() as on:
        on.meets(fate, "write")
        await on.link.write(2, b"x", ack=False)
        assert bool(on.parrot.heard) is arrives
        assert await on.link.read(3) == b"polly"


@pytest.mark.parametrize("kind", ["read", "subscribe"])
@pytest.mark.parametrize("fate", [f for f in Fate if f is not Fate.PASS])
async def test_a_request_that_meets_its_fate_ends_the_link(kind: str, fate: Fate) -> None:
    async with pair() as on:
        on.meets(fate, kind)
        await lost_after(on.link.read(3) if kind == "read" else on.link.subscribe(1))
        await on.parrot.is_alone()


@pytest.mark.parametrize(
    ("fate", "links", "lost_s"),
    [
        (Fate.CUT_BEFORE, [], 0),
        (Fate.CUT_AFTER, ["up", "down"], 0.05),
        (Fate.LOSE_ANSWER, ["up", "down"], 0.05 + FADES_S),
        (Fate.LOSE, [], 0.05 + FADES_S),
    ],
)
async def test_a_connect_request_meets_its_fate(fate: Fate, links: list[str], lost_s: float) -> None:
    air, parrot = Air(), Parrot()
    air.add(parrot)
    air.on_operation = lambda operation: fate if operation.index == 0 else Fate.PASS
    radio = VirtualRadio(air)
    assert await lost_after(radio.connect(ADDRESS, within_s=1).__aenter__()) == pytest.approx(lost_s)
    async with radio.connect(ADDRESS, within_s=1):
        assert parrot.links == [*links, "up"]


# ---------------------------------------------------------------------- what the device says


@pytest.mark.parametrize(("handle", "kind"), [(1, "indication"), (2, "notification")])
@pytest.mark.parametrize("fate", [Fate.LOSE, Fate.LOSE_ANSWER])
async def test_a_value_is_lost_without_a_cut(handle: int, kind: str, fate: Fate) -> None:
    async with pair() as on:
        on.meets(fate, kind)
        for value in (b"first", b"second"):
            on.parrot.carrier.send(on.link.facts.characteristics[handle - 1].uuid, value)
        assert (await heard(on.link, handle)).data == b"second"
        assert on.air.lost == 1


@pytest.mark.parametrize(("handle", "kind"), [(1, "indication"), (2, "notification")])
async def test_a_value_that_is_cut_does_not_arrive(handle: int, kind: str) -> None:
    async with pair() as on:
        on.meets(Fate.CUT_BEFORE, kind)
        on.parrot.carrier.send(on.link.facts.characteristics[handle - 1].uuid, b"x")
        await lost_after(heard(on.link, handle))


async def test_a_value_before_a_cut_arrives_and_nothing_after_it() -> None:
    async with pair() as on:
        on.meets(Fate.CUT_AFTER, "notification")
        on.parrot.chatter(b"first", b"second")
        assert (await heard(on.link, 2)).data == b"first"
        await lost_after(heard(on.link, 2))
        await on.parrot.is_alone()


# ---------------------------------------------------------------------- a link that fades


async def test_nothing_that_the_device_says_comes_through_a_fading_link() -> None:
    async with pair() as on:
        on.meets(Fate.LOSE_ANSWER, "write")
        await lost_after(on.link.write(1, b"x", ack=True))  # the parrot says it back
        await lost_after(heard(on.link, 1))


async def test_what_the_device_begins_to_say_on_a_fading_link_does_not_come_through() -> None:
    async with pair() as on:
        on.meets(Fate.LOSE_ANSWER, "write")
        asyncio.get_running_loop().call_later(3, on.parrot.chatter, b"x")
        await lost_after(on.link.write(1, b"x", ack=True))
        await lost_after(heard(on.link, 1, 2))


async def test_whoever_waits_on_a_fading_link_is_told_at_its_end() -> None:
    async with pair() as on:
        on.meets(Fate.LOSE_ANSWER, "write")
        async with asyncio.TaskGroup() as group:
            group.create_task(lost_after(on.link.write(1, b"x", ack=True)))
            waited = group.create_task(lost_after(heard(on.link, 2)))
        assert waited.result() == pytest.approx(1 + FADES_S)


@pytest.mark.parametrize(
    "ask",
    [
        lambda link: link.read(3),
        lambda link: link.subscribe(1),
        lambda link: link.write(1, b"late", ack=True),
        lambda link: link.write(2, b"late", ack=False),
    ],
)
async def test_nothing_reaches_the_device_over_a_fading_link(ask: Callable[[Link], Awaitable[object]]) -> None:
    async with pair() as on:
        on.meets(Fate.LOSE_ANSWER, "write")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await on.link.write(1, b"x", ack=True)
        assert await lost_after(ask(on.link)) == pytest.approx(FADES_S - 2)
        assert on.parrot.heard == [b"x"]


async def test_a_fading_link_ends_though_nobody_waits() -> None:
    async with pair() as on:
        on.meets(Fate.LOSE_ANSWER, "write")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await on.link.write(1, b"x", ack=True)
        await on.parrot.is_alone()
        assert now() == pytest.approx(4.05 + 1 + FADES_S)

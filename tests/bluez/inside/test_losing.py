"""A link that ends is told at once, whatever its user is at. Seconds are real ones of a slow machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ble_ota.errors import LinkLostError
from ble_ota.link import Link
from tests.bluez.inside.bluez import Machine
from tests.bluez.inside.conftest import CONNECT_S
from tests.gatt.contract import ADDRESS, NEWS, TALK, Rig, handle, handle_of_twin

AT_ONCE_S = 3.0  # a link that nobody ended is lost by the supervision timeout, 20 s in BlueZ; an ATT answer after 30 s


async def lost_within(doing: Callable[[], Awaitable[object]], within_s: float = AT_ONCE_S) -> None:
    async with asyncio.timeout(within_s):
        with pytest.raises(LinkLostError):
            await doing()


async def test_an_idle_link_hears_at_once_that_the_device_hung_up(rig: Rig, link: Link) -> None:
    waiting = asyncio.ensure_future(link.notification((handle(link, NEWS),)))
    await link.read(handle_of_twin(link))  # by now it waits
    rig.subject.carrier.disconnect()
    await lost_within(lambda: waiting)


async def test_a_write_that_is_never_answered_ends_with_the_link(rig: Rig, link: Link) -> None:
    rig.subject.on_written = lambda _value: rig.subject.carrier.disconnect()

    async def write_on() -> None:
        while True:
            await link.write(handle(link, TALK), b"x", ack=True)

    await lost_within(write_on)


async def test_subscribing_ends_with_the_link(rig: Rig, link: Link) -> None:
    char = handle(link, NEWS)

    async def subscribe_and_wait() -> None:
        await link.subscribe(char)
        await link.notification((char,))  # it was quicker than the cut

    subscribing = asyncio.ensure_future(subscribe_and_wait())
    await asyncio.wait({subscribing}, timeout=0)  # it has asked
    rig.cut()
    await lost_within(lambda: subscribing)


async def test_a_device_out_of_range_is_a_lost_link(rig: Rig, link: Link) -> None:
    waiting = asyncio.ensure_future(link.notification((handle(link, NEWS),)))
    await link.read(handle_of_twin(link))
    rig.cut()
    await lost_within(lambda: waiting)


async def test_a_link_that_was_lost_while_nobody_looked_is_told_to_the_next_who_does(rig: Rig, link: Link) -> None:
    rig.subject.carrier.disconnect()
    async with asyncio.timeout(AT_ONCE_S):
        await rig.subject.down.wait()
    await lost_within(lambda: link.write(handle(link, TALK), b"x", ack=True))


async def test_the_device_is_free_again_at_the_end_of_a_link(bluez: Machine, rig: Rig) -> None:
    async with rig.radio.connect(ADDRESS, within_s=CONNECT_S):
        assert rig.subject.links == ["up"]
    async with asyncio.timeout(AT_ONCE_S):
        await rig.subject.down.wait()
    assert [c for c in bluez.controllers.values() if c.le_connections] == []

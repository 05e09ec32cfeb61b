"""The adapter is switched off, or bluetoothd dies: told in time, and the same radio works afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ble_ota.errors import AdapterError, LinkLostError
from ble_ota.link import Link
from tests.bluez.inside.bluez import ADAPTERS, Machine
from tests.bluez.inside.conftest import CONNECT_S
from tests.gatt.contract import ADDRESS, NEWS, TALK, Rig, handle, handle_of_twin

TOLD_S = 10.0  # our promise to users is seconds; D-Bus itself waits for 25
SCAN_S = 30.0
pytestmark = pytest.mark.usefixtures("mended")

Harm = Callable[[], Awaitable[None]]


@pytest.fixture(params=["adapter off", "bluetoothd killed"])
def harm(request: pytest.FixtureRequest, bluez: Machine) -> Harm:
    async def off() -> None:
        for name in ADAPTERS:
            await bluez.power(name, on=False)

    return {"adapter off": off, "bluetoothd killed": bluez.kill}[request.param]


async def write_on(link: Link, *, ack: bool) -> None:
    """A transfer that never ends by itself; reads now and then, so that commands do not pile up."""
    for number in range(100_000):
        await link.write(handle(link, TALK), bytes(200), ack=ack)
        if number % 20 == 0:
            await link.read(handle_of_twin(link))


@pytest.mark.parametrize("ack", [True, False], ids=["requests", "commands"])
async def test_in_mid_transfer_it_is_a_lost_link(rig: Rig, link: Link, harm: Harm, ack: bool) -> None:
    transfer = asyncio.ensure_future(write_on(link, ack=ack))
    started = asyncio.Event()
    rig.subject.on_written = lambda _value: started.set()
    await started.wait()
    await harm()
    async with asyncio.timeout(TOLD_S):
        with pytest.raises(LinkLostError):
            await transfer


async def test_who_waits_for_a_word_is_told(link: Link, harm: Harm) -> None:
    await link.subscribe(handle(link, NEWS))
    waiting = asyncio.ensure_future(link.notification((handle(link, NEWS),)))
    await link.read(handle_of_twin(link))
    await harm()
    async with asyncio.timeout(TOLD_S):
        with pytest.raises(LinkLostError):
            await waiting


async def test_the_same_radio_connects_again_when_it_is_mended(bluez: Machine, rig: Rig, harm: Harm) -> None:
    async with asyncio.timeout(CONNECT_S + TOLD_S), rig.radio.connect(ADDRESS, within_s=CONNECT_S) as link:
        await harm()
        with pytest.raises(LinkLostError):
            await write_on(link, ack=True)
    await bluez.mend()
    async with rig.radio.connect(ADDRESS, within_s=CONNECT_S) as link:
        assert await link.read(handle_of_twin(link)) == ADDRESS.encode()


async def test_who_begins_to_scan_is_told(rig: Rig, harm: Harm) -> None:
    await harm()
    async with asyncio.timeout(SCAN_S + TOLD_S):
        with pytest.raises(AdapterError):
            async for _ in rig.radio.scan(within_s=SCAN_S):
                pass


async def test_who_begins_to_connect_is_told(rig: Rig, harm: Harm) -> None:
    await harm()
    async with asyncio.timeout(SCAN_S + TOLD_S):
        with pytest.raises(AdapterError):
            async with rig.radio.connect(ADDRESS, within_s=SCAN_S):
                pass


async def test_who_connects_while_it_is_mended_gets_through(bluez: Machine, rig: Rig, harm: Harm) -> None:
    async with rig.radio.connect(ADDRESS, within_s=CONNECT_S):
        pass  # Bluetooth has worked here: it may come back
    await harm()
    connecting = asyncio.ensure_future(a_read(rig))
    await bluez.mend()
    assert await connecting == ADDRESS.encode()


async def a_read(rig: Rig) -> bytes:
    async with rig.radio.connect(ADDRESS, within_s=CONNECT_S) as link:
        return await link.read(handle_of_twin(link))

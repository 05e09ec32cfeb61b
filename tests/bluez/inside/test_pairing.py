"""A device that wants to be paired first: all of tests/gatt/test_pairing.py, and what BlueZ keeps of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack

import pytest
from bumble.pairing import PairingConfig, PairingDelegate
from dbus_fast import Message

from ble_ota.errors import LinkLostError
from ble_ota.gatt import bleak_bus
from ble_ota.gatt.bleak_radio import BleakRadio
from tests.bluez.inside.bluez import Machine
from tests.bluez.inside.conftest import CONNECT_S
from tests.gatt.contract import ADDRESS
from tests.gatt.test_pairing import *  # noqa: F403
from tests.gatt.test_pairing import Shy, told

AT_ONCE_S = 10.0


@pytest.fixture(autouse=True)
async def unknown(bluez: Machine) -> AsyncIterator[None]:
    """BlueZ knows no device before and after each of these."""
    await bluez.forget()
    yield
    await bluez.forget()


async def bonded(radio: BleakRadio) -> bool | None:
    """Whether BlueZ says, in a scan, that it keeps keys of the device."""
    async for advert in radio.scan(within_s=CONNECT_S):
        if advert.address == ADDRESS:
            return advert.bonded
    pytest.fail("it was not heard")


async def test_a_bond_that_was_made_on_the_way_is_kept(bluez: Machine) -> None:
    radio = BleakRadio()
    async with bluez.around(Shy(ADDRESS)):
        async with radio.connect(ADDRESS, within_s=CONNECT_S) as link:
            await told(link)
        assert await bonded(radio)


@pytest.mark.parametrize("desktop", [True, False])
async def test_a_desktop_is_asked_before_us(bluez: Machine, monkeypatch: pytest.MonkeyPatch, desktop: bool) -> None:
    """So nobody's dialog is passed by; without one we are asked, or nobody would be."""
    ours: list[Message] = []
    whole = bleak_bus.answer

    def answer(message: Message, allowed: Collection[str]) -> Message | None:
        said = whole(message, allowed)
        if said is not None and message.member in bleak_bus.AGREES:
            ours.append(message)
        return said

    monkeypatch.setattr(bleak_bus, "answer", answer)
    async with AsyncExitStack() as there:
        theirs = await there.enter_async_context(bluez.desktop()) if desktop else []
        await there.enter_async_context(bluez.around(Shy(ADDRESS)))
        link = await there.enter_async_context(BleakRadio().connect(ADDRESS, within_s=CONNECT_S))
        assert await told(link) == ADDRESS.encode()
    assert (len(theirs), len(ours)) == ((1, 0) if desktop else (0, 1))


class Refuses(PairingDelegate):
    async def accept(self) -> bool:
        return False


async def test_a_device_that_will_not_pair_is_a_lost_link_at_once(bluez: Machine) -> None:
    """Linux drops the link then, and does not say why: it must not take the 30 s of an ATT request."""
    async with bluez.around(Shy(ADDRESS)) as (stack,):
        stack.pairing_config_factory = lambda _: PairingConfig(delegate=Refuses())
        async with BleakRadio().connect(ADDRESS, within_s=CONNECT_S) as link, asyncio.timeout(AT_ONCE_S):
            with pytest.raises(LinkLostError):
                await told(link)

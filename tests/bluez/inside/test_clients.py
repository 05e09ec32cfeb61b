"""Several links at once, and adapters by their names."""

from __future__ import annotations

import asyncio

import pytest

from ble_ota.errors import AdapterError
from ble_ota.gatt.bleak_radio import BleakRadio
from ble_ota.link import Radio
from tests.bluez.inside.bluez import ADAPTERS, Machine
from tests.bluez.inside.conftest import CONNECT_S
from tests.gatt.contract import ADDRESS, OTHER, TALK, Rig, handle

BOTH_S = 2 * CONNECT_S
SAID = [number.to_bytes(2, "big") for number in range(50)]


async def tell(radio: Radio, address: str, connected: asyncio.Barrier) -> None:
    async with radio.connect(address, within_s=CONNECT_S) as link:
        await connected.wait()
        for value in SAID:
            await link.write(handle(link, TALK), value, ack=True)
        await connected.wait()


async def both(first: Radio, second: Radio) -> None:
    """Write to two devices, each link standing from before the other's first write to after its last."""
    connected = asyncio.Barrier(2)
    async with asyncio.timeout(BOTH_S), asyncio.TaskGroup() as links:
        links.create_task(tell(first, ADDRESS, connected))
        links.create_task(tell(second, OTHER, connected))


async def test_two_links_of_one_adapter_do_not_mix(rig: Rig) -> None:
    await both(rig.radio, rig.radio)
    assert [rig.subject.written_values, rig.other.written_values] == [SAID, SAID]


async def test_two_radios_of_one_program_share_an_adapter(rig: Rig) -> None:
    await both(rig.radio, BleakRadio())
    assert [rig.subject.written_values, rig.other.written_values] == [SAID, SAID]


async def test_two_adapters_carry_one_link_each(rig: Rig) -> None:
    await both(BleakRadio(adapter="hci0"), BleakRadio(adapter="hci1"))
    assert [rig.subject.written_values, rig.other.written_values] == [SAID, SAID]


@pytest.mark.parametrize("name", ADAPTERS)
async def test_the_adapter_that_was_named_is_taken(bluez: Machine, rig: Rig, name: str) -> None:
    async with BleakRadio(adapter=name).connect(ADDRESS, within_s=CONNECT_S):
        assert [n for n, c in bluez.controllers.items() if c.le_connections] == [name]


async def test_an_adapter_that_is_not_there_is_told(rig: Rig) -> None:
    async with asyncio.timeout(CONNECT_S):
        with pytest.raises(AdapterError):
            async for _ in BleakRadio(adapter="hci7").scan(within_s=5.0):
                pass

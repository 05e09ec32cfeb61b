"""Hearing devices through BlueZ."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from ble_ota.errors import DeviceNotFoundError
from ble_ota.link import Advert, Radio
from tests.gatt.contract import ADDRESS, FIRST, MAKER, NOBODY, OTHER, Rig

SCAN_S = 30.0


async def heard_fully(radio: Radio, *addresses: str) -> dict[str, Advert]:
    """Each of `addresses` as heard once its scan response was in, too."""
    found: dict[str, Advert] = {}
    async with asyncio.timeout(SCAN_S), aclosing(radio.scan(within_s=SCAN_S)) as adverts:
        async for advert in adverts:
            if advert.address in addresses and advert.manufacturer:
                found[advert.address] = advert
            if len(found) == len(addresses):
                break
    return found


async def test_devices_are_heard_with_name_and_service(rig: Rig) -> None:
    found = await heard_fully(rig.radio, ADDRESS, OTHER)
    assert {(a.name, a.services) for a in found.values()} == {("subject", (FIRST,))}


async def test_the_keys_of_the_scan_response_are_heard(rig: Rig) -> None:
    assert (await heard_fully(rig.radio, ADDRESS))[ADDRESS].manufacturer == MAKER


async def test_how_strong_a_device_is_heard_is_told(rig: Rig) -> None:
    strength = (await heard_fully(rig.radio, ADDRESS))[ADDRESS].rssi_dbm
    assert strength is not None
    assert -127 < strength < 21  # Core Specification Vol 4 Part E 7.7.65.2


async def test_the_kind_of_an_address_is_told(rig: Rig) -> None:
    assert (await heard_fully(rig.radio, ADDRESS))[ADDRESS].address_type == "random"


async def test_whoever_is_not_there_is_not_found_in_time(rig: Rig) -> None:
    async with asyncio.timeout(SCAN_S):
        with pytest.raises(DeviceNotFoundError):
            async with rig.radio.connect(NOBODY, within_s=3.0):
                pass


async def test_two_scans_of_one_program_hear_both(rig: Rig) -> None:
    first, second = await asyncio.gather(heard_fully(rig.radio, ADDRESS), heard_fully(rig.radio, OTHER))
    assert [*first, *second] == [ADDRESS, OTHER]

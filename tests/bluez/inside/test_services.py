"""A device that comes back with another GATT table: what BlueZ remembers of the old one must not be believed."""

from __future__ import annotations

import pytest

from ble_ota.errors import LinkLostError
from ble_ota.gatt.bleak_radio import BleakRadio
from ble_ota.link import uuid16
from ble_ota.virtual.peripheral import VirtualCharacteristic, VirtualService
from tests.bluez.inside.bluez import Machine
from tests.bluez.inside.conftest import CONNECT_S
from tests.gatt.contract import ADDRESS, FIRST, NEWS, SECOND, TALK, TWIN, Subject, handle, heard

NEW = uuid16(0xFF04)


class Reborn(Subject):
    """The same device after an update: other characteristics, at the handles of the old ones."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        made = tuple(VirtualCharacteristic(uuid, frozenset({"read"})) for uuid in (NEW, TWIN))
        self.services = (VirtualService(FIRST, made[:1]), VirtualService(SECOND, made[1:]))

    def read(self, uuid: str) -> bytes:
        return f"{uuid} of now".encode()


OURS = {TALK, NEWS, TWIN, NEW}


async def test_after_a_goodbye_the_new_table_is_seen(bluez: Machine) -> None:
    radio = BleakRadio()
    async with bluez.around(Subject(ADDRESS)), radio.connect(ADDRESS, within_s=CONNECT_S) as link:
        assert {c.uuid for c in link.facts.characteristics} & OURS == {TALK, TWIN, NEWS}
    async with bluez.around(Reborn(ADDRESS)), radio.connect(ADDRESS, within_s=CONNECT_S) as link:
        assert {c.uuid for c in link.facts.characteristics} & OURS == {NEW, TWIN}


async def test_after_a_reboot_in_mid_link_the_new_table_is_seen_and_works(bluez: Machine) -> None:
    radio, old = BleakRadio(), Subject(ADDRESS)
    async with bluez.around(old), radio.connect(ADDRESS, within_s=CONNECT_S) as link:
        bluez.cut()
        with pytest.raises(LinkLostError):
            await heard(link, handle(link, NEWS))
    async with bluez.around(Reborn(ADDRESS)), radio.connect(ADDRESS, within_s=CONNECT_S) as link:
        found = link.facts.find(NEW)
        assert found is not None
        assert await link.read(found.handle) == f"{NEW} of now".encode()


async def test_another_process_that_knew_the_old_table_does_not_matter(bluez: Machine) -> None:
    """Each radio is as a process of its own: what BlueZ kept was kept for another."""
    async with bluez.around(Subject(ADDRESS)), BleakRadio().connect(ADDRESS, within_s=CONNECT_S):
        pass
    async with bluez.around(Reborn(ADDRESS)), BleakRadio().connect(ADDRESS, within_s=CONNECT_S) as link:
        assert {c.uuid for c in link.facts.characteristics} & OURS == {NEW, TWIN}

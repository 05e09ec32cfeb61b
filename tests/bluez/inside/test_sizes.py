"""How much one write carries, as BlueZ tells it and as the device gets it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ble_ota.gatt.bleak_radio import BleakRadio
from ble_ota.link import ATT_VALUE_MAX, Link
from tests.bluez.inside.bluez import Machine
from tests.bluez.inside.conftest import CONNECT_S
from tests.gatt.contract import ADDRESS, TALK, Rig, Subject, handle, handle_of_twin


@pytest.fixture
def mtu() -> int:
    return 517


@pytest.fixture
async def rig(bluez: Machine, mtu: int) -> AsyncIterator[Rig]:
    subject = Subject(ADDRESS)
    async with bluez.around(subject, mtu=mtu):
        yield Rig(BleakRadio(), subject, subject, bluez.cut)


@pytest.fixture
async def link(rig: Rig) -> AsyncIterator[Link]:
    async with rig.radio.connect(ADDRESS, within_s=CONNECT_S) as made:
        yield made


@pytest.mark.parametrize("mtu", [23, 64, 517])
async def test_the_largest_write_is_what_the_mtu_leaves_and_never_over_512(link: Link, mtu: int) -> None:
    talk = link.facts.find(TALK)
    assert talk is not None
    assert talk.max_write == min(mtu - 3, ATT_VALUE_MAX)


async def test_the_largest_command_arrives_whole(rig: Rig, link: Link) -> None:
    talk = link.facts.find(TALK)
    assert talk is not None
    value = bytes(n % 251 for n in range(talk.max_write))
    await link.write(talk.handle, value, ack=False)
    await link.read(handle_of_twin(link))  # comes after it
    assert rig.subject.written_values == [value]


async def test_the_largest_request_arrives_whole(rig: Rig, link: Link) -> None:
    talk = link.facts.find(TALK)
    assert talk is not None
    value = bytes(n % 251 for n in range(talk.max_write))
    await link.write(handle(link, TALK), value, ack=True)
    assert rig.subject.written_values == [value]

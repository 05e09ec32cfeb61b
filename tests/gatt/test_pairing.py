"""A device that answers nobody it is not paired with, over every carrier that can encrypt; see `carriers.py`."""

from __future__ import annotations

import pytest

from ble_ota.link import Link
from ble_ota.virtual.peripheral import VirtualCharacteristic, VirtualService
from tests.gatt import carriers
from tests.gatt.contract import ADDRESS, FIRST, PROMPT_S, TALK, TWIN, Subject, handle, handle_of_twin

CARRIERS = [pytest.param(carrier, id=name) for name, carrier in carriers.carriers() if name != "in memory"]
over_each = pytest.mark.parametrize("carrier", CARRIERS)
CONNECT_S = 15 * PROMPT_S


class Shy(Subject):
    """The subject of the link contract, behind a lock."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        talk = VirtualCharacteristic(TALK, frozenset({"write", "indicate"}), sealed=True)
        twin = VirtualCharacteristic(TWIN, frozenset({"read"}), sealed=True)
        self.services = (VirtualService(FIRST, (talk, twin)),)


async def told(link: Link) -> bytes:
    """Write to it, and read what it is."""
    await link.write(handle(link, TALK), b"hello", ack=True)
    return await link.read(handle_of_twin(link))


@over_each
async def test_a_device_that_asks_for_it_is_paired_and_answers(carrier: carriers.Carrier) -> None:
    shy = Shy(ADDRESS)
    async with carrier(shy) as radio, radio.connect(ADDRESS, within_s=CONNECT_S) as link:
        assert await told(link) == ADDRESS.encode()
    assert shy.written_values == [b"hello"]
    assert shy.links[0] == "up"
    assert shy.links.count("up") == 1  # nothing of it cost a link


@over_each
async def test_a_device_that_was_paired_answers_again(carrier: carriers.Carrier) -> None:
    shy = Shy(ADDRESS)
    async with carrier(shy) as radio:
        for _ in range(3):
            async with radio.connect(ADDRESS, within_s=CONNECT_S) as link:
                assert await told(link) == ADDRESS.encode()
    assert shy.written_values == [b"hello"] * 3

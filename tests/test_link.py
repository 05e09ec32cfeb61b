from __future__ import annotations

import pytest

from ble_ota.link import Characteristic, LinkFacts, uuid16

FACTS = LinkFacts(
    "C0:DE:B0:E0:00:01",
    (
        Characteristic(3, uuid16(0x2A26), uuid16(0x180A), 20),
        Characteristic(5, uuid16(0x9C40), uuid16(0x180A), 20),
        Characteristic(9, uuid16(0x9C40), uuid16(0x180A), 20),
    ),
)


def test_a_uuid_of_16_bits_is_written_out() -> None:
    assert uuid16(0x9C40) == "00009c40-0000-1000-8000-00805f9b34fb"


@pytest.mark.parametrize(("number", "handle"), [(0x2A26, 3), (0x9C40, 5)])
def test_the_first_characteristic_with_a_uuid_is_found(number: int, handle: int) -> None:
    found = FACTS.find(uuid16(number))
    assert found is not None
    assert found.handle == handle


def test_a_uuid_the_device_lacks_is_not_found() -> None:
    assert FACTS.find(uuid16(0x9C41)) is None

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ble_ota.virtual.peripherals import Habits
from ble_ota.virtual.peripherals.quecthing.advert import advertisement, services
from ble_ota.virtual.world import World

UUID_180A = "0000180a-0000-1000-8000-00805f9b34fb"


def manufacturer(folder: Path, habits: Habits, device_key: str = "B0E0C0DE0001") -> dict[int, bytes]:
    world = World.create(folder)
    device = replace(world.devices[0], device_key=device_key)
    return dict(advertisement(world, device, habits).manufacturer)


def test_the_newer_format_is_byte_for_byte_as_described(tmp_path: Path) -> None:
    keys = "06" + b"p11vWQ".hex() + "06" + "b0e0c0de0001"
    assert manufacturer(tmp_path, Habits()) == {0x5551: bytes.fromhex("45430001" + keys + "001004")}


def test_an_unbound_device_lacks_the_flag(tmp_path: Path) -> None:
    assert manufacturer(tmp_path, Habits(bound=False))[0x5551][-2:] == b"\x10\x00"


def test_a_lower_case_key_lacks_the_flag(tmp_path: Path) -> None:
    assert manufacturer(tmp_path, Habits(), "b0e0c0de0001")[0x5551][-2:] == b"\x00\x04"


def test_an_odd_key_is_filled_up_and_flagged(tmp_path: Path) -> None:
    assert manufacturer(tmp_path, Habits(), "ABC")[0x5551][-6:] == bytes.fromhex("02abc0")[:3] + b"\x00\x11\x04"


def test_the_2022_format_of_a_bound_device_is_its_mac(tmp_path: Path) -> None:
    mac = bytes.fromhex("C0DEB0E00001")
    assert manufacturer(tmp_path, Habits(advert_format="2022")) == {0xDEC0: mac[2:]}


def test_the_2022_format_of_an_unbound_device_has_the_product_key(tmp_path: Path) -> None:
    found = manufacturer(tmp_path, Habits(advert_format="2022", bound=False))
    assert found == {0xDEC0: bytes.fromhex("B0E00001") + b"p11vWQ"}


def test_name_and_service_are_as_documented(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    said = advertisement(world, world.devices[0], Habits())
    assert (said.name, said.services) == ("QUEC_BLE_0001", (UUID_180A,))


@pytest.mark.parametrize(("habits", "expected"), [(Habits(), ["9c40", "9c41"]), (Habits(firmware_revision=True), None)])
def test_the_table_is_one_service_with_the_documented_characteristics(
    habits: Habits, expected: list[str] | None
) -> None:
    (service,) = services(habits)
    assert service.uuid == UUID_180A
    assert [c.uuid[4:8] for c in service.characteristics] == (expected or ["9c40", "9c41", "2a26"])


def test_the_protocol_is_written_with_response_and_indicated(tmp_path: Path) -> None:
    assert services(Habits())[0].characteristics[0].properties == {"write", "indicate"}

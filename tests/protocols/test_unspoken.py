from __future__ import annotations

import pytest

from ble_ota.link import Advert
from ble_ota.protocols.unspoken import SERVICES, unspoken

BATTERY = "0000180f-0000-1000-8000-00805f9b34fb"


def heard(*services: str) -> Advert:
    return Advert("C0:00:00:00:00:01", "x", -50, services)


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("8d53dc1d-1db7-4cd3-868b-8a527460aa84", "smp"),
        ("0000fe59-0000-1000-8000-00805f9b34fb", "nordic-secure-dfu"),
        ("8e400001-f315-4f60-9fb8-838830daea50", "nordic-buttonless-dfu"),
        ("00001530-1212-efde-1523-785feabcd123", "nordic-legacy-dfu"),
        ("00008018-0000-1000-8000-00805f9b34fb", "espressif-ota"),
    ],
)
def test_a_protocol_is_known_by_its_service_among_others(service: str, name: str) -> None:
    assert unspoken(heard(BATTERY, service)) == name


@pytest.mark.parametrize("services", [(), (BATTERY,), ("8d53dc1d",)])
def test_another_service_is_no_protocol(services: tuple[str, ...]) -> None:
    assert unspoken(heard(*services)) == ""


def test_every_service_is_written_as_an_advertisement_has_it() -> None:
    assert all(uuid == uuid.lower() and len(uuid) == 36 for uuid in SERVICES)

from __future__ import annotations

from dataclasses import replace

from ble_ota.link import Advert
from ble_ota.protocols import Sighting, drivers, recognise
from ble_ota.protocols.quecthing import Options

TABLE = drivers(quecthing_options=Options())
DEVICE = Advert("C0:DE:B0:E0:00:01", "QUEC_BLE_0001", -50)


def test_drivers_are_listed_by_their_names() -> None:
    assert {name: driver.name for name, driver in TABLE.items()} == {"quecthing": "quecthing"}


def test_the_first_driver_that_knows_an_advert_reads_it() -> None:
    blind = replace(TABLE["quecthing"], name="blind", recognise=lambda _advert: None)
    late = replace(TABLE["quecthing"], name="late", recognise=lambda _advert: Sighting("late"))
    assert recognise(DEVICE, [blind, *TABLE.values(), late]) == Sighting("quecthing")


def test_an_advert_nobody_knows_is_no_sighting() -> None:
    assert recognise(replace(DEVICE, name="Thermometer"), TABLE.values()) is None

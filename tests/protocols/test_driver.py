from __future__ import annotations

from ble_ota.protocols.driver import Sighting, Versions


def test_a_device_that_says_nothing_runs_nothing_known() -> None:
    assert Versions().by_component == {}


def test_a_version_is_the_devices_own_word_unless_said() -> None:
    assert Versions({"": "1.0.0"}).proof == "device"


def test_an_advert_without_keys_tells_empty_ones() -> None:
    assert (Sighting("x").product_key, Sighting("x").device_key) == ("", "")

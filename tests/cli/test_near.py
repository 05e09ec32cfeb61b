from __future__ import annotations

from dataclasses import replace

import pytest

from ble_ota.cli.near import NEAR_MAX, OTHERS_MAX, Near, Neighbourhood
from ble_ota.link import Advert, uuid16
from ble_ota.protocols import drivers
from ble_ota.protocols.quecthing import Options

DRIVERS = tuple(drivers(quecthing_options=Options()).values())
KEYS = {0x5551: b"EC\x00\x01\x06p11vWQ\x06\xb0\xe0\xc0\xde\x00\x01\x00\x10\x00"}
ADDRESS = "C0:DE:B0:E0:00:01"
NAMED = Advert(ADDRESS, "QUEC_BLE_0001", -50)
KEYED = Advert(ADDRESS, "", -50, (), KEYS)
SMP = Advert("C0:00:00:00:00:09", "sensor", -70, ("8d53dc1d-1db7-4cd3-868b-8a527460aa84",))
HEADPHONES = Advert("C0:00:00:00:00:0A", "Headphones", -30)


@pytest.fixture
def near() -> Neighbourhood:
    return Neighbourhood(DRIVERS)


def one(number: int, rssi: int | None = -50) -> Advert:
    return Advert(f"C0:00:00:00:{number >> 8:02X}:{number & 255:02X}", f"QUEC_BLE_{number:04d}", rssi)


def hear(near: Neighbourhood, *adverts: Advert) -> Near:
    """The device of `adverts` after all of them."""
    for at, advert in enumerate(adverts):
        near.hear(advert, float(at))
    return next(n for n in near.sorted if n.facts.address == adverts[-1].address)


@pytest.mark.parametrize("order", [(NAMED, KEYED), (KEYED, NAMED)])
def test_name_and_keys_of_two_packets_are_put_together(near: Neighbourhood, order: tuple[Advert, Advert]) -> None:
    facts = hear(near, *order).facts
    assert (facts.name, facts.product_key, facts.device_key) == ("QUEC_BLE_0001", "p11vWQ", "B0E0C0DE0001")
    assert (facts.protocol, facts.supported) == ("quecthing", True)


def test_a_packet_that_says_nothing_takes_nothing_away(near: Neighbourhood) -> None:
    full = replace(KEYED, name="QUEC_BLE_0001", address_type="random", connectable=True, bonded=False)
    assert hear(near, full, Advert(ADDRESS, "", None)).facts == hear(Neighbourhood(DRIVERS), full).facts


def test_a_device_that_tells_other_keys_is_shown_with_them(near: Neighbourhood) -> None:
    """An address may change hands, and keys may be written anew; what was told last counts."""
    others = {0x5551: b"EC\x00\x01\x06p99xyz\x06\xb0\xe0\xc0\xde\x00\x02\x00\x10\x00"}
    facts = hear(near, KEYED, replace(KEYED, manufacturer=others)).facts
    assert (facts.product_key, facts.device_key) == ("p99xyz", "B0E0C0DE0002")


def test_a_protocol_that_is_not_spoken_is_named(near: Neighbourhood) -> None:
    facts = hear(near, SMP).facts
    assert (facts.protocol, facts.supported, facts.device_key) == ("smp", False, "")


def test_a_device_that_turns_out_to_be_supported_is(near: Neighbourhood) -> None:
    facts = hear(near, replace(SMP, address=ADDRESS), NAMED).facts
    assert (facts.protocol, facts.supported) == ("quecthing", True)


def test_a_device_that_is_supported_stays_so(near: Neighbourhood) -> None:
    assert hear(near, NAMED, replace(SMP, address=ADDRESS)).facts.protocol == "quecthing"


def test_a_device_of_no_known_protocol_is_counted_once(near: Neighbourhood) -> None:
    assert [near.hear(HEADPHONES, 0.0), near.hear(HEADPHONES, 1.0)] == [None, None]
    assert (near.others, near.sorted) == (1, [])


def test_one_whose_protocol_is_told_later_is_no_other_any_more(near: Neighbourhood) -> None:
    near.hear(Advert(ADDRESS, "", -50), 0.0)
    near.hear(NAMED, 1.0)
    assert (near.others, len(near.sorted)) == (0, 1)


def test_a_name_is_cleaned_and_bounded(near: Neighbourhood) -> None:
    name = hear(near, replace(NAMED, name="QUEC_BLE_\x1b[31m\u202e" + "x" * 200)).facts.name
    assert name.startswith("QUEC_BLE_[31mxx")
    assert len(name) <= 64


# ------------------------------------------------------------------ what is news


def test_a_new_device_is_news(near: Neighbourhood) -> None:
    assert near.hear(NAMED, 0.0) is not None


@pytest.mark.parametrize("again", [NAMED, replace(NAMED, rssi_dbm=-90), replace(NAMED, name="")])
def test_the_same_again_is_no_news(near: Neighbourhood, again: Advert) -> None:
    near.hear(NAMED, 0.0)
    assert near.hear(again, 1.0) is None


@pytest.mark.parametrize(
    "changed",
    [
        KEYED,
        replace(NAMED, name="QUEC_BLE_9999"),
        replace(NAMED, address_type="public"),
        replace(NAMED, connectable=False),
        replace(NAMED, bonded=True),
    ],
)
def test_what_has_changed_is_news(near: Neighbourhood, changed: Advert) -> None:
    near.hear(NAMED, 0.0)
    assert near.hear(changed, 1.0) is not None


# ------------------------------------------------------------------ signals


def test_the_strongest_comes_first_and_the_unknown_last(near: Neighbourhood) -> None:
    for number, rssi in enumerate((-80, None, -40, -60)):
        near.hear(one(number, rssi), 0.0)
    assert [n.rssi_dbm for n in near.sorted] == [-40, -60, -80, None]


def test_two_that_are_as_strong_stand_as_they_came(near: Neighbourhood) -> None:
    for number in (3, 1, 2):
        near.hear(one(number), 0.0)
    assert [n.facts.name[-1] for n in near.sorted] == ["3", "1", "2"]


def test_rows_do_not_change_places_when_signals_waver(near: Neighbourhood) -> None:
    near.hear(one(1, -50), 0.0)
    near.hear(one(2, -51), 0.0)
    for at in range(100):
        near.hear(one(1, -50 + (-6, 6)[at % 2]), float(at))
        near.hear(one(2, -51 + (6, -6)[at % 2]), float(at))
        assert [n.facts.name[-1] for n in near.sorted] == ["1", "2"]


def test_a_device_that_comes_closer_rises(near: Neighbourhood) -> None:
    near.hear(one(1, -50), 0.0)
    near.hear(one(2, -80), 0.0)
    for at in range(30):
        near.hear(one(2, -40), float(at))
    assert [n.facts.name[-1] for n in near.sorted] == ["2", "1"]


@pytest.mark.parametrize("rssi", [127, -128, None, 21])
def test_a_signal_that_is_none_is_left_out(near: Neighbourhood, rssi: int | None) -> None:
    assert hear(near, one(1, rssi)).rssi_dbm is None
    assert hear(near, NAMED, replace(NAMED, rssi_dbm=rssi)).rssi_dbm == -50


# ------------------------------------------------------------------ many


def test_of_too_many_that_not_heard_for_longest_is_forgotten(near: Neighbourhood) -> None:
    for number in range(NEAR_MAX):
        near.hear(one(number), float(number))
    near.hear(one(0), float(NEAR_MAX))
    near.hear(one(NEAR_MAX), float(NEAR_MAX))
    addresses = {n.facts.address for n in near.sorted}
    assert len(addresses) == NEAR_MAX
    assert (one(0).address in addresses, one(1).address in addresses) == (True, False)


def test_others_are_not_counted_without_end(near: Neighbourhood) -> None:
    for number in range(OTHERS_MAX + 10):
        near.hear(Advert(str(number), "x", -50, (uuid16(0x180F),)), 0.0)
    assert near.others == OTHERS_MAX

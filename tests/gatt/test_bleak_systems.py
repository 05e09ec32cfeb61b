from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bumble import hci

from ble_ota.errors import UsageError
from ble_ota.gatt import bleak_systems
from ble_ota.gatt.bleak_systems import (
    BLUEZ,
    CORE_BLUETOOTH,
    OWN,
    WINRT,
    System,
    adapter_named,
    address_type,
    bonded,
    here,
    place,
    properties,
    remembered,
)


def device(details: Any) -> BLEDevice:
    return BLEDevice("C0:00:00:00:00:01", None, details)


def bluez(**properties: Any) -> BLEDevice:
    return device({"path": "/org/bluez/hci0/dev_C0", "props": {"Address": "C0", **properties}})


ELSEWHERE = [None, "text", ("peripheral", "delegate"), SimpleNamespace(adv=None), {}, {"props": None}]


@pytest.mark.parametrize(
    ("platform", "system"), [("linux", BLUEZ), ("win32", WINRT), ("darwin", CORE_BLUETOOTH), ("freebsd14", OWN)]
)
def test_the_system_is_told_by_the_platform(platform: str, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert here() is system


@pytest.mark.parametrize("name", ["", "hci0", "hci12"])
def test_bluez_names_its_adapters(name: str) -> None:
    assert adapter_named(BLUEZ, name) == name


@pytest.mark.parametrize("name", ["0", "hci", "hciX", "hci0/..", "hci0\n", "usb:0", "HCI0"])
def test_what_is_no_name_of_an_adapter_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a Bluetooth adapter") as refused:
        adapter_named(BLUEZ, name)
    assert "hci0" in refused.value.hint


@pytest.mark.parametrize("system", [WINRT, CORE_BLUETOOTH, OWN])
def test_elsewhere_no_adapter_can_be_chosen(system: System) -> None:
    assert adapter_named(system, "") == ""
    with pytest.raises(UsageError, match=f"{system.name} does not let an adapter be chosen, and 'hci0' was"):
        adapter_named(system, "hci0")


@pytest.mark.parametrize("name", ["Paired", "Bonded", "Trusted"])
def test_a_device_somebody_cares_for_is_remembered(name: str) -> None:
    assert remembered(properties(bluez(**{name: True})))


def test_a_stranger_is_not_remembered() -> None:
    assert not remembered(properties(bluez(Paired=False, Bonded=False, Trusted=False)))


@pytest.mark.parametrize("details", ELSEWHERE, ids=repr)
def test_where_the_system_does_not_say_nothing_is_claimed(details: Any) -> None:
    found = device(details)
    assert (remembered(properties(found)), bonded(found), address_type(found), place(found)) == (True, None, "", "")


def test_bluez_has_a_path_for_a_device() -> None:
    assert place(bluez()) == "/org/bluez/hci0/dev_C0"


@pytest.mark.parametrize(
    ("said", "keys"),
    [({"Bonded": True}, True), ({"Bonded": False, "Paired": True}, False), ({"Paired": True}, True), ({}, False)],
)
def test_a_bond_is_what_bluez_says_and_before_5_65_a_pairing(said: dict[str, bool], keys: bool) -> None:
    assert bonded(bluez(**said)) is keys


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (bluez(AddressType="public"), "public"),
        (bluez(AddressType="random"), "random"),
        (bluez(AddressType="odd"), ""),
        (device(hci.Address("C0:00:00:00:00:01", hci.Address.RANDOM_DEVICE_ADDRESS)), "random"),
        (device(hci.Address("00:00:00:00:00:01", hci.Address.PUBLIC_DEVICE_ADDRESS)), "public"),
    ],
)
def test_the_type_of_an_address_is_told(found: BLEDevice, said: str) -> None:
    assert address_type(found) == said


def test_every_note_of_the_table_is_there() -> None:
    text = bleak_systems.__doc__ or ""
    table, notes = text[: text.rindex("====\n")], text[text.rindex("====\n") :]
    for number in range(1, 13):
        assert f"[{number}]" in table
        assert f"\n{number}." in notes

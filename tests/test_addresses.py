from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.addresses import AddressKind, Likeness, Trace, after_jump, kind_of, lasts, likeness, missing, normal

MAC, NEXT, OTHER = "C0:DE:B0:E0:00:01", "C0:DE:B0:E0:00:02", "C0:DE:B0:E0:00:77"
UUID = "8C0A7B5E-0001-4B7C-9D3A-0123456789AB"
MOVED = "8C0A7B5E-0001-4B7C-9D3A-0123456789AC"
SERVICE = frozenset({"0000fe59-0000-1000-8000-00805f9b34fb"})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("C0:DE:B0:E0:00:01", MAC),
        ("c0:de:b0:e0:00:01", MAC),
        ("c0-de-b0-e0-00-01", MAC),
        ("C0_DE_B0_E0_00_01", MAC),
        ("  c0:de:b0:e0:00:01\n", MAC),
        (UUID, UUID),
        (UUID.lower(), UUID),
        ("C0DEB0E00001", None),  # as a device key is written
        ("C0:DE:B0:E0:00", None),
        ("C0:DE:B0:E0:00:01:02", None),
        ("C0:DE-B0:E0:00:01", None),
        ("G0:DE:B0:E0:00:01", None),
        ("C0:DE:B0:E0:00:1", None),
        (UUID[:-1], None),
        (UUID.replace("-", ""), None),
        (f"{{{UUID}}}", None),
        ("QUEC_BLE_0001", None),
        ("", None),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, address: str | None) -> None:
    assert normal(text) == address


@pytest.mark.parametrize(
    ("address", "random", "kind"),
    [
        (MAC, False, AddressKind.PUBLIC),
        ("00:11:22:33:44:55", False, AddressKind.PUBLIC),
        ("C0:DE:B0:E0:00:01", True, AddressKind.STATIC),
        ("FF:DE:B0:E0:00:01", True, AddressKind.STATIC),
        ("40:DE:B0:E0:00:01", True, AddressKind.RESOLVABLE),
        ("7F:DE:B0:E0:00:01", True, AddressKind.RESOLVABLE),
        ("00:DE:B0:E0:00:01", True, AddressKind.NON_RESOLVABLE),
        ("3F:DE:B0:E0:00:01", True, AddressKind.NON_RESOLVABLE),
        ("80:DE:B0:E0:00:01", True, AddressKind.UNKNOWN),
        ("BF:DE:B0:E0:00:01", True, AddressKind.UNKNOWN),
        (MAC, None, AddressKind.UNKNOWN),
        (UUID, None, AddressKind.IDENTIFIER),
        (UUID, True, AddressKind.IDENTIFIER),
    ],
)
def test_the_kind_is_told_by_the_top_bits_and_what_the_advertisement_says(
    address: str, random: bool | None, kind: AddressKind
) -> None:
    assert kind_of(address, random=random) is kind


def test_what_changes_by_itself_does_not_last() -> None:
    assert {kind for kind in AddressKind if not lasts(kind)} == {AddressKind.RESOLVABLE, AddressKind.NON_RESOLVABLE}


@pytest.mark.parametrize(
    ("address", "after"),
    [
        (MAC, (NEXT,)),
        ("C0:DE:B0:E0:00:0F", ("C0:DE:B0:E0:00:10",)),
        ("C0:DE:B0:E0:00:FF", ("C0:DE:B0:E0:00:00", "C0:DE:B0:E0:01:00")),
        ("C0:DE:B0:FF:FF:FF", ("C0:DE:B0:FF:FF:00", "C0:DE:B1:00:00:00")),
        ("FF:FF:FF:FF:FF:FF", ("FF:FF:FF:FF:FF:00", "00:00:00:00:00:00")),
        (UUID, ()),
        ("", ()),
    ],
)
def test_after_a_jump_the_address_is_one_higher(address: str, after: tuple[str, ...]) -> None:
    assert after_jump(address) == after


@given(st.binary(min_size=6, max_size=6))
def test_a_jump_leads_to_an_address_of_the_same_form(raw: bytes) -> None:
    address = raw.hex(":").upper()
    assert [normal(after) for after in after_jump(address)] == list(after_jump(address))
    assert address not in after_jump(address)


KEYED = Trace(MAC, "QUEC_BLE_0001", "p/d1")
MOVED_TO = "41:00:00:00:00:02"
MOVING = Trace("40:00:00:00:00:01", "Lamp", services=SERVICE, random=True)
LIKENESS: list[tuple[str, Trace, Trace, bool, Likeness]] = [
    ("same address", Trace(MAC), Trace(MAC), False, Likeness.SAME),
    ("another name", Trace(MAC, "Lamp"), Trace(MAC, "DfuTarg"), False, Likeness.SAME),
    ("same keys elsewhere", KEYED, Trace(OTHER, "", "p/d1"), False, Likeness.SAME),
    ("same keys, changing address", KEYED, Trace("40:00:00:00:00:09", "x", "p/d1", random=True), False, Likeness.SAME),
    ("other keys, same address", KEYED, Trace(MAC, "QUEC_BLE_0001", "p/d2"), False, Likeness.OTHER),
    ("keys no longer told", KEYED, Trace(MAC), False, Likeness.SAME),
    ("keys no longer told, elsewhere", KEYED, Trace(OTHER, "QUEC_BLE_0001"), False, Likeness.OTHER),
    ("one higher after a jump", Trace(MAC, "Lamp"), Trace(NEXT, "DfuTarg"), True, Likeness.MAYBE),
    ("one higher without a jump", Trace(MAC, "Lamp"), Trace(NEXT, "DfuTarg"), False, Likeness.OTHER),
    ("one higher, other keys", KEYED, Trace(NEXT, "x", "p/d2"), True, Likeness.OTHER),
    ("wrapped", Trace("C0:DE:B0:E0:00:FF"), Trace("C0:DE:B0:E0:00:00"), True, Likeness.MAYBE),
    ("two higher", Trace(MAC), Trace("C0:DE:B0:E0:00:03"), True, Likeness.OTHER),
    (
        "moved on, alike",
        MOVING,
        Trace(MOVED_TO, "Lamp", services=SERVICE, random=True),
        False,
        Likeness.MAYBE,
    ),
    ("moved on, other name", MOVING, Trace(MOVED_TO, "Lump", services=SERVICE, random=True), False, Likeness.OTHER),
    ("moved on, other services", MOVING, Trace(MOVED_TO, "Lamp", random=True), False, Likeness.OTHER),
    ("moved on, no name", replace(MOVING, name=""), replace(MOVING, address=MOVED_TO, name=""), False, Likeness.OTHER),
    ("alike, addresses last", Trace(MAC, "L", random=True), Trace(OTHER, "L", random=True), False, Likeness.OTHER),
    ("alike, nobody says random", Trace(MAC, "Lamp"), Trace(OTHER, "Lamp"), False, Likeness.OTHER),
    ("another identifier", Trace(UUID, "Lamp"), Trace(MOVED, "Lamp"), False, Likeness.OTHER),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "jumped", "like"), [row[1:] for row in LIKENESS], ids=[r[0] for r in LIKENESS]
)
def test_a_device_is_known_again(before: Trace, after: Trace, jumped: bool, like: Likeness) -> None:
    assert likeness(before, after, jumped=jumped) is like


@pytest.mark.parametrize(
    ("address", "heard", "hint"),
    [
        (MAC, {UUID, MOVED}, "This system does not tell Bluetooth addresses"),
        (UUID, {MAC}, "An identifier is known only to the computer that printed it"),
        (MAC, {NEXT, OTHER}, f"A device is on the air as {NEXT}, one higher"),
        (MAC, {OTHER}, None),
        (MAC, set(), None),
        (UUID, {MOVED}, None),
        (UUID, set(), None),
    ],
)
def test_who_is_missing_gets_a_hint(address: str, heard: set[str], hint: str | None) -> None:
    said = missing(address, heard)
    assert said is None if hint is None else (said or "").startswith(hint)

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.virtual.peripherals.quecthing.ttlv import TtlvError, Value, binary, pack, unpack, whole

# quectel.md 3.3, the documents' own examples; the struct with its count put right
EXAMPLES: list[tuple[str, dict[int, Value]]] = [
    ("001a0004", {3: 4}),
    ("002a010102", {5: 258}),
    ("004300024142", {8: b"AB"}),
    ("0008", {1: False}),
    ("0009", {1: True}),
    ("001c0002000a00010013000141", {3: ((1, 1), (2, b"A"))}),
    ("000a8005", {1: -5}),
]
fields = st.dictionaries(
    st.integers(0, 0x1FFF),
    st.booleans() | st.integers(-(2**64) + 1, 2**64 - 1) | st.binary(max_size=50),
    max_size=6,
)


@pytest.mark.parametrize(("raw", "expected"), EXAMPLES)
def test_a_documented_field_is_read(raw: str, expected: dict[int, Value]) -> None:
    assert unpack(bytes.fromhex(raw)) == expected


@pytest.mark.parametrize(("raw", "expected"), EXAMPLES)
def test_a_documented_field_is_written(raw: str, expected: dict[int, Value]) -> None:
    assert pack(expected).hex() == raw


@pytest.mark.parametrize(("raw", "expected"), [("00321012", {6: Decimal("0.18")}), ("003a9020", {7: Decimal("-0.32")})])
def test_a_documented_fraction_is_read_as_the_spec_has_it(raw: str, expected: dict[int, Value]) -> None:
    assert unpack(bytes.fromhex(raw)) == expected


@given(fields)
def test_what_is_written_is_read_again(sent: dict[int, Value]) -> None:
    assert unpack(pack(sent)) == sent


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_named(data: bytes) -> None:
    with suppress(TtlvError):
        unpack(data)


@pytest.mark.parametrize("raw", ["00", "000a", "000a01", "000a0101", "000b", "000b0001", "000b000241", "000c0001"])
def test_a_field_cut_short_is_refused(raw: str) -> None:
    with pytest.raises(TtlvError, match="are left"):
        unpack(bytes.fromhex(raw))


@pytest.mark.parametrize("raw", ["000d", "000e", "000f"])
def test_a_reserved_type_is_refused(raw: str) -> None:
    with pytest.raises(TtlvError, match="type"):
        unpack(bytes.fromhex(raw))


def test_an_id_that_comes_twice_is_refused() -> None:
    with pytest.raises(TtlvError, match="twice"):
        unpack(bytes.fromhex("000a0001000a0002"))


def test_structs_in_structs_without_end_are_refused() -> None:
    with pytest.raises(TtlvError, match="depth"):
        unpack(bytes.fromhex("000c0001") * 500 + bytes.fromhex("0008"))


def test_a_fraction_is_not_told() -> None:
    with pytest.raises(TtlvError):
        pack({1: Decimal("0.5")})


@pytest.mark.parametrize("value", [True, -1, Decimal("1.5"), b"1"])
def test_only_a_whole_number_counts_as_one(value: Value) -> None:
    assert whole({1: value}, 1) is None


def test_only_bytes_count_as_bytes() -> None:
    assert binary({1: 65}, 1) is None

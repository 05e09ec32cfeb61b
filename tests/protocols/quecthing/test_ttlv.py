from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ble_ota.errors import MalformedError
from ble_ota.protocols.quecthing.ttlv import DEPTH_MAX, FIELDS_MAX, ID_MAX, Field, decode, encode

VECTORS = {
    "001a0004": Field(3, 4),
    "002a010102": Field(5, 258),
    "00321012": Field(6, Decimal("0.18")),
    "003a9020": Field(7, Decimal("-0.32")),
    "004300024142": Field(8, b"AB"),
    "0048": Field(9, False),
    "0049": Field(9, True),
    "0054000200590062800a": Field(10, (Field(11, True), Field(12, -10))),
    "0054" + "0000": Field(10, ()),
    "00120700ffffffffffffff": Field(2, 0xFFFFFFFFFFFFFF),
}
NUMBERS = st.integers(-(2**64) + 1, 2**64 - 1) | st.builds(
    lambda magnitude, places: Decimal(magnitude).scaleb(-places),
    st.integers(-(2**64) + 1, 2**64 - 1),
    st.integers(0, 15),
)
IDS = st.integers(0, ID_MAX)
LEAVES = st.builds(Field, IDS, st.booleans() | NUMBERS | st.binary(max_size=30))
FIELDS = st.recursive(LEAVES, lambda inner: st.builds(Field, IDS, st.lists(inner, max_size=3).map(tuple)), max_leaves=8)


def nested(depth: int) -> bytes:
    return bytes.fromhex("000c0001") * depth + bytes.fromhex("0009")


@pytest.mark.parametrize(("wire", "field"), [v for v in VECTORS.items() if v[0] != "00120700ffffffffffffff"])
def test_a_vector_is_encoded(wire: str, field: Field) -> None:
    assert encode([field]).hex() == wire


@pytest.mark.parametrize(("wire", "field"), VECTORS.items())
def test_a_vector_is_decoded(wire: str, field: Field) -> None:
    (found,) = decode(bytes.fromhex(wire))
    assert (found, type(found.value)) == (field, type(field.value))


@given(st.lists(FIELDS, max_size=5).map(tuple))
@example((Field(1, Decimal("-0.000000000000001")), Field(1, -(2**64) + 1)))
def test_what_is_encoded_is_decoded(fields: tuple[Field, ...]) -> None:
    assert decode(encode(fields)) == fields


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        fields = decode(data)
    except MalformedError:
        return
    assert sum(1 for _ in fields) <= len(data)


@pytest.mark.parametrize("wire", ["00", "001a", "001a00", "001a0100", "0043", "00430003414243"[:-2], "0054000100"])
def test_a_payload_that_ends_too_soon_is_refused(wire: str) -> None:
    with pytest.raises(MalformedError, match="too soon"):
        decode(bytes.fromhex(wire))


@pytest.mark.parametrize("kind", [6, 7])
def test_a_reserved_type_is_refused(kind: int) -> None:
    with pytest.raises(MalformedError, match=f"reserved type {kind}"):
        decode(bytes((0, 8 | kind)))


def test_type_five_is_binary_too() -> None:
    assert decode(bytes.fromhex("004500024142")) == (Field(8, b"AB"),)


def test_structs_nest_as_deep_as_the_bound() -> None:
    decode(nested(DEPTH_MAX))


def test_structs_nest_no_deeper_than_the_bound() -> None:
    with pytest.raises(MalformedError, match="nests deeper"):
        decode(nested(DEPTH_MAX + 1))


def test_as_many_fields_as_the_bound_are_read() -> None:
    assert len(decode(bytes.fromhex("0009") * FIELDS_MAX)) == FIELDS_MAX


def test_more_fields_than_the_bound_are_refused() -> None:
    with pytest.raises(MalformedError, match="more than 1024 fields"):
        decode(bytes.fromhex("0009") * (FIELDS_MAX + 1))


@pytest.mark.parametrize("field_id", [-1, ID_MAX + 1])
def test_an_id_that_does_not_fit_is_not_encoded(field_id: int) -> None:
    with pytest.raises(ValueError, match="is not in"):
        encode([Field(field_id, 1)])


@pytest.mark.parametrize(
    "number",
    [
        2**64,
        -(2**64),
        *map(Decimal, ("1E-16", "1E+30", "Infinity", "-Infinity", "NaN", "1E+999999999", "1E-999999999")),
    ],
)
def test_a_number_that_does_not_fit_is_not_encoded(number: int | Decimal) -> None:
    with pytest.raises(ValueError, match="does not fit a TTLV number"):
        encode([Field(1, number)])


def test_a_power_of_ten_is_written_out() -> None:
    assert decode(encode([Field(1, Decimal("1E+2"))])) == (Field(1, 100),)


def test_too_long_a_binary_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="two bytes"):
        encode([Field(1, bytes(0x10000))])


def test_too_many_members_are_not_encoded() -> None:
    with pytest.raises(ValueError, match="two bytes"):
        encode([Field(1, (Field(1, True),) * 0x10000)])

"""TTLV: the values inside a frame.

::

    tag u16 = id (13 bit) << 3 | type (3 bit)
    0 false · 1 true            nothing more
    2 number                    head u8 = sign (1) | decimals (4) | bytes - 1 (3), then the magnitude, big endian
    3 binary                    u16 length, then the bytes          (5: reserved; third parties read it as binary)
    4 struct                    u16 count of members, then the members

Source: Quectel's BLE protocol page of 2022, its five examples are tests. The page's example of a struct counts one
member where there are two; the count is taken as a count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias, assert_never

from ble_ota.errors import MalformedError

FALSE, TRUE, NUMBER, BINARY, STRUCT, BINARY_TOO = range(6)
ID_MAX = 0x1FFF
MAGNITUDE_MAX_BYTES = 8
DECIMALS_MAX = 15
DIGITS_MAX = 20  # of the integer part: 2 ** 64 has so many
BINARY_MAX = 0xFFFF
DEPTH_MAX = 8  # our own bound: a struct in a struct in a struct … has no use here
FIELDS_MAX = 1024  # our own bound for one payload

Value: TypeAlias = "bool | int | Decimal | bytes | tuple[Field, ...]"


@dataclass(frozen=True, slots=True)
class Field:
    """One value with its id."""

    id: int
    value: Value


def encode(fields: Iterable[Field]) -> bytes:
    """Put fields on the wire.

    Raises:
        ValueError: An id, number or length does not fit the format.
    """
    return b"".join(_encode(f) for f in fields)


def decode(data: bytes) -> tuple[Field, ...]:
    """Read all fields of a payload.

    Raises:
        MalformedError: It ends too soon, has a reserved type, or is over a bound.
    """
    reader = _Reader(data)
    return tuple(reader.fields(depth=0))


def _encode(field: Field) -> bytes:
    value = field.value
    match value:
        case bool():
            return _tag(field.id, TRUE if value else FALSE)
        case int() | Decimal():
            return _tag(field.id, NUMBER) + _encode_number(Decimal(value))
        case bytes():
            return _tag(field.id, BINARY) + _u16(len(value)) + value
        case tuple():
            return _tag(field.id, STRUCT) + _u16(len(value)) + encode(value)
        case _:
            assert_never(value)


def _tag(field_id: int, kind: int) -> bytes:
    if not 0 <= field_id <= ID_MAX:
        msg = f"id {field_id} is not in 0..{ID_MAX}"
        raise ValueError(msg)
    return _u16(field_id << 3 | kind)


def _u16(number: int) -> bytes:
    if number > BINARY_MAX:
        msg = f"{number} does not fit two bytes"
        raise ValueError(msg)
    return number.to_bytes(2, "big")


def _encode_number(number: Decimal) -> bytes:
    sign, _, exponent = number.as_tuple()
    decimals = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    fits = number.is_finite() and decimals <= DECIMALS_MAX and number.adjusted() < DIGITS_MAX
    magnitude = int(abs(number).scaleb(decimals)) if fits else 0
    size = max(1, (magnitude.bit_length() + 7) // 8)
    if not fits or size > MAGNITUDE_MAX_BYTES:
        msg = f"{number:.20} does not fit a TTLV number"
        raise ValueError(msg)
    return bytes((sign << 7 | decimals << 3 | size - 1,)) + magnitude.to_bytes(size, "big")


class _Reader:
    """Walks one payload."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._read = 0

    def fields(self, *, depth: int) -> Iterator[Field]:
        while self._at < len(self._data):
            yield self._field(depth)

    def _field(self, depth: int) -> Field:
        self._read += 1
        if depth > DEPTH_MAX or self._read > FIELDS_MAX:
            msg = f"a payload nests deeper than {DEPTH_MAX} or has more than {FIELDS_MAX} fields"
            raise MalformedError(msg)
        tag = self._u16()
        return Field(tag >> 3, self._value(tag & 0b111, depth))

    def _value(self, kind: int, depth: int) -> Value:
        match kind:
            case 0 | 1:
                return kind == TRUE
            case 2:
                return self._number()
            case 3 | 5:
                return self._take(self._u16())
            case 4:
                return tuple(self._field(depth + 1) for _ in range(self._u16()))
            case _:
                msg = f"a field has the reserved type {kind}"
                raise MalformedError(msg)

    def _number(self) -> int | Decimal:
        (head,) = self._take(1)
        magnitude = int.from_bytes(self._take((head & 0b111) + 1), "big")
        signed = -magnitude if head & 0x80 else magnitude
        decimals = head >> 3 & 0b1111
        return Decimal(signed).scaleb(-decimals) if decimals else signed

    def _u16(self) -> int:
        return int.from_bytes(self._take(2), "big")

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            msg = f"a payload ends {count - len(taken)} bytes too soon"
            raise MalformedError(msg)
        self._at += count
        return taken

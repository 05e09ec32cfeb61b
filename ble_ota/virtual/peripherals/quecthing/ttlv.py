"""QuecThing's TTLV fields, as the device reads and writes them.

::

    u16 id << 3 | type      0 false   1 true   2 number   3 binary   4 struct
    number:  u8 sign << 7 | decimals << 3 | bytes - 1, then the magnitude, big endian
    binary:  u16 length, then the bytes              struct:  u16 count, then so many fields
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

Value: TypeAlias = "bool | int | Decimal | bytes | tuple[tuple[int, Value], ...]"
Fields: TypeAlias = Mapping[int, Value]

ID_MAX = 0x1FFF
DEPTH_MAX = 4  # structs in structs; more is no message of this protocol
NUMBER_BYTES_MAX = 8


class TtlvError(ValueError):
    """The bytes are not TTLV fields."""


def pack(fields: Fields) -> bytes:
    """Write `fields` in their order. Numbers are whole; a struct is a tuple of pairs."""
    return b"".join(_packed(number, value) for number, value in fields.items())


def unpack(data: bytes) -> dict[int, Value]:
    """Read all fields of a payload.

    Raises:
        TtlvError: Cut short, of a reserved type, nested too deep, or an id comes twice.
    """
    cursor = _Cursor(data)
    fields: dict[int, Value] = {}
    while cursor.left:
        number, value = cursor.field(0)
        if number in fields:
            msg = f"id {number} comes twice"
            raise TtlvError(msg)
        fields[number] = value
    return fields


def whole(fields: Fields, number: int) -> int | None:
    """The whole, not negative number under this id; None if there is none."""
    value = fields.get(number)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def binary(fields: Fields, number: int) -> bytes | None:
    """The bytes under this id; None if there are none."""
    value = fields.get(number)
    return value if isinstance(value, bytes) else None


def _packed(number: int, value: Value) -> bytes:
    match value:
        case bool():
            return _tag(number, int(value))
        case int():
            size = max(1, (abs(value).bit_length() + 7) // 8)
            return _tag(number, 2) + bytes(((value < 0) << 7 | size - 1,)) + abs(value).to_bytes(size, "big")
        case bytes():
            return _tag(number, 3) + len(value).to_bytes(2, "big") + value
        case tuple():
            return _tag(number, 4) + len(value).to_bytes(2, "big") + b"".join(_packed(n, v) for n, v in value)
        case _:
            msg = "this device tells whole numbers only"
            raise TtlvError(msg)


def _tag(number: int, kind: int) -> bytes:
    return (number << 3 | kind).to_bytes(2, "big")


class _Cursor:
    """Reads fields from the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self._at

    def field(self, depth: int) -> tuple[int, Value]:
        """The next field. Raises `TtlvError`."""
        tag = self._number(2)
        number, kind = tag >> 3, tag & 7
        match kind:
            case 0 | 1:
                return number, kind == 1
            case 2:
                return number, self._figure()
            case 3:
                return number, self._take(self._number(2))
            case 4 if depth < DEPTH_MAX:
                return number, tuple(self.field(depth + 1) for _ in range(self._number(2)))
            case _:
                msg = f"type {kind} at depth {depth}"
                raise TtlvError(msg)

    def _figure(self) -> int | Decimal:
        flags = self._number(1)
        magnitude = self._number((flags & 7) + 1)
        signed = -magnitude if flags & 0x80 else magnitude
        decimals = flags >> 3 & 0xF
        return Decimal(signed).scaleb(-decimals) if decimals else signed

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _take(self, size: int) -> bytes:
        if size > self.left:
            msg = f"{size} bytes are announced where {self.left} are left"
            raise TtlvError(msg)
        self._at += size
        return self._data[self._at - size : self._at]

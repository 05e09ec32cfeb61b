"""QuecThing's frames, read one byte at a time as a small microcontroller does.

::

    AA AA | Len u16 | Sum u8 | PacketId u16 | Cmd u16 | Data          big endian

Len counts from Sum to the end of Data; Sum adds up what follows it. From Len on a sender puts 0x55 between AA AA and
between AA 55, so a bare AA AA is always a beginning, whatever was under way before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MARK = 0xAA
STUFFING = 0x55
OVERHEAD = 5  # sum 1, packet id 2, command 2
HEADER = 4  # mark 2, length 2
LEN_MAX = 0x54FF  # from 0x5500 on it is open whether the header's AA stuffs the length that follows it
RESERVED = (0x0000, 0xFFFF)  # neither may be a packet id or a command


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, its sum checked."""

    packet_id: int  # 1..65534
    command: int  # 1..65534
    data: bytes

    @property
    def size(self) -> int:
        """Bytes of the whole frame before stuffing."""
        return HEADER + OVERHEAD + len(self.data)


def pack(frame: Frame) -> bytes:
    """The frame as it goes over the air, stuffed."""
    summed = struct.pack(">HH", frame.packet_id, frame.command) + frame.data
    body = struct.pack(">HB", len(summed) + 1, sum(summed) & 0xFF) + summed
    stuffed = bytearray()
    for byte in body:
        if stuffed and stuffed[-1] == MARK and byte in (MARK, STUFFING):
            stuffed.append(STUFFING)
        stuffed.append(byte)
    return bytes((MARK, MARK)) + bytes(stuffed)


class Decoder:
    """Takes any bytes, cut anywhere; gives the frames that are in them. Holds at most one frame."""

    def __init__(self) -> None:
        self.bad = 0
        """Beginnings that did not become a frame: cut short, wrong sum, impossible length, reserved number."""
        self._body: bytearray | None = None  # None: looking for a beginning
        self._after_mark = False

    def feed(self, received: bytes) -> Iterator[Frame]:
        """Give each frame that `received` completes."""
        for byte in received:
            if (frame := self._take(byte)) is not None:
                yield frame

    def reset(self) -> None:
        """Forget what is under way."""
        self._body = None
        self._after_mark = False

    def _take(self, byte: int) -> Frame | None:
        after_mark, self._after_mark = self._after_mark, byte == MARK
        if after_mark and byte == MARK:
            self._begin()
        elif self._body is None:
            pass
        elif not self._body and byte == MARK:
            # No length begins so: a mark lay before the header, and its second byte is this one.
            pass
        elif not (after_mark and byte == STUFFING):
            self._body.append(byte)
            return self._whole(self._body)
        return None

    def _begin(self) -> None:
        self.bad += bool(self._body)
        self._body = bytearray()
        self._after_mark = False

    def _whole(self, body: bytearray) -> Frame | None:
        length = int.from_bytes(body[:2], "big")
        if len(body) == HEADER - 2 and not OVERHEAD <= length <= LEN_MAX:
            self.bad += 1
            self._body = None
            return None
        if len(body) < HEADER - 2 or len(body) < length + 2:
            return None
        self._body = None
        packet_id, command = struct.unpack_from(">HH", body, 3)
        if sum(body[3:]) & 0xFF != body[2] or packet_id in RESERVED or command in RESERVED:
            # A last byte AA may be the first of the next header, eaten because this frame had lost one.
            self.bad += 1
            return None
        self._after_mark = False
        return Frame(packet_id, command, bytes(body[7:]))

"""Frames of QuecThing: what stands on the wire.

::

    AA AA | Len u16 | Sum u8 | PacketId u16 | Cmd u16 | Data          big endian
          '--------------- stuffed: 55 after an AA that AA or 55 follows -------'

*Len* counts from Sum to the end of Data and *Sum* adds PacketId to Data, both before stuffing. A raw `AA AA`
always begins a new frame; one that was under way is dropped. (Quectel's BLE protocol page of 2022.)

Stuffing begins after the head, so the end of a frame is found by Len alone: a frame may end in AA, and the next
one begins with AA AA.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ble_ota.errors import MalformedError

MARK = 0xAA
STUFF = 0x55
HEAD = bytes((MARK, MARK))
LEN_BYTES = 2
FIXED = 5  # Sum 1 + PacketId 2 + Cmd 2: the least that Len can say
OVERHEAD = len(HEAD) + LEN_BYTES + FIXED
# Literally read, Len itself is stuffed too, which could matter from 0x5500 on; whether a device does so is unknown.
# Ours never get there, and what is longer is not a frame.
LEN_MAX = 0x54FF
_TO_STUFF = re.compile(rb"\xaa(?=[\xaa\x55])")
RESERVED = (0x0000, 0xFFFF)  # illegal as PacketId and as Cmd; nothing could be answered to one


@dataclass(frozen=True, slots=True)
class Frame:
    """One message."""

    packet_id: int  # 1 to 0xFFFE; an answer carries its request's
    cmd: int
    data: bytes = b""


def encode(frame: Frame) -> bytes:
    """Put a frame on the wire.

    Raises:
        ValueError: Too long, or a reserved number.
    """
    if frame.packet_id in RESERVED or frame.cmd in RESERVED:
        msg = f"packet id {frame.packet_id:#06x} or command {frame.cmd:#06x} is reserved"
        raise ValueError(msg)
    length = FIXED + len(frame.data)
    if length > LEN_MAX:
        msg = f"a frame of {length} bytes is over {LEN_MAX}"
        raise ValueError(msg)
    summed = frame.packet_id.to_bytes(2, "big") + frame.cmd.to_bytes(2, "big") + frame.data
    return HEAD + stuff(length.to_bytes(LEN_BYTES, "big") + bytes((additive_sum(summed),)) + summed)


def additive_sum(data: bytes) -> int:
    """The frame's checksum: all bytes added, low 8 bits."""
    return sum(data) & 0xFF


def stuff(body: bytes) -> bytes:
    """Insert 55 after every AA that is followed by AA or 55."""
    return _TO_STUFF.sub(bytes((MARK, STUFF)), body)


@dataclass(slots=True)
class Decoder:
    """Finds the frames in a stream of bytes, however it is cut into pieces.

    What is not a frame is dropped and counted; nothing that is fed raises. Keeps at most one frame.
    """

    dropped: int = 0
    """Frames that were begun and not good: wrong sum, wrong length, a reserved number, or another one began inside."""
    _body: bytearray = field(default_factory=bytearray)
    _inside: bool = False
    _after_mark: bool = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; give the frames that they complete."""
        return [frame for byte in data for frame in self._take(byte)]

    def _take(self, byte: int) -> Iterator[Frame]:
        if byte == MARK and (self._after_mark or self._at_head):
            self._begin()
        elif self._inside and self._after_mark and byte == STUFF:
            self._after_mark = False
        else:
            self._after_mark = byte == MARK
            if self._inside:
                self._body.append(byte)
                yield from self._complete()

    @property
    def _at_head(self) -> bool:
        """Right behind `AA AA`, where another AA makes a raw `AA AA` again: Len never begins with one."""
        return self._inside and not self._body

    def _begin(self) -> None:
        self.dropped += self._inside
        self._body.clear()
        self._inside = True
        self._after_mark = False

    def _complete(self) -> Iterator[Frame]:
        if len(self._body) < LEN_BYTES:
            return
        length = int.from_bytes(self._body[:LEN_BYTES], "big")
        if FIXED <= length <= LEN_MAX and len(self._body) < LEN_BYTES + length:
            return
        body = bytes(self._body[LEN_BYTES:])
        self._inside = False
        self._body.clear()
        if len(body) < FIXED or body[0] != additive_sum(body[1:]):
            self.dropped += 1  # its Len is not to be believed: a last AA may be half of the next head
            return
        self._after_mark = False
        found = Frame(int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[5:])
        if found.packet_id in RESERVED or found.cmd in RESERVED:
            self.dropped += 1
        else:
            yield found


def decode_one(data: bytes) -> Frame:
    """The one frame that `data` is; for tests and transcripts.

    Raises:
        MalformedError: It is none, or more than one.
    """
    frames = Decoder().feed(data)
    if len(frames) != 1:
        msg = f"{len(frames)} frames in {data[:32].hex()}"
        raise MalformedError(msg)
    return frames[0]

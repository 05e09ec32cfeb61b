"""A protocol is a script: a generator that yields steps and is sent replies.

It owns no socket, no clock and no task. It says what it wants done next, and whoever performs it (`perform.py`,
or a test) answers with what came of it and how long that took. A suspended generator *is* the state::

    def version(char: int) -> Script[str]:
        value = yield from read(char)
        return value.decode()

Thrown in at a step instead of a reply: `LinkLostError`, `AttRefusedError`, `StopAsked`; at a `ReadBlock` also
`TrustError` and `StorageError`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

from ble_ota.content import BLOCK_BYTES

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Ask for indications or notifications of a characteristic."""

    char: int
    """Attribute handle of the characteristic, as in `link.Characteristic`."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read a characteristic. The reply's value is `bytes`."""

    char: int


@dataclass(frozen=True, slots=True)
class Write:
    """Write one value, at most `link.Characteristic.max_write` bytes."""

    char: int
    data: bytes
    ack: bool
    """True: ATT write request, done when the device has answered. False: write command."""


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for what the device says by itself.

    The reply's value is a `Notified`, or None when nothing came. `within_s` 0 asks what has come already.
    """

    chars: tuple[int, ...]
    within_s: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell whoever watches: so many bytes are with the device, by its own word."""

    done: int  # bytes
    total: int  # bytes
    resent: int = 0  # bytes sent more than once so far
    learned: str = ""
    """What the driver wants told again when the file is carried on over another link; its own form, at most 200
    characters, no secret."""
    wait_s: float = 0.0
    """The device has asked for so many seconds without progress; whoever watches for a stall grants them."""
    product: str = ""
    """A fact for all devices of this product, kept for later runs; the driver's own form, at most 200 characters."""


class Blocks(Protocol):
    """The firmware file that a script sends, in blocks of `content.BLOCK_BYTES`."""

    async def block(self, index: int) -> bytes:
        """Give a block, known to be what was verified. Raises `TrustError`, `StorageError`."""
        ...


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """Read a block of the file that is sent. The reply's value is `bytes`.

    It is a step because a disk may be slow, and is not read on the thread of the event loop.
    """

    file: Blocks = field(repr=False)
    index: int


Step: TypeAlias = Subscribe | Read | Write | Await | Progress | ReadBlock


@dataclass(frozen=True, slots=True)
class Notified:
    """One indication or notification."""

    char: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a step."""

    value: Notified | bytes | None
    waited_s: float
    """How long the step took, in seconds; a script's only clock."""


Script: TypeAlias = Generator[Step, Reply, T]


def subscribe(char: int) -> Script[None]:
    """Ask for what `char` says by itself."""
    yield Subscribe(char)


def read(char: int) -> Script[bytes]:
    """Read `char`."""
    reply = yield Read(char)
    if not isinstance(reply.value, bytes):
        msg = f"a Read was answered with {reply.value!r}"
        raise TypeError(msg)
    return reply.value


def notified(*chars: int, within_s: float) -> Script[tuple[Notified | None, float]]:
    """Wait for the next word of `chars`; give it, or None, with the seconds waited."""
    reply = yield Await(chars, within_s)
    if isinstance(reply.value, bytes):
        msg = "an Await was answered with the bytes of a Read"
        raise TypeError(msg)
    return reply.value, reply.waited_s


def write_whole(char: int, data: bytes, *, max_write: int) -> Script[None]:
    """Write `data` by write requests of at most `max_write` bytes, in order."""
    for at in range(0, len(data), max_write):
        yield Write(char, data[at : at + max_write], ack=True)


@dataclass(slots=True)
class BlockReader:
    """Reads a file at any place, in the memory of two blocks."""

    file: Blocks
    size_bytes: int
    _held: dict[int, bytes] = field(default_factory=dict[int, bytes])

    def read(self, start: int, end: int) -> Script[bytes]:
        """Give the bytes from `start` up to `end`, `BLOCK_BYTES` at most, with a step only where a block is not held.

        Raises:
            TrustError, StorageError: As thrown in at a `ReadBlock`.
        """
        wanted = range(start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES + 1)
        self._held = {index: data for index, data in self._held.items() if index in wanted}
        for index in wanted:
            if index not in self._held:
                self._held[index] = yield from _block(self.file, index)
        parts = ((n * BLOCK_BYTES, self._held[n]) for n in wanted)
        return b"".join(data[max(start - at, 0) : end - at] for at, data in parts)


def _block(file: Blocks, index: int) -> Script[bytes]:
    reply = yield ReadBlock(file, index)
    if not isinstance(reply.value, bytes):
        msg = f"a ReadBlock was answered with {reply.value!r}"
        raise TypeError(msg)
    return reply.value

"""The bytes of a firmware file: summed up in one pass, and read again block by block. Pure.

::

    Hasher ── update(data)… ──► Summary: size, digests, and a SHA-256 of each block
                                   │
    Content = Summary + a function that reads ──► block(n): read, compared with the summary, given

So a file of any size takes the memory of a block, and what was hashed is what is given: a file that was edited or
truncated after the pass, and a disk that reads something else the second time, are seen at the block.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeAlias

from ble_ota.errors import TrustError

BLOCK_BYTES = 65_536  # our choice: three packets of the largest size, and small beside the rest of a process
HEAD_BYTES = 512  # our choice: formats tell themselves apart in their first bytes
CHANGED = "Nothing more of it was sent. Run the same command again: the file is verified anew before anything is sent"

ReadAt: TypeAlias = Callable[[int, int], Awaitable[bytes]]
"""Read from an offset at most a number of bytes: fewer where the file ends before. Raises `StorageError`."""


class Digesting(Protocol):
    """A digest in the making, in the form of `hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take the next bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far, lower-case hexadecimal."""
        ...


class _Crc32:
    """`zlib.crc32` in the form of `hashlib`."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def digesting(algorithm: str) -> Digesting:
    """Begin a digest by `algorithm`: "sha256", "md5" or "crc32"."""
    return _Crc32() if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """The size, the digests and the first bytes of a file, as one pass found them."""

    size_bytes: int
    digests: Mapping[str, str]
    """Algorithm to digest, lower-case hexadecimal: sha256, md5 and crc32."""
    blocks: tuple[bytes, ...] = field(repr=False)
    """SHA-256 of each block of `BLOCK_BYTES`; the last block may be shorter."""
    head: bytes = field(repr=False)
    """The first `HEAD_BYTES`."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the whole file."""
        return self.digests["sha256"]


class Hasher:
    """Sums up a file while its bytes pass."""

    def __init__(self) -> None:
        """Begin at the start of a file."""
        self.size_bytes = 0
        self._whole = {name: digesting(name) for name in ("sha256", "md5", "crc32")}
        self._block = hashlib.sha256()
        self._blocks: list[bytes] = []
        self._head = b""

    def update(self, data: bytes) -> None:
        """Take the next bytes, of any number."""
        for running in self._whole.values():
            running.update(data)
        self._head += data[: HEAD_BYTES - len(self._head)]
        left = memoryview(data)
        while left:
            part = left[: BLOCK_BYTES - self.size_bytes % BLOCK_BYTES]
            self._block.update(part)
            self.size_bytes += len(part)
            if self.size_bytes % BLOCK_BYTES == 0:
                self._blocks.append(self._block.digest())
                self._block = hashlib.sha256()
            left = left[len(part) :]

    def summary(self) -> Summary:
        """Return what passed so far."""
        last = (self._block.digest(),) if self.size_bytes % BLOCK_BYTES else ()
        digests = {name: running.hexdigest() for name, running in self._whole.items()}
        return Summary(self.size_bytes, digests, (*self._blocks, *last), self._head)


@dataclass(frozen=True, slots=True)
class Content:
    """A file that was summed up, to be read again. It is a `script.Blocks`."""

    summary: Summary
    read: ReadAt = field(repr=False, compare=False)
    name: str = "the firmware file"
    """Its name in a sentence."""

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Make one of bytes in memory."""
        hasher = Hasher()
        hasher.update(content)

        async def read(offset: int, length: int) -> bytes:
            return content[offset : offset + length]

        return cls(hasher.summary(), read)

    @property
    def size_bytes(self) -> int:
        """Bytes in all."""
        return self.summary.size_bytes

    async def block(self, index: int) -> bytes:
        """Read a block and compare it with the summary.

        Args:
            index: Which, from 0.

        Raises:
            TrustError: It is not what was summed up.
            StorageError: It cannot be read.
        """
        start = index * BLOCK_BYTES
        end = min(start + BLOCK_BYTES, self.size_bytes)
        data = await self.read(start, end - start)
        if hashlib.sha256(data).digest() != self.summary.blocks[index]:
            msg = f"{self.name} has changed since it was verified: bytes {start} to {end - 1} are other ones"
            raise TrustError(msg, hint=CHANGED)
        return data

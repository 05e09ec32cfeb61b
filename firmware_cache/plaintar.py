"""The one shape of tar that a bundle has: plain files in POSIX's ustar, an index and blobs, and nothing else.

Headers are read one by one. Python's own reader follows those of other kinds, and they may announce gigabytes.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from firmware_cache.errors import ContentError, clean

INDEX = "index.json"
BLOBS = "blobs/sha256"
_BLOCK = tarfile.BLOCKSIZE
_NAME = re.compile(f"{BLOBS}/[0-9a-f]{{64}}")
END = bytes(2 * _BLOCK)  # POSIX: two blocks of zeros


@dataclass(frozen=True, slots=True)
class Caps:
    """What a bundle may have at most; our choice, far above a factory's. Sizes are in bytes."""

    blobs: int = 10_000
    blob_bytes: int = 4 << 30
    total_bytes: int = 64 << 30
    index_bytes: int = 16 << 20

    def check(self, sizes: Iterable[int], index_bytes: int) -> None:
        """Refuse blobs of these `sizes`, and an index, in bytes. Raises `ContentError`."""
        count, total_bytes = 0, 0
        for size_bytes in sizes:
            count, total_bytes = count + 1, total_bytes + size_bytes
            if count > self.blobs or size_bytes > self.blob_bytes or total_bytes > self.total_bytes:
                limits = f"{self.blobs} files, {self.blob_bytes} bytes of one, or {self.total_bytes} bytes of all"
                raise refused(f"it has more than {limits}")
        if index_bytes > self.index_bytes:
            raise refused(f"its index has more than {self.index_bytes} bytes")


CAPS = Caps()


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member's content stands in the file."""

    at: int
    size_bytes: int


def header(name: str, size_bytes: int) -> bytes:
    """What stands before a member's content."""
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def padding(size_bytes: int) -> bytes:
    """What stands after a member's content, up to a whole block."""
    return bytes(-size_bytes % _BLOCK)


def members(file: BinaryIO, caps: Caps) -> dict[str, Member]:
    """Every member by its name, once all of them are what we write.

    Raises:
        ContentError: One of them is not, or they are more than `caps`.
        OSError: `file` cannot be read.
    """
    file.seek(0)
    found: dict[str, Member] = {}
    while any(block := file.read(_BLOCK)):
        info = _info(block)
        if info.name in found:
            raise refused(f"{clean(info.name)} is in it twice")
        found[info.name] = Member(file.tell(), info.size)
        if len(found) > caps.blobs + 1:
            break
        file.seek(info.size + -info.size % _BLOCK, 1)
    if len(block) != _BLOCK:  # so every member before the end is there whole
        raise refused("it is cut short")
    caps.check((m.size_bytes for name, m in found.items() if name != INDEX), 0)
    return found


def _info(block: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "surrogateescape")
    except tarfile.HeaderError as error:
        raise refused("it is no tar, or a damaged one") from error
    if info.name != INDEX and not _NAME.fullmatch(info.name):
        raise refused(f"{clean(info.name)} is no name of a blob")
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.size < 0:
        raise refused(f"{info.name} is no plain file")
    return info


def refused(why: str) -> ContentError:
    """The error of a bundle that is not taken."""
    return ContentError(f"the bundle is refused: {why}", hint="Export it again, with `export`, and copy it whole")

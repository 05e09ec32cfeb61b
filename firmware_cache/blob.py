"""One file of the cache: read, hashed, and put aside when it is damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from firmware_cache.errors import CacheStorageError, DamagedBlobError
from firmware_cache.ref import Sums

CHUNK_BYTES = 1 << 20  # read at once when hashing or copying: bounds memory, and is past the gain of larger ones


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A blob whose content was seen to be its digest. Only the cache makes one."""

    path: Path
    size_bytes: int
    sha256: str
    cached: bool
    """True: it was there already; nothing was fetched or written."""
    _quarantine: Path = field(repr=False, compare=False)

    def read(self) -> bytes:
        """Read the file once, and give those very bytes after hashing them.

        Raises:
            DamagedBlobError: They are not the digest's; the file was moved to quarantine.
            CacheStorageError: The file is gone or cannot be read, or a damaged one cannot be moved.
        """
        with storage_errors(f"reading {self.path}"), self.path.open("rb") as file:
            content = file.read(self.size_bytes + 1)
        if len(content) != self.size_bytes or hashlib.sha256(content).hexdigest() != self.sha256:
            isolate(self.path, self._quarantine)
            msg = f"{self.path} is damaged: its content is no longer what its name says"
            raise DamagedBlobError(msg)
        return content


@contextmanager
def storage_errors(doing: str) -> Generator[None, None, None]:
    """Let no `OSError` leave this package under its own name."""
    try:
        yield
    except OSError as error:
        msg = f"{doing}: {error.strerror or error}"
        raise CacheStorageError(msg) from error


def sum_up(file: BinaryIO, sums: Sums) -> None:
    """Pass `file`, from where it stands to its end, through `sums` in constant memory."""
    while chunk := file.read(CHUNK_BYTES):
        sums.update(chunk)


def isolate(path: Path, quarantine: Path) -> None:
    """Move a damaged blob out of the way, under a name that no other one has."""
    with storage_errors(f"moving {path}, which is damaged, to quarantine"), suppress(FileNotFoundError):
        # Whoever looks next finds no blob. That someone else was faster with the same is as good.
        quarantine.mkdir(parents=True, exist_ok=True)
        path.replace(quarantine / f"{path.name}.{uuid4().hex}")

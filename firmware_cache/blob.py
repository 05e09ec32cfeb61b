"""One file of the cache: read, hashed, and put aside when it is damaged."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn
from uuid import uuid4

from firmware_cache.errors import CacheStorageError, DamagedBlobError
from firmware_cache.files import share
from firmware_cache.ref import Sums
from firmware_cache.trust import open_blob

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

    @contextmanager
    def open(self, *, into: Callable[[bytes], None] | None = None) -> Generator[BinaryIO, None, None]:
        """Open the file, hash it, and give that very open file for the block, at its start.

        As long as the block lasts no process removes the file to make room. `into` is called with each piece that is
        hashed, in order, so that a caller who needs a digest of its own does not read the file once more.

        Raises:
            DamagedBlobError: The content is not the digest's, or others could change it; it went to quarantine.
            CacheStorageError: The file is gone or cannot be read, or a damaged one cannot be moved.
                What is read in the block raises a plain `OSError` when the disk fails.
        """
        file = intact(self.path, self.sha256, self._quarantine, Sums(), into)
        if file is None:
            raise _gone(self.path)
        with file:
            yield file

    def read(self) -> bytes:
        """Read the file once, and give those very bytes after hashing them.

        Raises:
            DamagedBlobError: They are not the digest's; the file was moved to quarantine.
            CacheStorageError: The file is gone or cannot be read, or a damaged one cannot be moved.
        """
        file = _held(self.path, self._quarantine)
        if file is None:
            raise _gone(self.path)
        with file:
            with storage_errors(f"reading {self.path}"):
                content = file.read(self.size_bytes + 1)
            if len(content) != self.size_bytes or hashlib.sha256(content).hexdigest() != self.sha256:
                _condemn(file, self.path, self._quarantine)
        return content


def intact(
    path: Path, sha256: str, quarantine: Path, sums: Sums, into: Callable[[bytes], None] | None = None
) -> BinaryIO | None:
    """Open the blob at `path`, pass it through `sums`, and give the open file, at its start; None when there is none.

    Until it is closed no process removes the file to make room.

    Raises:
        DamagedBlobError: Its content is not `sha256`'s, or others could change it; it went to quarantine.
        CacheStorageError: It cannot be read, or a damaged one cannot be moved.
    """
    file = _held(path, quarantine)
    if file is None:
        return None
    try:
        with storage_errors(f"reading {path}"):
            sum_up(file, sums, into)
            file.seek(0)
        if sums.hex("sha256") != sha256:
            _condemn(file, path, quarantine)
    except BaseException:
        file.close()
        raise
    return file


def _held(path: Path, quarantine: Path) -> BinaryIO | None:
    """Open a blob and let others see that it is in use."""
    try:
        with storage_errors(f"reading {path}"):
            file = open_blob(path)
    except DamagedBlobError:
        isolate(path, quarantine)
        raise
    if file is not None:
        share(file)
    return file


def _condemn(file: BinaryIO, path: Path, quarantine: Path) -> NoReturn:
    file.close()  # Windows moves no file that is open
    isolate(path, quarantine)
    msg = f"{path} is damaged: its content is no longer what its name says"
    raise DamagedBlobError(msg)


def _gone(path: Path) -> CacheStorageError:
    return CacheStorageError(f"reading {path}: No such file or directory", hint="Fetch it again")


@contextmanager
def storage_errors(doing: str) -> Generator[None, None, None]:
    """Let no `OSError` leave this package under its own name."""
    try:
        yield
    except OSError as error:
        msg = f"{doing}: {error.strerror or error}"
        raise CacheStorageError(msg) from error


def sum_up(file: BinaryIO, sums: Sums, into: Callable[[bytes], None] | None = None) -> None:
    """Pass `file`, from where it stands to its end, through `sums` and `into` in constant memory."""
    while chunk := file.read(CHUNK_BYTES):
        sums.update(chunk)
        if into is not None:
            into(chunk)


def isolate(path: Path, quarantine: Path) -> None:
    """Move a damaged blob out of the way, under a name that no other one has, with the time (Unix seconds) in it."""
    with storage_errors(f"moving {path}, which is damaged, to quarantine"), suppress(FileNotFoundError):
        # Whoever looks next finds no blob. That someone else was faster with the same is as good.
        quarantine.mkdir(parents=True, exist_ok=True)
        path.replace(quarantine / f"{path.name}.{int(time.time())}.{uuid4().hex[:8]}")

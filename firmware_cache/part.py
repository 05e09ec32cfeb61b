"""A file on its way into the store: appended to by one writer, hashed as it grows."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from firmware_cache.blob import CHUNK_BYTES, storage_errors
from firmware_cache.errors import ContentError
from firmware_cache.ref import Ref, Sums


class Part:
    """A file being written, which may not become more than `ref` says."""

    source = ""
    """The host that the bytes are from."""
    resumed = False
    """Whether bytes of an earlier answer are in it, so that wrong content may be the mixture's fault."""
    spoilt = False
    """Whether it holds what is not the file: nobody can go on with it."""
    ranges = True
    """Whether the rest may be asked for alone; no more after that has failed once."""

    def __init__(self, path: Path, file: BinaryIO, ref: Ref, *, etag: str | None = None, begun_bytes: int = 0) -> None:
        self.path = path
        self.ref = ref
        self.sums = Sums(ref.digests)
        self.begun_bytes = begun_bytes
        """What was there when it was opened, hashed or not."""
        self._etag = etag
        self._file = file

    @property
    def size_bytes(self) -> int:
        """How much is in it, and was hashed."""
        return self.sums.size_bytes

    @property
    def etag(self) -> str | None:
        """Which file of a server the bytes are from, by its strong ETag; None where nobody can go on with them."""
        return self._etag if self.ranges and not self.spoilt and self.ref.sha256 else None

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            ContentError: This is more than was asked for; nothing of `data` was written, and the rest is spoilt.
            CacheStorageError: The disk is full, or says no otherwise.
        """
        if self.sums.size_bytes + len(data) > self.ref.size_bytes:
            self.spoilt = True
            msg = f"more came than the {self.ref.size_bytes} bytes that were asked for"
            raise ContentError(msg)
        self.spoilt = True  # should the disk be full: nobody knows then how much of it was written
        with storage_errors(f"writing {self.path}"):
            self._file.write(data)
        self.spoilt = False
        self.sums.update(data)

    def recall(self, into: Part | None = None) -> Generator[None, None, None]:
        """Hash what the file holds already, or copy it into another part, a chunk (1 MiB, about 1 ms) a step.

        Raises:
            CacheStorageError: It cannot be read, or the other one not written.
        """
        taker = into or self
        with storage_errors(f"reading {self.path}"):
            self._file.seek(0)
        while True:
            with storage_errors(f"reading {self.path}"):
                chunk = self._file.read(min(CHUNK_BYTES, self.ref.size_bytes - taker.size_bytes))
            if not chunk:
                return
            if taker is self:
                self.sums.update(chunk)
            else:
                taker.write(chunk)
            taker.resumed = True
            yield

    def check(self) -> None:
        """Hold what is in it against the reference.

        Raises:
            ContentError: It is something else; it is spoilt.
        """
        try:
            self.ref.check(self.sums)
        except ContentError:
            self.spoilt = True
            raise

    def restart(self, etag: str | None = None) -> None:
        """Forget every byte, and take those of the file that a server calls `etag`.

        Raises:
            CacheStorageError: The disk says no.
        """
        with storage_errors(f"writing {self.path}"):
            self._file.seek(0)
            self._file.truncate()
        self.sums = Sums(self.ref.digests)
        self._etag, self.resumed, self.spoilt = etag, False, False

    def close(self) -> None:
        """Bring every byte to the system, and close for good; again is nothing. Raises `OSError`."""
        self._file.close()

    def settle(self) -> None:
        """Bring every byte to the disk, and close for good. Raises `OSError`."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.path.chmod(0o444)

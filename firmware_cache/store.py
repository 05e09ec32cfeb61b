"""The blobs on disk: a file is there whole or not at all, its name is its digest, and reading checks again.

::

    <root>/CACHEDIR.TAG                           so that backups leave the folder out
    <root>/v1/blobs/sha256/ab/<64 hex>            immutable, 0444
    <root>/v1/part/<64 hex or uuid>.<uuid>.part   being written; one writer each, since nobody else knows the name
    <root>/v1/quarantine/<64 hex>.<uuid>          blobs found damaged

Parts lie beside the blobs, on the same file system, so that a rename publishes them in one step.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from firmware_cache.blob import VerifiedFile, isolate, storage_errors, sum_up
from firmware_cache.errors import CacheStorageError, ContentError
from firmware_cache.ref import Ref, Sums, check_hex

LAYOUT = "v1"  # bump when the layout above changes; folders of other layouts are left alone
TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# See https://bford.info/cachedir/\n"  # that page's signature
_CAN_SYNC_FOLDERS = os.name == "posix"  # Windows opens no folder as a file, and its rename is in the journal

_log = logging.getLogger(__name__)


class Part:
    """A file being written, which may not become more than `ref` says."""

    def __init__(self, path: Path, file: BinaryIO, ref: Ref) -> None:
        self.path = path
        self.ref = ref
        self.sums = Sums(ref.digests)
        self._file = file

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            ContentError: This is more than was asked for; nothing of `data` was written.
            CacheStorageError: The disk is full, or says no otherwise.
        """
        if self.sums.size_bytes + len(data) > self.ref.size_bytes:
            msg = f"more came than the {self.ref.size_bytes} bytes that were asked for"
            raise ContentError(msg)
        with storage_errors(f"writing {self.path}"):
            self._file.write(data)
        self.sums.update(data)

    def settle(self) -> None:
        """Bring every byte to the disk, and close for good."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.path.chmod(0o444)


class Store:
    """The folder. Nothing is made in it before the first part; every method blocks on the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._layout = root / LAYOUT
        self._quarantine = self._layout / "quarantine"

    def path(self, sha256: str) -> Path:
        """Where the blob is, or would be.

        Raises:
            ValueError: That is no SHA-256.
        """
        check_hex("sha256", sha256)
        return self._layout / "blobs" / "sha256" / sha256[:2] / sha256

    def find(self, sha256: str, ref: Ref | None = None) -> VerifiedFile | None:
        """Give the blob if it is here and intact; a damaged one goes to quarantine and counts as absent.

        Raises:
            ContentError: It is the blob, but `ref` asks for another size, or for another digest besides.
            CacheStorageError: The cache cannot be read, or a damaged blob cannot be moved.
        """
        path = self.path(sha256)
        sums = Sums(ref.digests if ref else ())
        if not _summed(path, sums):
            return None
        if sums.hex("sha256") != sha256:
            _log.warning("%s is damaged and goes to quarantine", path)
            isolate(path, self._quarantine)
            return None
        if ref:
            ref.check(sums)
        return VerifiedFile(path, sums.size_bytes, sha256, cached=True, _quarantine=self._quarantine)

    @contextmanager
    def part(self, ref: Ref) -> Generator[Part, None, None]:
        """Open a new part for the file `ref`; at the end of the block it is gone, unless `publish` took it.

        Raises:
            CacheStorageError: Less space is free than the file needs, or the folder cannot be written.
        """
        with storage_errors(f"preparing {self._root}"):
            self._prepare(ref.size_bytes)
            path = self._layout / "part" / f"{ref.sha256 or uuid4().hex}.{uuid4().hex}.part"
            file = path.open("xb")
        try:
            yield Part(path, file, ref)
        finally:
            # The bytes are not wanted any more, and an error on its way says more than one of tidying up.
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                path.unlink()

    def publish(self, part: Part) -> VerifiedFile:
        """Give a full part its final name. A crash leaves either the whole blob or none.

        Raises:
            ContentError: Its size, or a digest, is not what was asked for.
            CacheStorageError: The disk says no.
        """
        part.ref.check(part.sums)
        sha256 = part.sums.hex("sha256")
        final = self.path(sha256)
        with storage_errors(f"keeping {final}"):
            part.settle()
            final.parent.mkdir(parents=True, exist_ok=True)
            part.path.replace(final)
            _sync_folder(final.parent)
        return VerifiedFile(final, part.sums.size_bytes, sha256, cached=False, _quarantine=self._quarantine)

    def _prepare(self, size_bytes: int) -> None:
        (self._layout / "part").mkdir(parents=True, exist_ok=True)
        tag = self._root / "CACHEDIR.TAG"
        if not tag.exists():
            tag.write_bytes(TAG)
        if (free := shutil.disk_usage(self._layout).free) < size_bytes:
            msg = f"{self._root} has {free} bytes free where the file needs {size_bytes}"
            raise CacheStorageError(msg)


def _summed(path: Path, sums: Sums) -> bool:
    """Pass the file through `sums`; False when there is none."""
    with storage_errors(f"reading {path}"):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return False
        with file:
            sum_up(file, sums)
    return True


def _sync_folder(folder: Path) -> None:
    """Bring a new name in `folder` to the disk."""
    if not _CAN_SYNC_FOLDERS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

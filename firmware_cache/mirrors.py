"""Places to look before the origin: a folder, or a web server over one.

::

    <folder or address>/blobs/sha256/<64 hex>

A mirror is not trusted: size and digest are pinned, so plain http is good enough, and no byte of one is ever mixed with
the origin's. What one begins and does not end is dropped.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TypeAlias

import httpx

from firmware_cache.address import parse, shown
from firmware_cache.blob import CHUNK_BYTES, VerifiedFile, storage_errors
from firmware_cache.download import Download, to_the_end
from firmware_cache.errors import CacheStorageError, DownloadError
from firmware_cache.getting import Progress
from firmware_cache.limits import Limits
from firmware_cache.ref import Ref
from firmware_cache.request import carrier
from firmware_cache.store import Store

_PLAIN = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe is not waited for
_ABSENT = {404, 410}


@dataclass(frozen=True, slots=True)
class FolderMirror:
    """A folder that `FirmwareCache.push` filled: on a stick, or shared by a server. It is asked offline too."""

    path: Path

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        return str(self.path)

    async def bring(self, ref: Ref, store: Store, progress: Progress) -> VerifiedFile | None:
        """Copy the file into `store`; None where the mirror does not have it.

        Raises:
            CacheStorageError: The folder is not there or cannot be read, or the cache cannot be written.
            ContentError: The file is not `ref`.
        """
        file = await to_the_end(partial(self._open, ref))
        if file is None:
            return None
        with file, store.part(ref) as part:
            progress(0, ref.size_bytes)
            while chunk := await to_the_end(partial(self._read, file)):
                part.write(chunk)
                progress(part.size_bytes, ref.size_bytes)
            return await to_the_end(partial(store.publish, part))

    def _open(self, ref: Ref) -> FileIO | None:
        folder = self.path / "blobs" / "sha256"
        with storage_errors(f"reading {self.path}"):
            if not folder.is_dir():
                msg = f"{self.path} is no mirror, or is not connected: it has no folder blobs/sha256"
                raise CacheStorageError(msg)
            try:  # without a buffer: closing it would wait for its lock, which a read that hangs holds
                file = FileIO(os.open(folder / str(ref.sha256), os.O_RDONLY | _PLAIN))
            except FileNotFoundError:
                return None
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
        msg = f"{self.path} has something else than a file under sha256:{ref.sha256}"
        raise CacheStorageError(msg)

    def _read(self, file: FileIO) -> bytes:
        with storage_errors(f"reading {self.path}"):
            return file.read(CHUNK_BYTES)


@dataclass(frozen=True, slots=True)
class HttpMirror:
    """A web server over such a folder, asked once, and given up after `deadline_s` seconds.

    Raises:
        DownloadError: `base` is no web address.
    """

    base: str
    deadline_s: float = 600.0
    """So that a mirror that hangs leaves the origin most of an hour (`Limits.deadline_s`)."""

    def __post_init__(self) -> None:
        parse(self.base, allow_http=True)

    @property
    def name(self) -> str:
        """What to call it in a sentence: its host, since the rest may be a secret."""
        return shown(httpx.URL(self.base))

    async def bring(
        self, ref: Ref, store: Store, progress: Progress, *, limits: Limits, client: httpx.AsyncClient | None
    ) -> VerifiedFile | None:
        """Download the file into `store`; None where the mirror does not have it.

        Raises:
            DownloadError: It could not be had.
            ContentError: What came is not `ref`.
            CacheStorageError: The cache cannot be written.
        """
        url = f"{self.base.rstrip('/')}/blobs/sha256/{ref.sha256}"
        once = replace(limits, attempts=1, allow_http=True, deadline_s=self.deadline_s)
        job = Download(ref, url, store, once, progress, keep=False)
        try:
            async with carrier(client) as carrying:
                return await job.run(carrying)
        except DownloadError as error:
            if error.status in _ABSENT:
                return None
            raise


Mirror: TypeAlias = FolderMirror | HttpMirror

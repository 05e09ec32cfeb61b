"""The cache as a caller meets it: fetch, add, find."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import httpx

from firmware_cache.blob import CHUNK_BYTES, VerifiedFile, storage_errors, sum_up
from firmware_cache.download import Download, Progress
from firmware_cache.limits import DEFAULTS, Limits
from firmware_cache.ref import Ref, Sums
from firmware_cache.store import Store

_DIRECT: dict[str, httpx.AsyncBaseTransport | None] = {  # no proxy of the environment between this machine and itself
    "all://localhost": None,
    "all://127.0.0.1": None,
    "all://[::1]": None,
}


class FirmwareCache:
    """Firmware files by their digest, in one folder that any number of processes may share.

    ::

        cache = FirmwareCache(Path("~/.cache/firmware").expanduser())
        file = await cache.fetch(Ref(262_144, sha256="6d0c…"), "https://cdn.example.com/fw.bin")
        content = file.read()
    """

    def __init__(self, root: Path) -> None:
        self._store = Store(root)

    async def fetch(
        self,
        ref: Ref,
        url: str,
        *,
        client: httpx.AsyncClient | None = None,
        progress: Progress | None = None,
        limits: Limits = DEFAULTS,
    ) -> VerifiedFile:
        """Give the file `ref`: from the cache, without a word to the network, else from `url`.

        A reference without SHA-256 cannot be looked up and is fetched every time.

        Args:
            ref: What the file must be.
            url: Where it is; https, or plain http on this machine. May be signed: it is shown nowhere.
            client: Carries the requests; it stays open. Its headers, cookies and login are not sent along.
            progress: Told (bytes here, bytes in all) as they come; back to 0 where a download starts over.
            limits: Speed, time and attempts.

        Raises:
            DownloadError: The file could not be had.
            ContentError: What came is not `ref`; nothing of it was kept.
            CacheStorageError: The cache cannot be read or written, or the disk is full.
        """
        if ref.sha256 is not None:
            found = await asyncio.to_thread(self._store.find, ref.sha256, ref)
            if found is not None:
                return found
        job = Download(ref, url, self._store, limits, progress or _nobody)
        async with _client(client) as carrier:
            return await job.run(carrier)

    def add(self, source: Path | bytes, ref: Ref | None = None) -> VerifiedFile:
        """Keep a local file, or bytes; compare with `ref` where one is given. Blocks on the disk.

        Raises:
            ContentError: It is not `ref`, or changed while it was copied.
            CacheStorageError: The file cannot be read, the cache cannot be written, or the disk is full.
        """
        name = source if isinstance(source, Path) else f"{len(source)} bytes"
        with storage_errors(f"reading {name}"), _open(source) as file:
            sums = Sums(ref.digests if ref else ())
            sum_up(file, sums)
            if ref:
                ref.check(sums)
            exact = ref or Ref(sums.size_bytes, sha256=sums.hex("sha256"))
            file.seek(0)
            return self._store.find(sums.hex("sha256")) or self._copy(file, exact)

    def find(self, sha256: str) -> VerifiedFile | None:
        """Give the blob if it is here and intact; a damaged one goes to quarantine. Blocks on the disk.

        Raises:
            ValueError: That is no SHA-256 in lower-case hexadecimal.
            CacheStorageError: The cache cannot be read, or a damaged blob cannot be moved.
        """
        return self._store.find(sha256)

    def _copy(self, file: BinaryIO, ref: Ref) -> VerifiedFile:
        with self._store.part(ref) as part:
            for chunk in iter(partial(file.read, CHUNK_BYTES), b""):
                part.write(chunk)
            return self._store.publish(part)


def _open(source: Path | bytes) -> BinaryIO:
    return source.open("rb") if isinstance(source, Path) else BytesIO(source)


def _nobody(_done: int, _total: int) -> None:
    """A `Progress` where nobody listens."""


@asynccontextmanager
async def _client(given: httpx.AsyncClient | None) -> AsyncGenerator[httpx.AsyncClient, None]:
    """The caller's client, left open, or one for this download alone."""
    if given is not None:
        yield given
        return
    async with httpx.AsyncClient(mounts=_DIRECT) as own:
        yield own

"""One file fetched: from here, else from a mirror, else from its address; by one process at a time.

::

    here? ── turn ── here by now? ── mirrors, in order ── origin
                                          └ one that fails is skipped, and said
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import httpx

from firmware_cache.blob import VerifiedFile
from firmware_cache.download import Download
from firmware_cache.errors import FirmwareCacheError, OfflineError
from firmware_cache.getting import Progress
from firmware_cache.limits import Limits
from firmware_cache.lock import turn
from firmware_cache.mirrors import FolderMirror, HttpMirror, Mirror
from firmware_cache.ref import Ref
from firmware_cache.request import carrier
from firmware_cache.store import Store

Notice: TypeAlias = Callable[[str], None]
"""Told in a sentence what a person who waits may want to know; returns at once."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fetching:
    """One `FirmwareCache.fetch`."""

    ref: Ref
    url: str = field(repr=False)  # may be signed, and is a secret then
    store: Store
    mirrors: Sequence[Mirror]
    limits: Limits
    progress: Progress
    notice: Notice
    client: httpx.AsyncClient | None
    offline: bool

    async def run(self) -> VerifiedFile:
        """Give the file, or the reason why not: see `FirmwareCache.fetch`."""
        if found := await self._here():
            return found
        mirrors = self._mirrors()
        if self.offline and not mirrors:
            raise OfflineError(self.ref.sha256 or "")
        if self.ref.sha256 is None:
            return await self._from_origin()
        self.store.prepare(0)
        lock = self.store.locks / f"{self.ref.sha256}.lock"
        async with turn(lock, wait_s=self.limits.lock_wait_s, waiting=self._say):
            return await self._here() or await self._from_mirrors(mirrors) or await self._from_origin()

    async def _here(self) -> VerifiedFile | None:
        if self.ref.sha256 is None:
            return None
        return await asyncio.to_thread(self.store.find, self.ref.sha256, self.ref)

    def _mirrors(self) -> Sequence[Mirror]:
        """Those that may be asked: by digest alone, and offline the folders."""
        if self.ref.sha256 is None:
            return ()
        return [mirror for mirror in self.mirrors if not self.offline or isinstance(mirror, FolderMirror)]

    async def _from_mirrors(self, mirrors: Sequence[Mirror]) -> VerifiedFile | None:
        for mirror in mirrors:
            try:
                found = await self._from(mirror)
            except FirmwareCacheError as error:
                self._say(f"the mirror {mirror.name} is skipped: {error}", logging.WARNING)
            else:
                if found is not None:
                    return found
        return None

    async def _from(self, mirror: Mirror) -> VerifiedFile | None:
        if isinstance(mirror, HttpMirror):
            return await mirror.bring(self.ref, self.store, self.progress, limits=self.limits, client=self.client)
        return await mirror.bring(self.ref, self.store, self.progress)

    async def _from_origin(self) -> VerifiedFile:
        if self.offline:
            raise OfflineError(self.ref.sha256 or "")
        job = Download(self.ref, self.url, self.store, self.limits, self.progress)
        async with carrier(self.client) as carrying:
            return await job.run(carrying)

    def _say(self, sentence: str, level: int = logging.INFO) -> None:
        _log.log(level, "%s", sentence)
        self.notice(sentence)

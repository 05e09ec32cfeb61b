"""Brings one file from an address into the store: bounded in size, speed and time, and hashed as it comes.

::

    part ── as much as there is ── GET the rest (identity, If-Range) ── chunks ── size and digests ── publish
      │            │                   │ 30x: at most 5, never https to http, never into a private network
      │            │                   └ 5xx, 429, unreachable, dropped: again from where it stands, a few times
      │            └ all of it: nobody is asked
      └ a mixture that turns out wrong, or a server that answers a range with something else: once more, whole

A connection that breaks is called that; only a body that came whole is called wrong content.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import httpx
import stamina

from firmware_cache.address import parse, secret_addresses, shown
from firmware_cache.blob import VerifiedFile
from firmware_cache.errors import ContentError, DownloadError
from firmware_cache.getting import Getting, Progress
from firmware_cache.limits import Limits
from firmware_cache.part import Part
from firmware_cache.patience import Patience
from firmware_cache.ranges import UnfitRangeError
from firmware_cache.ref import Ref
from firmware_cache.store import Store

T = TypeVar("T")
HUNG_S = 5.0  # our choice: a disk or a share that answers does so by then, and one that hangs keeps no cancelled task


@dataclass(frozen=True, slots=True)
class Download:
    """One file on its way from `url` into `store`."""

    ref: Ref
    url: str = field(repr=False)  # may be signed, and is a secret then
    store: Store
    limits: Limits
    progress: Progress
    keep: bool = True
    """Whether to go on with what was begun, and to leave for later what has come."""

    async def run(self, client: httpx.AsyncClient) -> VerifiedFile:
        """Bring it, in as many attempts as `limits` give.

        Raises:
            DownloadError: It could not be had.
            ContentError: What came is not `ref`.
            CacheStorageError: The disk says no.
        """
        start = parse(self.url, allow_http=self.limits.allow_http)
        getting = Getting(client, start, self.limits, self.progress, self.store.parts)
        failed: list[DownloadError] = []  # what ended the last attempt, once one has ended
        try:
            async with asyncio.timeout(self.limits.deadline_s):
                with secret_addresses():
                    async with self._part() as part:
                        await self._attempts(getting, part, failed)
                        # A cancelled task waits for the thread, so that nobody tidies up under its hands.
                        return await to_the_end(partial(self._publish, part))
        except TimeoutError:
            cause = f"; the last attempt that failed: {failed[0]}" if failed else ""
            msg = f"the download from {shown(start)} took longer than {self.limits.deadline_s:g} s{cause}"
            raise DownloadError(msg, url=self.url) from None

    @asynccontextmanager
    async def _part(self) -> AsyncGenerator[Part, None]:
        """Give a part of our own with all that is there already; it is given back, or gone, at the end."""
        parts = self.store.parts
        self.store.prepare(0)
        part, older = parts.claim(self.ref) if self.keep else (parts.fresh(self.ref), None)
        try:
            self.store.prepare(self.ref.size_bytes - part.begun_bytes)
            await _step_by_step(older.recall(part) if older else part.recall())
            if older:
                parts.discard(older)
            yield part
        finally:
            for one in filter(None, (part, older)):
                parts.give_back(one) if self.keep else parts.discard(one)

    async def _attempts(self, getting: Getting, part: Part, failed: list[DownloadError]) -> None:
        patience = Patience(self.limits, lambda: part.size_bytes if part.etag else 0)

        def judge(error: Exception) -> bool | float:
            if isinstance(error, DownloadError):  # a cancellation is asked about, too
                failed[:] = [error]
            return patience(error)

        async for attempt in stamina.retry_context(judge, attempts=None, timeout=None):
            with attempt:
                await _once(getting, part)

    def _publish(self, part: Part) -> VerifiedFile:
        file = self.store.publish(part)
        self.store.parts.clear(file.sha256)
        return file


async def _once(getting: Getting, part: Part) -> None:
    """Fill `part`; where a mixture is wrong, or the server knows no ranges, do it whole."""
    try:
        if part.resumed and part.size_bytes == part.ref.size_bytes:
            part.check()
        else:
            await getting.fill(part)
    except ContentError as error:
        if not isinstance(error, UnfitRangeError) and not (part.spoilt and part.resumed):
            raise
        part.ranges = False
        await getting.fill(part)


async def _step_by_step(steps: Generator[None, None, None]) -> None:
    """Run `steps` and let others run between them; a thread could not be stopped."""
    for _ in steps:
        await asyncio.sleep(0)


async def to_the_end(work: Callable[[], T]) -> T:
    """Run `work` in a thread; if the task is cancelled, wait for it first, `HUNG_S` at most."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    finally:
        until = loop.time() + HUNG_S
        while not task.done() and loop.time() < until:
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task], timeout=until - loop.time())
        if not task.done():
            task.add_done_callback(_heard_out)


def _heard_out(task: asyncio.Future[T]) -> None:
    if not task.cancelled():
        task.exception()  # or the loop would complain that it was not asked for

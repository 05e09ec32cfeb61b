"""Brings one file from an address into the store: bounded in size, speed and time, and hashed as it comes.

::

    part ── GET (identity) ── 200? ── length as asked? ── chunks ── size and digests ── publish
                 │ 30x: at most 5, never https to http
                 └ 5xx, unreachable, dropped: again from the start, a few times

A connection that breaks is called that; only a body that came whole is called wrong content.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import httpx

from firmware_cache.address import parse, secret_addresses, shown
from firmware_cache.blob import VerifiedFile
from firmware_cache.errors import ContentError, DownloadError, clean
from firmware_cache.limits import Limits, Pace
from firmware_cache.ref import Ref
from firmware_cache.request import answer, why
from firmware_cache.store import Part, Store

STATUS_HINTS = {
    401: "The link may have expired: ask for the plan again",
    403: "The link may have expired: ask for the plan again",
    404: "The file is no longer there: ask for the plan again",
    410: "The file is no longer there: ask for the plan again",
}

Progress: TypeAlias = Callable[[int, int], None]
"""Told (bytes here, bytes in all); returns at once."""


@dataclass(frozen=True, slots=True)
class Download:
    """One file on its way from `url` into `store`."""

    ref: Ref
    url: str = field(repr=False)  # may be signed, and is a secret then
    store: Store
    limits: Limits
    progress: Progress

    async def run(self, client: httpx.AsyncClient) -> VerifiedFile:
        """Bring it, in as many attempts as `limits` give.

        Raises:
            DownloadError: It could not be had.
            ContentError: What came is not `ref`.
            CacheStorageError: The disk says no.
        """
        start = parse(self.url, allow_http=self.limits.allow_http)
        try:
            async with asyncio.timeout(self.limits.deadline_s):
                with secret_addresses():
                    return await self._attempts(client, start)
        except TimeoutError:
            msg = f"the download from {shown(start)} took longer than {self.limits.deadline_s:g} s"
            raise DownloadError(msg, url=self.url) from None

    async def _attempts(self, client: httpx.AsyncClient, start: httpx.URL) -> VerifiedFile:
        attempt = 1
        while True:
            try:
                return await self._once(client, start)
            except DownloadError as error:
                if not error.transient or attempt >= self.limits.attempts:
                    raise
            await asyncio.sleep(self.limits.pause_s * 2 ** (attempt - 1))
            attempt += 1

    async def _once(self, client: httpx.AsyncClient, start: httpx.URL) -> VerifiedFile:
        with self.store.part(self.ref) as part:
            async with answer(client, start, self.limits) as response:
                with _named_pages(response):
                    self._check_headers(response)
                    await self._pour(response, part)
                    # A cancelled task leaves the thread to its work on its own part: a whole blob, or none.
                    return await asyncio.to_thread(self.store.publish, part)

    def _check_headers(self, response: httpx.Response) -> None:
        """Refuse what is seen to be wrong before its body."""
        status, host = response.status_code, shown(response.url)
        if status != 200:
            msg = f"{host} answered {status} where 200 was expected"
            hint = STATUS_HINTS.get(status)
            raise DownloadError(msg, url=str(response.url), status=status, transient=status >= 500, hint=hint)
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            msg = f"{host} sent the file encoded ({clean(encoding)}), which was not asked for"
            raise ContentError(msg)
        length = response.headers.get("Content-Length")
        if length is not None and length != str(self.ref.size_bytes):
            msg = f"{host} announces {clean(length)} bytes where {self.ref.size_bytes} were asked for"
            raise ContentError(msg)

    async def _pour(self, response: httpx.Response, part: Part) -> None:
        """Write the body into `part` as it comes."""
        host, total = shown(response.url), self.ref.size_bytes
        clock = asyncio.get_running_loop().time
        pace = Pace(self.limits, clock())
        self.progress(0, total)
        try:
            async for chunk in response.aiter_raw():
                part.write(chunk)
                self.progress(part.sums.size_bytes, total)
                if pace.slow(len(chunk), clock()):
                    msg = f"{host} sends less than {self.limits.min_bytes_per_s} bytes per second"
                    raise DownloadError(msg, url=str(response.url))
        except httpx.TransportError as error:
            raise self._dropped(response, part, why(error)) from error
        if part.sums.size_bytes < total and _ends_with_connection(response):
            raise self._dropped(response, part, "it was closed")

    def _dropped(self, response: httpx.Response, part: Part, reason: str) -> DownloadError:
        at = f"{part.sums.size_bytes} of {self.ref.size_bytes} bytes"
        msg = f"the connection to {shown(response.url)} dropped at {at}: {reason}"
        return DownloadError(msg, url=str(response.url), transient=True)


@contextmanager
def _named_pages(response: httpx.Response) -> Generator[None, None, None]:
    """Say of wrong content that it is a web page, where it is one: a portal or a login stands in the way."""
    try:
        yield
    except ContentError as error:
        if not response.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise
        msg = f"a web page came from {shown(response.url)} instead of firmware"
        hint = "A portal, a proxy or a login page may stand in the way: open the network in a browser first"
        raise ContentError(msg, hint=hint) from error


def _ends_with_connection(response: httpx.Response) -> bool:
    """Whether only the end of the connection tells the end of the body (RFC 9112 6.3, item 8)."""
    return "Content-Length" not in response.headers and "Transfer-Encoding" not in response.headers

"""One answer poured into a part: the rest of it where the server can, else the whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import httpx

from firmware_cache.address import shown
from firmware_cache.errors import ContentError, DownloadError, LinkExpiredError
from firmware_cache.limits import Limits, Pace
from firmware_cache.part import Part
from firmware_cache.parts import Parts
from firmware_cache.patience import retry_after
from firmware_cache.ranges import Body, Rest, UnfitRangeError, judge, strong
from firmware_cache.request import LATE, answer, why

GONE = "The file is no longer there: ask for the plan again"

Progress: TypeAlias = Callable[[int, int], None]
"""Told (bytes here, bytes in all); returns at once."""


@dataclass(frozen=True, slots=True)
class Getting:
    """What one request needs besides the part."""

    client: httpx.AsyncClient
    url: httpx.URL
    limits: Limits
    progress: Progress
    parts: Parts

    async def fill(self, part: Part) -> None:
        """Bring what `part` lacks, and hold the whole against its reference.

        Raises:
            UnfitRangeError: The server has answered a range with something else; nothing of it was taken.
            ContentError: What came is not the file; `part.spoilt` says whether any of it is in `part`.
            DownloadError: No answer, not a good one, or not the whole of it.
            CacheStorageError: The disk says no.
        """
        asked = None
        if part.size_bytes and part.etag:
            asked = Rest(part.size_bytes, part.ref.size_bytes, part.etag)
        async with answer(self.client, self.url, self.limits, asked.headers if asked else {}) as response:
            with _named_pages(response):
                self._begin(part, response, _judged(response, part, asked))
                await self._pour(part, response)

    def _begin(self, part: Part, response: httpx.Response, body: Body) -> None:
        """Get `part` ready for what comes, and tell where it stands."""
        part.source = shown(response.url)
        if body is Body.APPEND:
            part.resumed = True
        else:
            part.restart(strong(response.headers.get("ETag")))
            self.parts.note(part)
        self.progress(part.size_bytes, part.ref.size_bytes)

    async def _pour(self, part: Part, response: httpx.Response) -> None:
        """Write the body into `part` as it comes."""
        total = part.ref.size_bytes
        clock = asyncio.get_running_loop().time
        pace = Pace(self.limits, clock())
        try:
            async with asyncio.timeout(self.limits.window_s) as silence:  # heads of chunks and trailers are no bytes
                async for chunk in response.aiter_raw():
                    part.write(chunk)
                    self.progress(part.size_bytes, total)
                    if pace.slow(len(chunk), clock()):
                        msg = f"{part.source} sends less than {self.limits.min_bytes_per_s} bytes per second"
                        raise DownloadError(msg, url=str(response.url))
                    silence.reschedule(clock() + self.limits.window_s)
        except TimeoutError:
            raise _dropped(part, response, LATE) from None
        except httpx.TransportError as error:
            raise _dropped(part, response, why(error)) from error
        if part.size_bytes < total and _ends_with_connection(response):
            raise _dropped(part, response, "it was closed")
        part.check()


def _judged(response: httpx.Response, part: Part, asked: Rest | None) -> Body:
    """Say what the body is good for, after refusing what is seen to be wrong before it."""
    if response.status_code != 200 and not (asked and response.status_code in {206, 416}):
        raise _refused(response)
    try:
        return judge(response.status_code, response.headers, total=part.ref.size_bytes, asked=asked)
    except ContentError as error:
        raise type(error)(f"{shown(response.url)} {error}") from None


def _refused(response: httpx.Response) -> DownloadError:
    status, url = response.status_code, str(response.url)
    msg = f"{shown(response.url)} answered {status} where 200 was expected"
    if status in {401, 403}:
        return LinkExpiredError(msg, url=url, status=status)
    passing = status >= 500 or status == 429
    after_s = retry_after(response.headers.get("Retry-After")) if passing else None
    hint = GONE if status in {404, 410} else None
    return DownloadError(msg, url=url, status=status, transient=passing, retry_after_s=after_s, hint=hint)


def _dropped(part: Part, response: httpx.Response, reason: str) -> DownloadError:
    at = f"{part.size_bytes} of {part.ref.size_bytes} bytes"
    msg = f"the connection to {part.source} dropped at {at}: {reason}"
    return DownloadError(msg, url=str(response.url), transient=True)


@contextmanager
def _named_pages(response: httpx.Response) -> Generator[None, None, None]:
    """Say of wrong content that it is a web page, where it is one: a portal or a login stands in the way."""
    try:
        yield
    except UnfitRangeError:
        raise
    except ContentError as error:
        if not response.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise
        msg = f"a web page came from {shown(response.url)} instead of firmware"
        hint = "A portal, a proxy or a login page may stand in the way: open the network in a browser first"
        raise ContentError(msg, hint=hint) from error


def _ends_with_connection(response: httpx.Response) -> bool:
    """Whether only the end of the connection tells the end of the body (RFC 9112 6.3, item 8)."""
    return "Content-Length" not in response.headers and "Transfer-Encoding" not in response.headers

"""One GET for a file, redirects followed within bounds; the body is left to be read.

What httpx raises on the way is renamed here. A request carries nothing of the client's headers, cookies and login.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import cache

import httpx

from firmware_cache import peers
from firmware_cache.address import redirected, shown
from firmware_cache.errors import DownloadError, clean
from firmware_cache.limits import Limits

LATE = "no answer in time"
REDIRECTS_MAX = 5  # a CDN needs one or two
HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "firmware-cache"}
_DIRECT: dict[str, httpx.AsyncBaseTransport | None] = {  # no proxy of the environment between this machine and itself
    "all://localhost": None,
    "all://127.0.0.1": None,
    "all://[::1]": None,
}


@cache
def _trust() -> ssl.SSLContext:
    """Who may have signed a server's certificate: read once, it takes longer than a small download."""
    return httpx.create_ssl_context()


@asynccontextmanager
async def carrier(given: httpx.AsyncClient | None) -> AsyncGenerator[httpx.AsyncClient, None]:
    """The caller's client, left open, or one for this download alone."""
    if given is not None:
        yield given
        return
    async with httpx.AsyncClient(verify=_trust(), mounts=_DIRECT) as own:
        yield own


@asynccontextmanager
async def answer(
    client: httpx.AsyncClient, url: httpx.URL, limits: Limits, headers: Mapping[str, str]
) -> AsyncGenerator[httpx.Response, None]:
    """Give the response at the end of all redirects, whatever its status; it is closed at the end of the block.

    Raises:
        DownloadError: No answer came, or a redirect leads where none may.
    """
    home = None
    for hop in range(1 + REDIRECTS_MAX):
        if hop:
            await peers.check_name(url, home, limits)
        async with aclosing(await _send(client, url, limits, headers)) as response:
            if hop:
                peers.check(url, peers.peer(response), home, limits)
            else:
                home = peers.peer(response)
            if not response.has_redirect_location:
                yield response
                return
        url = redirected(url, response.headers["Location"], allow_http=limits.allow_http)
    msg = f"{shown(url)} redirects more than {REDIRECTS_MAX} times"
    raise DownloadError(msg, url=str(url))


def why(error: httpx.TransportError) -> str:
    """Say the reason in foreign words, or in ours where httpx has none."""
    if isinstance(error, httpx.TimeoutException):
        return LATE
    return clean(str(error)) or type(error).__name__


async def _send(
    client: httpx.AsyncClient, url: httpx.URL, limits: Limits, headers: Mapping[str, str]
) -> httpx.Response:
    """Ask for `url` alone, and return with the head of the answer, however it trickles or what comes before it."""
    whole_s = 2 * limits.connect_s + limits.window_s  # a free connection, a new one, and the head
    timeout = httpx.Timeout(limits.window_s, connect=limits.connect_s, pool=limits.connect_s)
    request = httpx.Request("GET", url, headers={**HEADERS, **headers}, extensions={"timeout": timeout.as_dict()})
    try:
        async with asyncio.timeout(whole_s):
            return await client.send(request, stream=True, auth=None, follow_redirects=False)
    except TimeoutError:
        msg = f"{shown(url)} cannot be reached: {LATE}"
        raise DownloadError(msg, url=str(url), transient=True) from None
    except httpx.TransportError as error:
        msg = f"{shown(url)} cannot be reached: {why(error)}"
        raise DownloadError(msg, url=str(url), transient=not _is_certificate(error)) from error
    except httpx.InvalidURL:  # httpx looks at where a redirect leads even when it does not follow
        msg = f"{shown(url)} redirects to an address that cannot be read"
        raise DownloadError(msg, url=str(url)) from None


def _is_certificate(error: BaseException | None) -> bool:
    """Whether a refused certificate is at the bottom of it: that does not pass by itself."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False

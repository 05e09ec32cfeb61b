"""One call over HTTP: the request goes out, the envelope's data comes back, and nothing of httpx leaves this file.

A login's URL holds the password (see `auth.py`), and httpx logs URLs, httpcore headers. While a request of ours is
under way their loggers are therefore deaf, by a filter that looks at a context variable; other users of httpx in the
process are not touched. In their place this file logs method, path and sizes.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from json import dumps
from typing import TypeAlias

import httpx

from ble_ota.cloud.answers import BODY_MAX_BYTES, TOO_MANY_REQUESTS, Answer, unwrap
from ble_ota.cloud.endpoints import Endpoint, base_url, is_loopback
from ble_ota.cloud.pace import Pace
from ble_ota.errors import CloudAnswerError, CloudUnreachableError
from ble_ota.model import Secret

Values: TypeAlias = Mapping[str, object] | Sequence[Mapping[str, object]]

PAUSES_S = (0.5, 1.0)  # before the second and the third try of a call that is safe to repeat
RETRY_AFTER_MAX_S = 10.0  # a person is waiting; a server that wants longer gets no further try

log = logging.getLogger(__name__)

_under_way: ContextVar[bool] = ContextVar("ble_ota_cloud_request_under_way", default=False)
_LOUD = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks")


class _Deaf(logging.Filter):
    """Drops what is logged during our own requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _under_way.get()


_DEAF = _Deaf()


@cache
def _trust() -> ssl.SSLContext:
    """Who may have signed a server's certificate: read once for all sessions, it takes longer than a call."""
    return httpx.create_ssl_context()


class Exchange:
    """Speaks HTTP to one Developer Center. Redirects are not followed, certificates are verified."""

    def __init__(
        self,
        base: str,
        *,
        transport: httpx.AsyncBaseTransport | None,
        timeout_s: float,
        clock: Callable[[], float],
        pace: Pace,
    ) -> None:
        """Make the client; `timeout_s` bounds each try as a whole, `pace` how many there are.

        Raises:
            SettingsError: `base` is no place for a session.
        """
        self.base = base_url(base)
        self.host = httpx.URL(self.base).netloc.decode()
        self._timeout_s = timeout_s
        self._clock = clock
        self._pace = pace
        self._http = httpx.AsyncClient(
            transport=transport,
            verify=_trust(),
            timeout=timeout_s,
            trust_env=not is_loopback(httpx.URL(self.base).host),  # plain http must not go out through a proxy
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "ble-ota"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none is kept: one may fit into no header
        )
        for name in _LOUD:
            logging.getLogger(name).addFilter(_DEAF)

    @property
    def calls_at_once(self) -> int:
        """How many calls may be under way at a time."""
        return self._pace.at_once

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def call(
        self,
        endpoint: Endpoint,
        values: Values,
        *,
        doing: str,
        token: Secret | None = None,
        secrets: Sequence[str] = (),
    ) -> object:
        """Make one call, up to three times where that is safe, and give the envelope's data.

        Args:
            endpoint: Which call.
            values: Its parameters by our words, several of them for a call that takes a list; None is left out.
            doing: What it is for; begins the sentence of every error.
            token: Sent verbatim as `Authorization`.
            secrets: What must not be shown if the server says it back.

        Raises:
            CloudUnreachableError: No answer.
            CloudAnswerError: No envelope, or over the cap.
            ApiError: The envelope carries an error code.
        """
        for pause_s in PAUSES_S if endpoint.repeatable else ():
            try:
                answer = await self._once(endpoint, values, doing, token)
            except CloudUnreachableError:
                await asyncio.sleep(pause_s)
                continue
            if (wait_s := self._wait_s(answer, pause_s)) is None:
                return unwrap(answer, doing=doing, secrets=secrets)
            await asyncio.sleep(wait_s)
        return unwrap(await self._once(endpoint, values, doing, token), doing=doing, secrets=secrets)

    def _wait_s(self, answer: Answer, pause_s: float) -> float | None:
        """How long to wait before another try; None when this answer is the last word."""
        if not answer.passing:
            return None
        asked_s = _seconds(answer.retry_after, self._clock())
        if asked_s is None:
            return pause_s
        if answer.status == TOO_MANY_REQUESTS:
            self._pace.rest(min(asked_s, RETRY_AFTER_MAX_S))  # it means all of us
        return asked_s if asked_s <= RETRY_AFTER_MAX_S else None

    async def _once(self, endpoint: Endpoint, values: Values, doing: str, token: Secret | None) -> Answer:
        """Send one request and read its answer up to the cap.

        Ours are raised outside of `except`: httpx's errors hold the request, and so its URL and headers.
        """
        try:
            with _silence():
                async with (
                    self._pace.turn(),
                    asyncio.timeout(self._timeout_s),
                    self._sent(endpoint, values, token) as response,
                ):
                    body = await _body(response, doing)
        except TimeoutError:
            why = f"nothing came within {self._timeout_s:g} s"
        except httpx.HTTPError as error:
            why = _why(error)
        else:
            log.debug("%s %s: HTTP %d, %d bytes", endpoint.method, endpoint.path, response.status_code, len(body))
            headers = response.headers
            return Answer(response.status_code, headers.get("Content-Type", ""), body, headers.get("Retry-After", ""))
        msg = f"{doing}: no answer from {self.host}: {why}"
        raise CloudUnreachableError(msg)

    @asynccontextmanager
    async def _sent(
        self, endpoint: Endpoint, values: Values, token: Secret | None
    ) -> AsyncGenerator[httpx.Response, None]:
        spelled = endpoint.spell(values) if isinstance(values, Mapping) else endpoint.spell_all(values)
        named = spelled if isinstance(spelled, dict) else {}  # a bare list is a JSON body and nothing else
        flat = {name: value if isinstance(value, str) else dumps(value) for name, value in named.items()}
        request = self._http.build_request(
            endpoint.method,
            self.base + endpoint.path,
            params=flat if endpoint.parameters == "query" else None,
            json=spelled if endpoint.parameters == "json" else None,
            data=flat if endpoint.parameters == "form" else None,
            headers={"Authorization": token.reveal()} if token else {},
        )
        response = await self._http.send(request, stream=True, follow_redirects=False)
        try:
            yield response
        finally:
            await response.aclose()


@contextmanager
def _silence() -> Generator[None, None, None]:
    before = _under_way.set(True)
    try:
        yield
    finally:
        _under_way.reset(before)


async def _body(response: httpx.Response, doing: str) -> bytes:
    """Read the body, never more than the cap and one chunk of it."""
    if (coding := response.headers.get("Content-Encoding", "identity")) != "identity":
        # We asked for none: a few packed bytes can become gigabytes.
        msg = f"{doing}: the answer is packed ({coding[:20]!r}), which was not asked for"
        raise CloudAnswerError(msg)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            msg = f"{doing}: the answer is larger than {BODY_MAX_BYTES} bytes"
            raise CloudAnswerError(msg)
    return bytes(body)


def _why(error: BaseException) -> str:
    """The system's own words for what went wrong underneath; httpx's own may quote the request."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not to be trusted: {cause.verify_message}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return "it did not answer in time" if isinstance(error, httpx.TimeoutException) else "the connection broke off"


def _seconds(retry_after: str, now_s: float) -> float | None:
    """Read a Retry-After: seconds, or a date (RFC 9110 10.2.3); None when it is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        date = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):  # a year or a zone of twenty digits is the latter
        return None
    return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now_s)

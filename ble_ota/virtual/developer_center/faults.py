"""Everything that can be made to go wrong, as switches; all of them off to begin with.

`center.faults = Faults(status=500, only="getFetchPlan", times=2)` holds from the next request on. Several switches at
once are allowed; of those that replace the whole answer the first one in the order of the fields wins.

A world may bring its own, by the same names, in `cloud/faults.json`: `{"status": 500, "only": "getFetchPlan"}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from pydantic import with_config
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ble_ota.virtual.developer_center.answers import enveloped
from ble_ota.virtual.developer_center.said import STRICT, said
from ble_ota.virtual.world import World

HANG_UP = "ble_ota.hang_up"  # ASGI extension, given by `server.py`: close the connection as it is
_KEY = "ble_ota.faults"  # where a request finds its faults
_PIECE = 65536
_FILLING = b"x" * _PIECE


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Faults:
    """Which requests are struck, and by what."""

    only: str = ""
    """Strikes requests whose path has this in it: "getFetchPlan", "/oss/"."""
    spares: int = 0
    """Lets that many of these requests pass first."""
    times: int | None = None
    """Strikes that many requests and then no more; None is all of them."""

    # Instead of an answer; nothing was done and nothing is recorded.
    status: int | None = None
    """This HTTP status, as plain text."""
    retry_after_s: int | None = None
    """With `status`: when to come again."""
    redirect_to: str | None = None
    """302 to this address."""
    code: int | None = None
    """An envelope with this error code."""
    html: bool = False
    """The page of a captive portal, with HTTP status 200."""
    huge_json_bytes: int = 0
    """A JSON answer of at least this size."""
    nested_json_levels: int = 0
    """A JSON answer with so many arrays inside each other."""

    # The answer itself; everything was done.
    lost_answer: bool = False
    """The connection closes in its place."""
    delay_s: float = 0.0
    """It comes so much later."""

    plan_without_digest: bool = False
    plan_for_other_product: bool = False
    plan_wrong_size: bool = False
    """One byte more than the file has."""
    plan_downgrade: bool = False
    """The target is below whatever runs."""
    plan_control_characters: bool = False
    """Terminal escapes, controls and bidirectional overrides in the notes."""

    drip_bytes_per_s: float | None = None
    """How fast firmware comes."""
    truncate_at: int | None = None
    """The connection closes after so many bytes of the body; the headers promised more."""
    flip_bit_at: int | None = None
    """One bit of the byte at this place of the file is wrong."""
    extra_bytes: int = 0
    """So many zeros follow, and no length is announced."""
    encoded: bool = False
    """The body comes gzipped, and whole."""
    ignores_ranges: bool = False
    """200 and everything, whatever was asked for."""
    shifted_range: bool = False
    """206 from one byte before what was asked for, and saying so."""
    changing_etag: bool = False
    """Another ETag with each answer."""
    weak_etag: bool = False


def said_faults(world: World) -> Faults:
    """What `cloud/faults.json` of `world` says; no faults where there is no such file.

    Raises:
        WorldError: The file is no JSON of this form.
    """
    return said(world, "faults.json", Faults())


def faults_of(request: Request) -> Faults:
    """What strikes this request."""
    faults: Faults = request.scope.get(_KEY, Faults())
    return faults


async def hung_up(scope: Scope, receive: Receive) -> bool:
    """Close the connection, if there is one: without a socket there is none, and the caller makes do."""
    close = scope.get("extensions", {}).get(HANG_UP)
    if close is None:
        return False
    close()
    while (await receive())["type"] != "http.disconnect":
        pass
    return True


async def gone_within(receive: Receive, seconds: float) -> bool:
    """Wait; tell at once when the client goes away meanwhile."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


class FaultLine:
    """Stands between the server and the application, and strikes."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self.faults = faults

    @property
    def faults(self) -> Faults:
        """What is in force; setting it starts the counts of `spares` and `times` anew."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self._spared = faults.spares
        self._left = faults.times

    def _strike(self, path: str) -> Faults:
        if self._faults.only not in path or self._left == 0:
            return Faults()
        if self._spared:
            self._spared -= 1
            return Faults()
        if self._left is not None:
            self._left -= 1
        return self._faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        faults = self._strike(scope["path"])
        scope[_KEY] = faults
        app = _instead(faults) or self._app
        if faults.delay_s:
            send = _late(faults.delay_s, receive, send)
        if not faults.lost_answer:
            await app(scope, receive, send)
            return
        await app(scope, receive, _into_the_void)
        if not await hung_up(scope, receive):
            msg = "the virtual Developer Center hung up without an answer"
            raise ConnectionResetError(msg)


async def _into_the_void(_: Message) -> None:
    pass


def _late(delay_s: float, receive: Receive, send: Send) -> Send:
    async def later(message: Message) -> None:
        if message["type"] == "http.response.start":
            await gone_within(receive, delay_s)
        await send(message)

    return later


def _instead(faults: Faults) -> Response | None:
    """The answer that replaces the real one, if a switch asks for one."""
    if faults.status is not None:
        headers = {} if faults.retry_after_s is None else {"Retry-After": str(faults.retry_after_s)}
        return PlainTextResponse("Something went wrong", faults.status, headers)
    if faults.redirect_to is not None:
        return RedirectResponse(faults.redirect_to, 302)
    if faults.code is not None:
        return enveloped(faults.code, "As you wished")
    if faults.html:
        return HTMLResponse("<!DOCTYPE html><html><body><h1>Welcome to the hotel</h1>Please log in.</body></html>")
    return _json(faults)


def _json(faults: Faults) -> Response | None:
    if faults.huge_json_bytes:
        return StreamingResponse(_huge(faults.huge_json_bytes), media_type="application/json")
    if faults.nested_json_levels:
        deep = "[" * faults.nested_json_levels + "]" * faults.nested_json_levels
        return Response(f'{{"code":200,"msg":"","data":{deep},"extMsg":null}}', media_type="application/json")
    return None


async def _huge(size_bytes: int) -> AsyncIterator[bytes]:
    """Yield valid JSON that is never in memory as a whole."""
    yield b'{"code":200,"data":null,"extMsg":null,"msg":"'
    for _ in range(-(-size_bytes // _PIECE)):
        yield _FILLING
        await asyncio.sleep(0)  # sending to a client that is gone waits for nothing: let it be noticed
    yield b'"}'

"""A Developer Center that says what a test tells it, in hand-written JSON, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ble_ota.cloud import DeveloperCenter, Tokens
from ble_ota.model import Secret

NOW_S = 1_744_780_586.0

PASSWORD = "china1234"
DOMAIN_SECRET = "57Fk69oYgbs2aWWN362NtZwYB2RqKNqQ7yZESnF5VM22"  # the vendor documentation's own sample
ACCESS = "Bearer access-one.aaa.bbb"
REFRESH = "Bearer refresh-one.ccc.ddd"
ACCESS_TWO = "Bearer access-two.eee.fff"
REFRESH_TWO = "Bearer refresh-two.ggg.hhh"

TOKENS = Tokens(Secret(ACCESS), NOW_S + 7200, Secret(REFRESH), NOW_S + 2_592_000)

NEW_TOKENS = """{"code": 200, "msg": "", "data": {
    "accessToken": {"token": "Bearer access-two.eee.fff", "expirationTime": "1744787786"},
    "refreshToken": {"token": "Bearer refresh-two.ggg.hhh", "expirationTime": 1747372586}}, "extMsg": null}"""
OK = '{"code": 200, "msg": "success", "data": null}'
EXPIRED = '{"code": 5032, "msg": "token verification failed", "data": null}'


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    body: str | bytes
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    gate: asyncio.Event | None = None


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at_s: float

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization")


class Center:
    """Answers by the last part of the path; the last answer given for a name stands."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._news = asyncio.Condition()
        self._replies: dict[str, list[Reply]] = {}

    def says(self, name: str, *replies: str | Reply) -> None:
        self._replies[name] = [r if isinstance(r, Reply) else Reply(r) for r in replies]

    def names(self) -> list[str]:
        return [asked.name for asked in self.asked]

    async def until_asked(self, times: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: len(self.asked) >= times)

    async def answer(self, request: Request) -> Response:
        asked = Asked(
            request.method,
            request.url.path,
            dict(request.query_params),
            dict(request.headers),
            await request.body(),
            asyncio.get_running_loop().time(),
        )
        async with self._news:
            self.asked.append(asked)
            self._news.notify_all()
        waiting = self._replies[asked.name]
        reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if reply.gate:
            await reply.gate.wait()
        return Response(reply.body, reply.status, reply.headers, reply.content_type)

    @property
    def transport(self) -> httpx.ASGITransport:
        methods = ["GET", "POST", "PUT", "DELETE"]
        return httpx.ASGITransport(Starlette(routes=[Route("/{path:path}", self.answer, methods=methods)]))


@pytest.fixture
def center() -> Center:
    return Center()


Open = Callable[..., DeveloperCenter]


@pytest.fixture
async def enter(center: Center) -> AsyncIterator[Open]:
    """Make clients of `center`; they are closed when the test ends."""
    made: list[DeveloperCenter] = []

    def open_client(**changes: Any) -> DeveloperCenter:
        arguments: dict[str, Any] = {
            "user_domain": "C.DM.1.1",
            "user_domain_secret": Secret(DOMAIN_SECRET),
            "report_status": {"confirmed": 2},
            "tokens": TOKENS,
            "transport": center.transport,
            "clock": lambda: NOW_S,
            "calls_per_s": 1000,
        }
        made.append(DeveloperCenter(changes.pop("base_url", "https://cloud.example"), **{**arguments, **changes}))
        return made[-1]

    yield open_client
    for client in made:
        await client.__aexit__()

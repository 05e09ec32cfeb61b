"""A Developer Center that answers each call in the right shape, in the wrong one, or in none."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

SHA = "a591a6d40bf420404a011733cfb7b190d62c65bf0bcda32b57b277d9ad9f146e"
TOKENS = {
    "accessToken": {"token": "Bearer a.b.c", "expirationTime": 1_900_000_000},
    "refreshToken": {"token": "Bearer d.e.f", "expirationTime": "2000000000"},
}
DEVICE = {"productKey": "p1", "deviceKey": "d1", "deviceName": "pump", "bindingCode": "AAAA", "authKey": "BBBB"}
FILE = {"fileUrl": "https://oss.example/a?Signature=x", "fileSize": 10, "fileSign": SHA, "sort": 1}
OLDER = {
    "components": [
        {"componentNo": "M1", "targetVersion": "2", "sourceVersion": "1", "info": "", "componentVersions": [FILE]}
    ],
    "planInfo": {"planId": "7", "batteryLevelLimit": 30, "minSignalIntensity": -90, "useSpace": 100, "planEndTime": 0},
}
NEWER = {
    **{"planId": 8, "planEndTime": 4_000_000_000_000, "productKey": "p1", "deviceKey": "d1"},
    "comVerList": [
        {
            **{
                "comNo": "M1",
                "comType": 0,
                "dataType": 1,
                "cver": "1",
                "tver": "2",
                "battery": 3,
                "space": 9,
                "sort": 1,
            },
            "fileList": [{"filePath": "https://a.example/x", "fileSize": 10, "fileSha256": SHA, "fileName": "x.bin"}],
        }
    ],
}
ANSWERS: Mapping[str, tuple[Any, ...]] = {
    "emailPwdLogin": (TOKENS,),
    "phonePwdLogin": (TOKENS,),
    "refreshToken": (TOKENS,),
    "userLogout": (None,),
    "userInfo": ({"uid": "U1", "nikeName": "demo", "email": "a@b", "phone": "17"},),
    "userDeviceList": ({"list": [DEVICE, {}], "total": 2, "pages": 1}, {"list": [DEVICE]}),
    "deviceInfo": ({**DEVICE, "capabilitiesBitmask": 4, "networkType": "5", "onlineStatus": 1},),
    "getDeviceBusinessAttributes": ({"deviceData": {"version": "1", "mcuVersion": '[{"componentNo":"M1"}]'}},),
    "getFetchPlan": (OLDER, NEWER, None),
    "reportUpgradeStatus": (None,),
}


@dataclass(frozen=True, slots=True)
class Raw:
    """Text that goes into the JSON as it is, whether it is JSON or not."""

    text: str


DEEP, DEEPER = (Raw("[" * levels + "]" * levels) for levels in (500, 3000))
JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 200, 5032, 2**31, 2**63, -(2**63), 2**70, 0.5, 1e300),
    *(
        Raw("NaN"),
        Raw("-Infinity"),
        Raw("1e999"),
        Raw("9" * 5000),
        Raw("-0"),
        Raw("01"),
        DEEP,
        DEEPER,
        Raw("\\u0041"),
        Raw(""),
    ),
    *("", " ", "x" * 5000, "\ud800", "\u202e\x1b[31m\x00", "../../etc/passwd", "1" * 300, "null", "[[]]", "é" * 200),
    *([], {}, [[]], [None] * 1000, [{}] * 30, {"": {}}, {"list": {}}, {"token": "\r\nEvil: 1"}),
    *(
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "https://[::1",
        "https://u:p@a.example/",
        "ftp://a/",
        "https://",
    ),
)
BODIES = (
    b"",
    b"\xff\xfe{\x00",
    b"\xef\xbb\xbf{}",
    b"<html>",
    b"null",
    b"[]",
    b'"',
    b"{",
    b"{}" * 9,
    b"\x00" * 99,
    b"1",
)
STATUSES = (204, 206, 301, 307, 400, 401, 404, 418, 429, 500, 503, 599)
HEADERS = (
    (b"Retry-After", b"99999999999999999999"),
    (b"Retry-After", b"Wed, 16 Apr 20250000000000000000000 05:16:40 GMT"),
    (b"Retry-After", b"\xb2\xff"),
    (b"Content-Type", b"text/html"),
    (b"Content-Type", b"\xff;;;charset=x"),
    (b"Content-Encoding", b"gzip"),
    (b"Content-Length", b"7"),
    (b"Location", b"http://127.0.0.1/"),
    (b"Location", b"https://[::1"),
    (b"Location", b"//\xff:99999999999/"),
    (b"Location", b"http://a..b/\x00"),
    (b"Location", b"https://xn--\xc3\xbc/"),
    (b"Set-Cookie", b"\xff=;expires=Wed, 16 Apr 202500000000 05:16:40 GMT"),
)


@dataclass(slots=True)
class LyingServer(httpx.AsyncBaseTransport):
    """See above; the same seed lies in the same way. Says back whatever it was told, where it may say anything."""

    seed: int
    asked: int = 0
    heard: list[str] = field(default_factory=list[str])
    """Tokens, as they came."""
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        chance, self.asked = self._chance, self.asked + 1
        self.heard.append(request.headers.get("Authorization", ""))
        if chance.random() < 0.03:
            raise chance.choice((httpx.ReadError, httpx.ConnectTimeout, httpx.RemoteProtocolError))("it broke")
        status = (
            200 if chance.random() < 0.8 else chance.choice((204, 206, 301, 400, 401, 404, 418, 429, 500, 503, 599))
        )
        headers = chance.sample(HEADERS, chance.choice((0, 0, 0, 0, 1, 3)))
        body = self._body(request.url.path.rsplit("/", 1)[-1], str(request.url) + self.heard[-1])
        return httpx.Response(status, headers=headers, stream=Pieces(body, chance.choice((0.0, 0.0, 0.0, 1.0))))

    def _body(self, name: str, told: str) -> bytes:
        chance = self._chance
        if chance.random() < 0.05:
            return chance.choice((*BODIES, chance.randbytes(200)))
        code = 200 if chance.random() < 0.8 else chance.choice((5032, 5106, 5000, 5028, 5147, 4711, "5052", -1))
        answer = {"code": code, "msg": told if chance.random() < 0.5 else "", "data": chance.choice(ANSWERS[name])}
        for _ in range(chance.choice((0, 1, 1, 2, 5))):
            answer = self._spoilt(answer)
        body = self._text(answer).encode("utf-8", "surrogatepass")
        return body[: chance.randrange(len(body) + 1)] if chance.random() < 0.03 else body

    def _spoilt(self, node: Any) -> Any:
        """`node`, and in one place of it something else."""
        chance = self._chance
        if isinstance(node, dict) and node and chance.random() < 0.9:
            name = chance.choice(list(node))
            rest = {n: v for n, v in node.items() if n != name}
            return rest if chance.random() < 0.15 else rest | {name: self._spoilt(node[name])}
        if isinstance(node, list) and node and chance.random() < 0.8:
            at = chance.randrange(len(node))
            return [*node[:at], self._spoilt(node[at]), *node[at + 1 :]]
        return chance.choice(JUNK)

    def _text(self, node: Any) -> str:
        """`node` as JSON, now and then with a name in it twice."""
        match node:
            case Raw():
                return node.text
            case dict():
                pairs = [f"{json.dumps(name)}:{self._text(value)}" for name, value in node.items()]
                twice = pairs[:1] if self._chance.random() < 0.01 else []
                return "{" + ",".join(pairs + twice) + "}"
            case list():
                return "[" + ",".join(map(self._text, node)) + "]"
            case _:
                return json.dumps(node)


@dataclass(slots=True)
class Pieces(httpx.AsyncByteStream):
    """A body in a few pieces, with pauses of so many seconds between them."""

    body: bytes
    pause_s: float

    async def __aiter__(self) -> AsyncIterator[bytes]:
        step = max(1, len(self.body) // 3)
        for at in range(0, len(self.body), step):
            await asyncio.sleep(self.pause_s)
            yield self.body[at : at + step]

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from ble_ota.virtual.developer_center import DeveloperCenter
from ble_ota.virtual.developer_center.plans import plan_id
from ble_ota.virtual.world import World, WorldUser

USER = WorldUser()
RANDOM = "abcdefghijklmnop"
NOW = 1_800_000_000.0
ENDUSER = "/v2/enduser/enduserapi"
BINDING = "/v2/binding/enduserapi"
OTA = "/v2/quecota/enduserapi"
ONLINE = "p22cLd"
NOW_MS = int(NOW * 1000)
HOUR_MS = 3_600_000


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def encrypted(password: str, random: str = RANDOM) -> str:
    key = hashlib.md5(random.encode(), usedforsecurity=False).hexdigest().upper()[8:24].encode()
    padder = PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(key), modes.CBC(key[8:] + key[:8])).encryptor()
    padded = padder.update(password.encode()) + padder.finalize()
    return base64.b64encode(cipher.update(padded) + cipher.finalize()).decode()


def signed(*parts: str) -> str:
    return hashlib.sha256("".join((*parts, USER.user_domain_secret)).encode()).hexdigest()


def by_email(password: str = USER.password, **other: str) -> dict[str, str]:
    """What a login by email sends; `other` replaces parameters before they are signed."""
    given = {"email": USER.email, "pwd": encrypted(password), "random": RANDOM, "userDomain": USER.user_domain}
    given |= other
    return {"signature": signed(given["email"], given["pwd"], given["random"])} | given


def by_phone(password: str = USER.password, **other: str) -> dict[str, str]:
    given = {"phone": USER.phone, "pwd": encrypted(password), "random": RANDOM, "userDomain": USER.user_domain}
    given |= {"internationalCode": "86"} | other
    names = ("internationalCode", "phone", "pwd", "random")
    return {"signature": signed(*(given[name] for name in names))} | given


class Caller:
    """An application that speaks to the Developer Center."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.tokens: dict[str, Any] = {}

    async def call(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        answer = await self.http.request(method, path, **how)
        assert answer.status_code == 200, answer
        envelope: dict[str, Any] = answer.json()
        assert set(envelope) == {"code", "msg", "data", "extMsg"}
        return envelope

    async def login(self, parameters: dict[str, str] | None = None, way: str = "email") -> dict[str, Any]:
        answer = await self.call("POST", f"{ENDUSER}/{way}PwdLogin", params=parameters or by_email())
        if answer["code"] == 200:
            self.tokens = answer["data"]
            self.http.headers["Authorization"] = self.tokens["accessToken"]["token"]
        return answer

    async def plan(self, device_key: str, **body: Any) -> dict[str, Any]:
        body = {"productKey": "p11vWQ", "deviceKey": device_key} | body
        return await self.call("POST", f"{BINDING}/getFetchPlan", json=body)

    async def report(self, device_key: str, status: Any, component: str = "MAIN", **body: Any) -> dict[str, Any]:
        body = {"productKey": "p11vWQ", "deviceKey": device_key} | body
        body |= {"componentNo": component, "reportStatus": status}
        return await self.call("POST", f"{BINDING}/reportUpgradeStatus", json=body)


class Online:
    """The calls about devices that are online, as they are spelled to begin with."""

    def __init__(self, caller: Caller, plan_id: int) -> None:
        self.caller = caller
        self.plan_id = plan_id

    def entry(self, key: str, **other: Any) -> dict[str, Any]:
        return {"productKey": ONLINE, "deviceKey": key, "planId": self.plan_id} | other

    async def plan(self, key: str) -> Any:
        params = {"productKey": ONLINE, "deviceKey": key}
        return (await self.caller.call("GET", f"{OTA}/v2/getDeviceUpgradePlan", params=params))["data"]

    async def confirm(self, *rows: dict[str, Any]) -> dict[str, Any]:
        return await self.caller.call("POST", f"{OTA}/v2/userBatchConfirmUpgrade", json=list(rows))

    async def order(self, key: str, oper_type: int, **other: Any) -> str:
        """What becomes of one order: "" when it was taken, else the message."""
        data = (await self.confirm(self.entry(key, operType=oper_type, **other)))["data"]
        assert len(data["successList"] + data["failList"]) == 1
        return "".join(f"{row['code']} {row['msg']}" for row in data["failList"])

    async def appoint(self, key: str, starts_ms: int, ends_ms: int) -> str:
        return await self.order(key, 2, appointStartTime=starts_ms, appointEndTime=ends_ms)

    async def details(self, *rows: dict[str, Any]) -> list[dict[str, Any]]:
        answer = await self.caller.call("POST", f"{OTA}/v2/getBatchUpgradeDetails", json=list(rows))
        details: list[dict[str, Any]] = answer["data"]
        return details

    async def auto(self, key: str, *, on: bool | None = None) -> Any:
        """Switch it where `on` says how, else ask; gives the data of the answer."""
        keys = {"productKey": ONLINE, "deviceKey": key}
        if on is None:
            return (await self.caller.call("GET", f"{OTA}/getAutoUpgradeSwitch", params=keys))["data"]
        if on:
            return (await self.caller.call("PUT", f"{OTA}/setAutoUpgradeSwitch", json=keys))["data"]
        return (await self.caller.call("DELETE", f"{OTA}/deleteDeviceUpgrade", params=keys))["data"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.create(
        tmp_path / "world", devices=3, packages={"MAIN": (bytes(range(256)) * 8,), "MCU": (b"ab", b"c")}
    )


@pytest.fixture
def center(world: World, clock: Clock) -> DeveloperCenter:
    return DeveloperCenter(world, clock=clock)


@pytest.fixture
async def caller_of() -> AsyncIterator[Callable[[DeveloperCenter], Caller]]:
    """Makes callers, and closes them."""
    made: list[httpx.AsyncClient] = []

    def make(center: DeveloperCenter) -> Caller:
        made.append(httpx.AsyncClient(transport=httpx.ASGITransport(app=center.app), base_url="http://127.0.0.1:8000"))
        return Caller(made[-1])

    yield make
    for http in made:
        await http.aclose()


@pytest.fixture
def stranger(center: DeveloperCenter, caller_of: Callable[[DeveloperCenter], Caller]) -> Caller:
    return caller_of(center)


@pytest.fixture
async def caller(stranger: Caller) -> Caller:
    await stranger.login()
    return stranger


@pytest.fixture
def online_world(tmp_path: Path) -> World:
    """Three devices that are online, beside one that is not."""
    return World.create(tmp_path / "online", online=3, packages={"MAIN": (bytes(2048),), "MCU": (b"ab",)})


@pytest.fixture
def key(online_world: World) -> str:
    return online_world.online[0].device_key


@pytest.fixture
def online_of(
    online_world: World, clock: Clock, caller_of: Callable[[DeveloperCenter], Caller]
) -> Callable[..., Awaitable[tuple[DeveloperCenter, Online]]]:
    """Makes a Developer Center of `online_world`, and a user of it who is logged in."""

    async def make(**how: Any) -> tuple[DeveloperCenter, Online]:
        center = DeveloperCenter(online_world, clock=clock, **how)
        caller = caller_of(center)
        await caller.login()
        return center, Online(caller, plan_id(online_world, ONLINE))

    return make


@pytest.fixture
async def online(online_of: Callable[..., Awaitable[tuple[DeveloperCenter, Online]]]) -> Online:
    return (await online_of())[1]


@pytest.fixture
def device_key(world: World) -> str:
    return world.devices[0].device_key


@pytest.fixture
def firmware(world: World) -> bytes:
    return world.firmware(world.components[0].files[0])


@pytest.fixture
async def link(caller: Caller, device_key: str) -> str:
    """Where the firmware of MAIN can be downloaded."""
    plan = await caller.plan(device_key)
    return str(plan["data"]["components"][0]["componentVersions"][0]["fileUrl"])

"""A fleet of MQTT devices at the virtual Developer Center, asked by the real client, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ble_ota.cloud import DeveloperCenter
from ble_ota.model import Secret
from ble_ota.mqtt import Keys
from ble_ota.virtual.developer_center import DeveloperCenter as VirtualCenter
from ble_ota.virtual.developer_center import Faults
from ble_ota.virtual.developer_center.online import Habits, OnlineTerms
from ble_ota.virtual.world import World

STARTS_S = 1_767_225_600.0  # 2026-01-01
ENDS_S = 1_798_761_600.0  # 2027-01-01
NOW_S = 1_780_000_000.0  # in between: what the clock shows when a test begins

NOTHING = b'{"code": 200, "msg": "", "data": []}'


class Wire(httpx.AsyncBaseTransport):
    """Carries requests to the virtual Developer Center; counts them, and can break."""

    def __init__(self, center: VirtualCenter) -> None:
        self._carried_by = httpx.ASGITransport(center.app, raise_app_exceptions=True)
        self.calls: list[str] = []
        self.lasting_s = 0.0
        """How long a request is under way."""
        self.under_way = 0
        self.most_under_way = 0
        self.dead: Callable[[str], bool] = lambda _name: False
        """Whether a call gets no answer at all, and does not arrive."""
        self.forgetful: Callable[[str], bool] = lambda _name: False
        """Whether a call is answered with an empty list, as by a platform that does not know the devices for now."""

    def count(self, name: str) -> int:
        return self.calls.count(name)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rsplit("/", 1)[-1]
        self.calls.append(name)
        if self.dead(name):
            msg = "no route to host"
            raise httpx.ConnectError(msg, request=request)
        if self.forgetful(name):
            return httpx.Response(200, stream=httpx.ByteStream(NOTHING), request=request)
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            await asyncio.sleep(self.lasting_s)
            return await self._carried_by.handle_async_request(request)
        except ConnectionResetError as error:  # the virtual center hung up
            msg = "the connection broke off"
            raise httpx.RemoteProtocolError(msg, request=request) from error
        finally:
            self.under_way -= 1


@dataclass
class Fleet:
    """Devices, their Developer Center, and the client that asks it."""

    world: World
    center: VirtualCenter
    client: DeveloperCenter
    wire: Wire

    @property
    def keys(self) -> list[Keys]:
        return [Keys(self.world.online_product, device.device_key) for device in self.world.online]

    @staticmethod
    def clock() -> float:
        """Unix seconds in virtual time."""
        return NOW_S + asyncio.get_running_loop().time()

    def struck(self, **faults: Any) -> None:
        self.center.faults = Faults(**faults)

    def orders(self) -> list[dict[str, Any]]:
        return [record for record in self.center.records() if record["what"] == "order.given"]


Assemble = Callable[..., Any]


@pytest.fixture
async def assemble(tmp_path: Path) -> AsyncIterator[Assemble]:
    """Make a fleet: so many devices, their habits by place, and the client's arguments."""
    made: list[DeveloperCenter] = []

    async def fleet(
        devices: int,
        habits: Mapping[int, Habits] | None = None,
        *,
        terms: Mapping[str, Any] | None = None,
        **client: Any,
    ) -> Fleet:
        world = World.create(tmp_path / "world", devices=1, online=devices)
        by_key = {world.online[at].device_key: habit for at, habit in (habits or {}).items()}
        said = {"plan_starts_s": STARTS_S, "plan_ends_s": ENDS_S, **(terms or {})}
        center = VirtualCenter(world, clock=Fleet.clock, online=OnlineTerms(habits=by_key, **said))
        wire = Wire(center)
        user = world.user
        opened = DeveloperCenter(
            "https://center.example",
            user_domain=user.user_domain,
            user_domain_secret=Secret(user.user_domain_secret),
            report_status={},
            transport=wire,
            clock=Fleet.clock,
            **client,
        )
        made.append(opened)
        await opened.login_by_email(user.email, Secret(user.password))
        wire.calls.clear()
        return Fleet(world, center, opened, wire)

    yield fleet
    for client in made:
        await client.__aexit__()

"""Devices that are online by themselves, behind a virtual Developer Center or one that answers as it is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ble_ota.cloud import CloudDevice
from ble_ota.errors import CloudError
from ble_ota.mqtt import Keys, MqttPlan, Order, Part, Period, Receipt, Ref
from ble_ota.virtual.developer_center import DeveloperCenter, Habits, OnlineTerms, serve
from ble_ota.virtual.world import World
from tests.cli.desk import Desk

QUICK = Habits(download_s=0.02, upgrade_s=0.02)
NOW = 1_795_000_000.0  # 2026-11-18T11:06:40Z
DAY = 86400.0


def keys(number: int) -> Keys:
    return Keys("p22cLd", f"D{number:04}")


def plan(number: int, *, status: int | None = 0, word: int | None = 0, **more: object) -> MqttPlan:
    """The plan "7" of a device; it waits, from yesterday to the day after tomorrow."""
    values = {
        "parts": (Part("MAIN", False, "1.0.0", "1.1.0", False, 65536),),
        "period": Period(NOW - DAY, NOW + 2 * DAY),
        "progress": 0.0,
    } | more
    return MqttPlan(Ref(keys(number), "7"), status=status, word=word, **values)  # type: ignore[arg-type]


@dataclass(slots=True)
class Center:
    """A Developer Center that answers as it is told."""

    plans: dict[Keys, MqttPlan | CloudError | None] = field(default_factory=dict[Keys, "MqttPlan | CloudError | None"])
    last: dict[Keys, str] = field(default_factory=dict[Keys, str])
    rounds: list[Sequence[MqttPlan] | CloudError] = field(default_factory=list["Sequence[MqttPlan] | CloudError"])
    """What is said of standings, one after the other; the last for good. With none, what `plans` has."""
    refuses: dict[Keys, tuple[int, str]] = field(default_factory=dict[Keys, "tuple[int, str]"])
    switches: dict[Keys, bool | CloudError] = field(default_factory=dict[Keys, "bool | CloudError"])
    given: list[Order] = field(default_factory=list[Order])
    calls_at_once: int = 4
    on_order: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, *plans: MqttPlan) -> Center:
        return cls({p.keys: p for p in plans})

    async def mqtt_plan(self, keys: Keys) -> MqttPlan | None:
        found = self.plans.get(keys)
        if isinstance(found, CloudError):
            raise found
        return found

    async def last_plan_id(self, keys: Keys) -> str:
        return self.last.get(keys, "")

    async def standings(self, refs: Sequence[Ref]) -> Sequence[MqttPlan]:
        if not self.rounds:
            return [p for p in self.plans.values() if isinstance(p, MqttPlan) and p.ref in refs]
        said = self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]
        if isinstance(said, CloudError):
            raise said
        return [p for p in said if p.ref in refs]

    async def order(self, orders: Sequence[Order]) -> Sequence[Receipt]:
        self.on_order()
        self.given += orders
        return [self._receipt(one.ref) for one in orders]

    def _receipt(self, ref: Ref) -> Receipt:
        code, message = self.refuses.get(ref.keys, (200, ""))
        return Receipt(ref, code == 200, code, message)

    async def auto_upgrade(self, keys: Keys) -> bool:
        found = self.switches.get(keys, False)
        if isinstance(found, CloudError):
            raise found
        return found

    async def set_auto_upgrade(self, keys: Keys) -> None:
        await self.auto_upgrade(keys)
        self.switches[keys] = True

    async def drop_auto_upgrade(self, keys: Keys) -> None:
        await self.auto_upgrade(keys)
        self.switches[keys] = False

    async def devices(self) -> AsyncIterator[CloudDevice]:
        for one in self.plans:
            yield CloudDevice(one.product_key, one.device_key, "", None, "", ble_only=False)


@asynccontextmanager
async def online(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    devices: int = 3,
    terms: OnlineTerms | None = None,
) -> AsyncGenerator[Desk, None]:
    """A desk before a virtual Developer Center with so many devices online; they are quick."""
    world = World.create(folder / "online", size_bytes=200, online=devices)
    center = DeveloperCenter(world, online=terms or OnlineTerms({"*": QUICK}))
    async with serve(center) as url:
        desk = Desk(world, center, url, capsys, monkeypatch)
        desk.set(cloud=url, user_domain=world.user.user_domain, email=world.user.email)
        desk.set(user_domain_secret=world.user.user_domain_secret, password=world.user.password)
        desk.set(poll_s=0.1, calls_per_s=1000)
        yield desk


def names(desk: Desk) -> list[str]:
    """The devices that are online, as they are typed."""
    return [f"{desk.world.online_product}/{d.device_key}" for d in desk.world.online]

"""Each inferred choice about MQTT devices switched at the virtual Developer Center, and followed by settings alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ble_ota import fleet
from ble_ota.cloud import ENDPOINTS, DeveloperCenter, override
from ble_ota.errors import CloudError
from ble_ota.fleet import Outcome
from ble_ota.model import Secret
from ble_ota.mqtt import Action, Keys, Order, Period, Ref, Stage
from ble_ota.settings import isolated
from ble_ota.virtual.developer_center import DeveloperCenter as VirtualCenter
from ble_ota.virtual.developer_center.online import Habits, OnlineTerms
from ble_ota.virtual.developer_center.spelling import Call, Spelling
from ble_ota.virtual.world import World

NOW_S = 1_780_000_000.0
PREFIX = "/v2/quecota/enduserapi/"
SHORT = {"product_key": "pk", "device_key": "dk"}
CALLS = {
    "plan": "getDeviceUpgradePlan",
    "confirm": "userBatchConfirmUpgrade",
    "details": "getBatchUpgradeDetails",
    "auto_set": "setAutoUpgradeSwitch",
    "auto_delete": "deleteDeviceUpgrade",
    "auto_get": "getAutoUpgradeSwitch",
}


@dataclass(frozen=True)
class Variant:
    """One platform as it might be, and the settings that follow it."""

    spelling: Spelling
    endpoints: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    terms: Mapping[str, Any] = field(default_factory=dict[str, Any])


def moved(prefix: str) -> Variant:
    paths = {name: {"path": ENDPOINTS[name].path.replace("/v2/quecota", prefix)} for name in CALLS.values()}
    return Variant(Spelling(ota_prefix=prefix), paths)


def called(call: str, said: Call, **settings: Any) -> Variant:
    changed: dict[str, Any] = {call: said}
    return Variant(replace(Spelling(), **changed), {CALLS[call]: settings})


VARIANTS: dict[str, Variant] = {
    "as inferred": Variant(Spelling()),
    "under the binding service": moved("/v2/binding"),
    "without a prefix": moved(""),
    "plan by POST, JSON": called("plan", Call("POST", "json"), method="POST", parameters="json"),
    "plan by POST, form": called("plan", Call("POST", "form"), method="POST", parameters="form"),
    "plan by short keys": called("plan", Call(keys=("pk", "dk")), fields=SHORT),
    "confirm by PUT": called("confirm", Call("PUT", "json"), method="PUT"),
    "confirm wrapped": called("confirm", Call("POST", "json", wrapped_in="deviceList"), wrapped_in="deviceList"),
    "confirm as a form": called(
        "confirm", Call("POST", "form", wrapped_in="list"), parameters="form", wrapped_in="list"
    ),
    "confirm by short keys": called("confirm", Call("POST", "json", keys=("pk", "dk")), fields=SHORT),
    "details by GET": called(
        "details", Call("GET", "query", wrapped_in="list"), method="GET", parameters="query", wrapped_in="list"
    ),
    "details wrapped": called("details", Call("POST", "json", wrapped_in="arr"), wrapped_in="arr"),
    "details by short keys": called("details", Call("POST", "json", keys=("pk", "dk")), fields=SHORT),
    "set by POST, query": called("auto_set", Call("POST", "query"), method="POST", parameters="query"),
    "set with a field": called(
        "auto_set", Call("PUT", "json", switch_field="autoUpgrade"), fields={"switch": "autoUpgrade"}
    ),
    "delete by POST, JSON": called("auto_delete", Call("POST", "json"), method="POST", parameters="json"),
    "get by POST, form": called("auto_get", Call("POST", "form"), method="POST", parameters="form"),
    "plan answered as a list": Variant(Spelling(plan_answer="list")),
    "plan answered in a page": Variant(Spelling(plan_answer="wrapped")),
    "plan in the older shape": Variant(Spelling(), terms={"plan_shape": "components"}),
    "plan gone when it has succeeded": Variant(Spelling(), terms={"ended_plan": "gone"}),
    "details answered in a page": Variant(Spelling(details_answer="wrapped")),
    "switch answered as a number": Variant(Spelling(auto_answer="number")),
    "switch answered as text": Variant(Spelling(auto_answer="text")),
    "switch answered as isAuto": Variant(Spelling(auto_answer="isAuto")),
    "switch answered as autoUpgrade": Variant(Spelling(auto_answer="autoUpgrade")),
    "empty lists left out": Variant(Spelling(lists_left_out=True)),
    "numbers as text": Variant(Spelling(), terms={"habits": {"*": Habits(status_as_text=True)}}),
}


def clock() -> float:
    return NOW_S + asyncio.get_running_loop().time()


async def flow(variant: Variant, folder: Path) -> None:
    """The whole flow of the vendor's description, for three devices."""
    world = World.create(folder, online=3)
    habits = {"*": Habits(), **variant.terms.get("habits", {}), world.online[1].device_key: Habits(fails=1)}
    terms = OnlineTerms(**{**variant.terms, "habits": habits})
    center = VirtualCenter(world, clock=clock, spelling=variant.spelling, online=terms)
    settings = isolated(endpoints={name: dict(change) for name, change in variant.endpoints.items()})
    async with DeveloperCenter(
        "https://center.example",
        user_domain=world.user.user_domain,
        user_domain_secret=Secret(world.user.user_domain_secret),
        report_status={},
        endpoints=override(ENDPOINTS, settings.endpoints),
        transport=httpx.ASGITransport(center.app),
        clock=clock,
    ) as client:
        await client.login_by_email(world.user.email, Secret(world.user.password))
        await _orders(client, [Keys(world.online_product, device.device_key) for device in world.online])


async def _orders(client: DeveloperCenter, keys: list[Keys]) -> None:
    refs = [ref for ref in await fleet.refs(client, keys) if isinstance(ref, Ref)]
    assert [ref.keys for ref in refs] == keys
    good, failing, patient = refs
    later = Period(NOW_S + 7200, NOW_S + 14400)
    await _taken(client, Order(good, Action.CONFIRM), Order(failing, Action.CONFIRM))
    await _taken(client, Order(patient, Action.APPOINT, later))
    assert await _ended(client, [good, failing]) == [Stage.SUCCEEDED, Stage.FAILED]
    [plan] = await client.standings([patient])
    assert (plan.stage(clock()), plan.appointment) == (Stage.APPOINTED, later)
    await _taken(client, Order(failing, Action.RETRY), Order(patient, Action.CANCEL))
    assert await _ended(client, [failing, patient]) == [Stage.SUCCEEDED, Stage.CANCELLED]
    assert [ref for ref in await fleet.refs(client, keys) if isinstance(ref, Ref)] == refs
    await _automatic(client, patient.keys)


async def _taken(client: DeveloperCenter, *orders: Order) -> None:
    given = await fleet.give(client, orders, batch=10, clock=clock)
    assert [one.outcome for one in given] == [Outcome.TAKEN] * len(orders), given
    assert [one.message for one in given] == [""] * len(orders)  # by a receipt, not by looking afterwards


async def _ended(client: DeveloperCenter, refs: list[Ref]) -> list[Stage]:
    seen = await fleet.watch(
        client, refs, batch=10, poll_s=3, on_change=lambda *_: None, on_trouble=lambda _: None, clock=clock
    )
    return [plan.stage(clock()) for ref in refs if (plan := seen[ref]) is not None]


async def _automatic(client: DeveloperCenter, keys: Keys) -> None:
    assert not await client.auto_upgrade(keys)
    await client.set_auto_upgrade(keys)
    assert await client.auto_upgrade(keys)
    await client.drop_auto_upgrade(keys)
    assert not await client.auto_upgrade(keys)


@pytest.mark.looptime
@pytest.mark.parametrize("name", list(VARIANTS))
async def test_another_spelling_is_followed_by_settings_alone(name: str, tmp_path: Path) -> None:
    await flow(VARIANTS[name], tmp_path)


@pytest.mark.looptime
@pytest.mark.parametrize("name", [name for name, variant in VARIANTS.items() if variant.endpoints])
async def test_without_the_settings_it_is_noticed(name: str, tmp_path: Path) -> None:
    with pytest.raises((CloudError, AssertionError)):
        await flow(replace(VARIANTS[name], endpoints={}), tmp_path)

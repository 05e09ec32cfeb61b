"""Every request of the client is held against the contract file, whatever it is asked for."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from ble_ota.cloud import DeveloperCenter, Tokens, joined
from ble_ota.cloud.contract import document
from ble_ota.model import DeviceInfo, Secret
from ble_ota.mqtt import Action, Keys, Order, Period, Ref
from tests.contract.held import answer_faults, operation_of, request_faults

NOW_S = 1_800_000_000.0
KEYS = Keys("p1", "d1")
REF = Ref(KEYS, "4711")
LAMP = DeviceInfo("C0:FF:EE:00:00:01", "QUEC_BLE_0001", "p1", "d1", {})
LAMP_IN_FULL = DeviceInfo(
    *("C0:FF:EE:00:00:01", "QUEC_BLE_0001", "p1", "d1", {"": "1.0", "MCU1": "2.0"}),
    battery_percent=50,
    rssi_dbm=-60,
    free_bytes=65536,
)

TOKENS = {name: {"token": f"Bearer {name}", "expirationTime": int(NOW_S) + 7200} for name in ("access", "refresh")}
DEVICE = {"productKey": "p1", "deviceKey": "d1", "planId": 4711}
STANDING = {**DEVICE, "deviceStatus": 0, "userConfirmStatus": 0}
DATA: dict[str, Any] = {
    "emailPwdLogin": {"accessToken": TOKENS["access"], "refreshToken": TOKENS["refresh"]},
    "userInfo": {"uid": "U1"},
    "userDeviceList": {"list": [DEVICE], "total": 1},
    "deviceInfo": DEVICE,
    "getDeviceBusinessAttributes": {"deviceData": {"version": "1.0", "mcuVersion": "[]"}},
    "getDeviceUpgradePlan": {**STANDING, "comVerList": [{"comNo": "MAIN", "tver": "2"}]},
    "userBatchConfirmUpgrade": {"successList": [{**DEVICE, "code": 200, "msg": ""}], "failList": []},
    "getBatchUpgradeDetails": [STANDING],
    "getAutoUpgradeSwitch": True,
}
DATA |= dict.fromkeys(("phonePwdLogin", "refreshToken"), DATA["emailPwdLogin"])


class Recording(httpx.AsyncBaseTransport):
    """Answers every operation well, and keeps both sides."""

    def __init__(self) -> None:
        self.seen: list[tuple[httpx.Request, httpx.Response]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        name = operation_of(document(), request).get("operationId", "")
        answer = httpx.Response(200, json={"code": 200, "msg": "", "data": DATA.get(name), "extMsg": None})
        self.seen.append((request, answer))
        return httpx.Response(200, headers=answer.headers, stream=httpx.ByteStream(answer.content))

    def operations(self) -> list[str]:
        return [operation_of(document(), request).get("operationId", "") for request, _ in self.seen]


async def devices(center: DeveloperCenter) -> None:
    assert [device.device_key async for device in center.devices()] == ["d1"]


def plan(device: DeviceInfo) -> Callable[[DeveloperCenter], Awaitable[object]]:
    return lambda center: center.fetch_plan(device)


def report(outcome: Any) -> Callable[[DeveloperCenter], Awaitable[object]]:
    return lambda center: center.report("p1", "d1", "MAIN", outcome)


def order(action: Action, appointment: Period | None = None) -> Callable[[DeveloperCenter], Awaitable[object]]:
    return lambda center: center.order([Order(REF, action, appointment)])


CALLS: dict[str, Callable[[DeveloperCenter], Awaitable[object]]] = {
    "login_by_email": lambda center: center.login_by_email("a@b.example", Secret("virtual-1")),
    "login_by_phone": lambda center: center.login_by_phone("+86", "17132136550", Secret("virtual-1")),
    "logout": lambda center: center.logout(),
    "who_am_i": lambda center: center.who_am_i(),
    "devices": devices,
    "device": lambda center: center.device("p1", "d1"),
    "versions": lambda center: center.versions("p1", "d1"),
    "fetch_plan": plan(LAMP),
    "fetch_plan of all that is known": plan(LAMP_IN_FULL),
    "report": report("confirmed"),
    "report of a success": report("succeeded"),
    "report of a failure": report("failed"),
    "mqtt_plan": lambda center: center.mqtt_plan(KEYS),
    "last_plan_id": lambda center: center.last_plan_id(KEYS),
    "standings": lambda center: center.standings([REF, Ref(Keys("p1", "d2"), "text")]),
    "order": order(Action.CONFIRM),
    "order of an appointment": order(Action.APPOINT, Period(NOW_S + 0.0005, NOW_S + 3600.25)),
    "order of a cancel": order(Action.CANCEL),
    "order of a retry": order(Action.RETRY),
    "auto_upgrade": lambda center: center.auto_upgrade(KEYS),
    "set_auto_upgrade": lambda center: center.set_auto_upgrade(KEYS),
    "drop_auto_upgrade": lambda center: center.drop_auto_upgrade(KEYS),
    "send_sms_code": lambda center: center.send_sms_code("+86", "17132136550", code_type=3),
}


def client(transport: Recording, *, lasts_s: float = 7200, **changes: Any) -> DeveloperCenter:
    return DeveloperCenter(
        "https://cloud.example",
        user_domain="E.SP.1",
        user_domain_secret=Secret("secret"),
        report_status={"confirmed": 2, "succeeded": 9, "failed": 12},
        tokens=Tokens(Secret("Bearer access"), NOW_S + lasts_s, Secret("Bearer refresh"), NOW_S + 86400),
        transport=transport,
        clock=lambda: NOW_S,
        **changes,
    )


async def seen(name: str, **changes: Any) -> Recording:
    transport = Recording()
    async with client(transport, **changes) as center:
        await CALLS[name](center)
    return transport


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_is_sent_as_the_file_has_it(name: str) -> None:
    transport = await seen(name)
    assert transport.seen
    assert [fault for request, _ in transport.seen for fault in request_faults(document(), request)] == []


@pytest.mark.parametrize("name", ["fetch_plan", "fetch_plan of all that is known", "report"])
async def test_a_signed_call_is_sent_as_the_file_has_it(name: str) -> None:
    transport = await seen(name, signature=joined)
    assert [fault for request, _ in transport.seen for fault in request_faults(document(), request)] == []


async def test_a_renewal_is_sent_as_the_file_has_it() -> None:
    transport = await seen("who_am_i", lasts_s=1)
    assert transport.operations() == ["refreshToken", "userInfo"]
    assert [fault for request, _ in transport.seen for fault in request_faults(document(), request)] == []


@pytest.mark.parametrize("name", CALLS)
async def test_an_answer_as_the_file_has_it_is_understood(name: str) -> None:
    transport = await seen(name)
    assert [fault for told in transport.seen for fault in answer_faults(document(), *told)] == []


def test_no_call_of_the_client_is_forgotten_here() -> None:
    public = {
        name
        for name, member in vars(DeveloperCenter).items()
        if not name.startswith("_") and (inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member))
    }
    assert {name.split(" of ")[0] for name in CALLS} == public


async def test_every_operation_of_the_file_is_used() -> None:
    used = {operation for name in CALLS for operation in (await seen(name, lasts_s=1)).operations()}
    assert used == {item[m]["operationId"] for item in document()["paths"].values() for m in item}

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from ble_ota.virtual.developer_center import DeveloperCenter, OnlineTerms
from ble_ota.virtual.world import World
from tests.virtual.developer_center.conftest import BINDING, NOW, Caller, Clock, Online


async def listed(caller: Caller, **query: Any) -> dict[str, Any]:
    page: dict[str, Any] = (await caller.call("GET", f"{BINDING}/userDeviceList", params=query))["data"]
    return page


async def keys(caller: Caller, **query: Any) -> list[str]:
    return [device["deviceKey"] for device in (await listed(caller, **query))["list"]]


async def info(caller: Caller, device_key: str, product_key: str = "p11vWQ") -> dict[str, Any]:
    return await caller.call("GET", f"{BINDING}/deviceInfo", params={"pk": product_key, "dk": device_key})


async def attributes(caller: Caller, **query: str) -> dict[str, Any]:
    return await caller.call("GET", f"{BINDING}/getDeviceBusinessAttributes", params=query)


@pytest.mark.parametrize("call", ["userDeviceList", "deviceInfo", "getDeviceBusinessAttributes"])
async def test_a_call_needs_a_token(stranger: Caller, call: str) -> None:
    assert (await stranger.call("GET", f"{BINDING}/{call}"))["code"] == 5106


async def test_every_device_is_listed(caller: Caller, world: World) -> None:
    assert await keys(caller) == [device.device_key for device in world.devices]


async def test_a_page_holds_its_share(caller: Caller, world: World) -> None:
    assert await keys(caller, page=2, pageSize=2) == [world.devices[2].device_key]


async def test_a_page_says_how_many_there_are(caller: Caller) -> None:
    page = await listed(caller, page=1, pageSize=2)
    assert (page["total"], page["pages"], page["pageNum"], page["size"], page["hasNextPage"]) == (3, 2, 1, 2, True)


async def test_the_last_page_says_so(caller: Caller) -> None:
    page = await listed(caller, page=2, pageSize=2)
    assert (page["hasNextPage"], page["isLastPage"], page["hasPreviousPage"]) == (False, True, True)


async def test_a_page_behind_the_last_is_empty(caller: Caller) -> None:
    assert await keys(caller, page=9) == []


async def test_a_page_has_ten_by_default(caller: Caller) -> None:
    assert (await listed(caller))["pageSize"] == 10


async def test_devices_can_be_chosen_by_key(caller: Caller, world: World) -> None:
    assert await keys(caller, dk=world.devices[1].device_key) == [world.devices[1].device_key]


async def test_devices_can_be_chosen_by_name(caller: Caller, world: World) -> None:
    assert await keys(caller, deviceName="0003") == [world.devices[2].device_key]


@pytest.mark.parametrize(("products", "count"), [("p11vWQ", 3), ("p22,p11vWQ", 3), ("p22", 0), ("", 3)])
async def test_devices_can_be_chosen_by_product(caller: Caller, products: str, count: int) -> None:
    assert len(await keys(caller, pkList=products)) == count


async def test_a_device_tells_its_binding_code(caller: Caller, world: World) -> None:
    device = world.devices[0]
    assert (await info(caller, device.device_key))["data"]["bindingCode"] == device.binding_code


async def test_a_bluetooth_only_device_has_no_auth_key(caller: Caller, device_key: str) -> None:
    assert (await info(caller, device_key))["data"]["authKey"] == ""


async def test_a_device_is_a_bluetooth_device(caller: Caller, device_key: str) -> None:
    data = (await info(caller, device_key))["data"]
    assert (data["networkType"], data["capabilitiesBitmask"]) == ("5", 4)


async def test_a_device_has_the_name_it_advertises(caller: Caller, world: World) -> None:
    data = (await info(caller, world.devices[0].device_key))["data"]
    assert (data["productKey"], data["deviceName"]) == ("p11vWQ", world.devices[0].name)


@pytest.mark.parametrize(("device", "product"), [("B0E0C0DE9999", "p11vWQ"), ("B0E0C0DE0001", "p22")])
async def test_a_device_of_somebody_else_is_not_bound(caller: Caller, device: str, product: str) -> None:
    assert (await info(caller, device, product))["code"] == 5052


@pytest.mark.parametrize(("device", "product"), [("", "p11vWQ"), ("B0E0C0DE0001", "")])
async def test_a_device_needs_both_keys(caller: Caller, device: str, product: str) -> None:
    assert (await info(caller, device, product))["code"] == 5140


async def test_versions_are_those_of_birth_at_first(caller: Caller, device_key: str) -> None:
    data = (await attributes(caller, pk="p11vWQ", dk=device_key))["data"]["deviceData"]
    assert (data["version"], json.loads(data["mcuVersion"])) == ("1.0.0", [{"componentNo": "MCU", "version": "1.0.0"}])


async def test_a_product_without_a_module_has_no_module_version(
    world: World, device_key: str, caller_of: Callable[[DeveloperCenter], Caller]
) -> None:
    caller = caller_of(DeveloperCenter(replace(world, components=world.components[1:])))
    await caller.login()
    assert (await attributes(caller, pk="p11vWQ", dk=device_key))["data"]["deviceData"]["version"] == ""


async def test_versions_follow_a_report_of_success(caller: Caller, device_key: str) -> None:
    await caller.report(device_key, 9, "MCU")
    data = (await attributes(caller, pk="p11vWQ", dk=device_key))["data"]["deviceData"]
    assert (data["version"], json.loads(data["mcuVersion"])[0]["version"]) == ("1.0.0", "1.1.0")


@pytest.mark.parametrize(
    ("query", "code"),
    [({"dk": "B0E0C0DE0001"}, 5066), ({"pk": "p11vWQ"}, 5067), ({"pk": "p11vWQ", "dk": "B0E0C0DE9999"}, 5052)],
)
async def test_versions_need_a_device_of_the_account(caller: Caller, query: dict[str, str], code: int) -> None:
    assert (await attributes(caller, **query))["code"] == code


@pytest.mark.parametrize(
    ("reports", "status"),
    [
        pytest.param([], 0, id="nothing reported"),
        pytest.param([("MAIN", 2)], 1, id="confirmed"),
        pytest.param([("MAIN", 9)], 1, id="one of two done"),
        pytest.param([("MAIN", 9), ("MCU", 9)], 2, id="all done"),
        pytest.param([("MAIN", 9), ("MCU", 8)], 3, id="one failed"),
        pytest.param([("MAIN", 5)], 1, id="a number without a meaning"),
    ],
)
async def test_the_upgrade_status_follows_the_reports(
    caller: Caller, device_key: str, reports: list[tuple[str, int]], status: int
) -> None:
    for component, number in reports:
        await caller.report(device_key, number, component)
    assert (await info(caller, device_key))["data"]["upgradeStatus"] == status


@pytest.mark.parametrize(("number", "confirmed"), [(2, 1), (9, 1), (8, 1), (5, 0)])
async def test_the_user_confirmed_once_it_was_reported(
    caller: Caller, device_key: str, number: int, confirmed: int
) -> None:
    await caller.report(device_key, number)
    assert (await info(caller, device_key))["data"]["userConfirmStatus"] == confirmed


# ------------------------------------------------------------------ devices that are online


async def test_devices_that_are_online_follow_the_others(online: Online, online_world: World) -> None:
    bluetooth, others = [d.device_key for d in online_world.devices], [d.device_key for d in online_world.online]
    assert await keys(online.caller) == bluetooth + others


@pytest.mark.parametrize(
    ("products", "count"), [("p11vWQ", 1), ("p22cLd", 3), ("p22cLd,p11vWQ", 4), ("p99", 0), ("", 4)]
)
async def test_either_product_can_be_chosen(online: Online, products: str, count: int) -> None:
    assert len(await keys(online.caller, pkList=products)) == count


async def test_a_page_may_hold_both_kinds(online: Online, online_world: World) -> None:
    assert await keys(online.caller, page=2, pageSize=2) == [d.device_key for d in online_world.online[1:]]


async def test_a_device_that_is_online_is_told_whole(online: Online, online_world: World) -> None:
    device = online_world.online[0]
    data = (await info(online.caller, device.device_key, "p22cLd"))["data"]
    assert {
        "productKey": "p22cLd",
        "deviceKey": device.device_key,
        "deviceName": device.name,
        "authKey": device.auth_key,
        "bindingCode": "",
        "networkType": "2",
        "capabilitiesBitmask": 1,
        "onlineStatus": 1,
        "planId": online.plan_id,
        "upgradeStatus": 0,
        "userConfirmStatus": 0,
    }.items() <= data.items()


async def test_a_device_that_is_online_belongs_to_its_product(online: Online, key: str) -> None:
    assert (await info(online.caller, key))["code"] == 5052


@pytest.mark.parametrize(
    ("orders", "after_s", "status"), [([1], 1, (1, 1)), ([1], 9, (2, 1)), ([3], 0, (3, 3)), ([3, 5], 9, (2, 1))]
)
async def test_the_list_follows_the_orders(
    online: Online, key: str, clock: Clock, orders: list[int], after_s: float, status: tuple[int, int]
) -> None:
    for order in orders:
        await online.order(key, order)
    clock.now += after_s
    (data,) = (await listed(online.caller, dk=key))["list"]
    assert (data["upgradeStatus"], data["userConfirmStatus"]) == status


async def test_a_plan_that_has_not_begun_is_not_in_the_list(
    online_of: Callable[..., Awaitable[tuple[DeveloperCenter, Online]]], key: str
) -> None:
    _, online = await online_of(online=OnlineTerms(plan_starts_s=NOW + 1))
    assert (await info(online.caller, key, "p22cLd"))["data"]["planId"] is None


async def test_a_plan_that_is_gone_is_still_named_in_the_list(
    online_of: Callable[..., Awaitable[tuple[DeveloperCenter, Online]]], key: str, clock: Clock
) -> None:
    _, online = await online_of(online=OnlineTerms(ended_plan="gone"))
    await online.order(key, 1)
    clock.now += 8
    data = (await info(online.caller, key, "p22cLd"))["data"]
    assert (data["planId"], data["upgradeStatus"]) == (online.plan_id, 2)


@pytest.mark.parametrize(("after_s", "version"), [(7, "1.0.0"), (8, "1.1.0")])
async def test_versions_of_a_device_that_is_online_follow_its_upgrade(
    online: Online, key: str, clock: Clock, after_s: float, version: str
) -> None:
    await online.order(key, 1)
    clock.now += after_s
    data = (await attributes(online.caller, pk="p22cLd", dk=key))["data"]["deviceData"]
    assert (data["productKey"], data["version"]) == ("p22cLd", version)
    assert json.loads(data["mcuVersion"]) == [{"componentNo": "MCU", "version": version}]


async def test_a_device_that_is_online_has_no_bluetooth_plan(online: Online, key: str) -> None:
    assert (await online.caller.plan(key, productKey="p22cLd"))["code"] == 5052

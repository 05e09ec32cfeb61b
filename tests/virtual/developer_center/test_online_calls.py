from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ble_ota.virtual.developer_center import (
    Call,
    DeveloperCenter,
    Faults,
    Habits,
    Lifetimes,
    OnlineTerms,
    Spelling,
    Terms,
)
from ble_ota.virtual.world import World
from tests.virtual.developer_center.conftest import HOUR_MS, NOW, NOW_MS, ONLINE, OTA, Caller, Clock, Online

OnlineOf = Callable[..., Awaitable[tuple[DeveloperCenter, Online]]]
BLUETOOTH = {"productKey": "p11vWQ", "deviceKey": "B0E0C0DE0001"}
CALLS = [
    ("GET", "v2/getDeviceUpgradePlan"),
    ("POST", "v2/userBatchConfirmUpgrade"),
    ("POST", "v2/getBatchUpgradeDetails"),
    ("PUT", "setAutoUpgradeSwitch"),
    ("DELETE", "deleteDeviceUpgrade"),
    ("GET", "getAutoUpgradeSwitch"),
]
NAMES = ("plan", "confirm", "details", "auto_set", "auto_delete", "auto_get")  # the same in a `Spelling`
SINGLE = [
    (method, call) for method, call in CALLS if call not in ("v2/userBatchConfirmUpgrade", "v2/getBatchUpgradeDetails")
]


def keyed(method: str, **fields: object) -> dict[str, Any]:
    """`fields` where a call of this method takes them."""
    return {"json": fields} if method == "PUT" else {"params": fields}


@pytest.mark.parametrize(("method", "call"), CALLS)
async def test_a_call_needs_a_token(stranger: Caller, method: str, call: str) -> None:
    assert (await stranger.call(method, f"{OTA}/{call}"))["code"] == 5106


@pytest.mark.parametrize(("method", "call"), CALLS)
async def test_a_call_needs_a_token_that_is_not_over(online_of: OnlineOf, clock: Clock, method: str, call: str) -> None:
    _, online = await online_of(lifetimes=Lifetimes(access_s=60))
    clock.now += 60
    assert (await online.caller.call(method, f"{OTA}/{call}"))["code"] == 5032


@pytest.mark.parametrize(("method", "call"), SINGLE)
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"deviceKey": "D0E0C0DE1001"}, 5066),
        ({"productKey": ONLINE}, 5067),
        ({"productKey": ONLINE, "deviceKey": "D0E0C0DE9999"}, 5052),
        ({"productKey": "p99", "deviceKey": "D0E0C0DE1001"}, 5052),
    ],
)
async def test_a_call_about_one_device_needs_one_of_the_account(
    online: Online, method: str, call: str, fields: dict[str, str], code: int
) -> None:
    assert (await online.caller.call(method, f"{OTA}/{call}", **keyed(method, **fields)))["code"] == code


# ------------------------------------------------------------------ the plan


async def test_a_new_device_has_a_plan(online: Online, key: str) -> None:
    plan = await online.plan(key)
    assert (plan["planId"], plan["deviceStatus"], plan["userConfirmStatus"]) == (online.plan_id, 0, 0)
    assert [(c["cver"], c["tver"]) for c in plan["comVerList"]] == [("1.0.0", "1.1.0")] * 2


async def test_the_firmware_of_a_plan_can_be_had(online: Online, key: str, online_world: World) -> None:
    (_, mcu) = (await online.plan(key))["comVerList"]
    assert (await online.caller.http.get(mcu["fileList"][0]["filePath"])).content == b"ab"


async def test_a_bluetooth_device_has_no_such_plan(online: Online) -> None:
    answer = await online.caller.call("GET", f"{OTA}/v2/getDeviceUpgradePlan", params=BLUETOOTH)
    assert (answer["code"], answer["data"]) == (200, None)


async def test_a_plan_follows_the_terms(online_of: OnlineOf, key: str) -> None:
    _, online = await online_of(online=OnlineTerms(plan_starts_s=NOW - 1, plan_ends_s=NOW + 1), terms=Terms(77))
    plan = await online.plan(key)
    assert (plan["planStartTime"], plan["planEndTime"]) == (NOW_MS - 1000, NOW_MS + 1000)
    assert plan["comVerList"][0]["battery"] == 77


@pytest.mark.parametrize("starts_s", [NOW - 5, NOW + 1])
async def test_there_is_no_plan_out_of_its_period(online_of: OnlineOf, key: str, starts_s: float) -> None:
    _, online = await online_of(online=OnlineTerms(plan_starts_s=starts_s, plan_ends_s=starts_s + 4))
    assert await online.plan(key) is None


async def test_a_plan_that_succeeded_runs_its_targets(online: Online, key: str, clock: Clock) -> None:
    await online.order(key, 1)
    clock.now += 8
    assert [(c["cver"], c["tver"]) for c in (await online.plan(key))["comVerList"]] == [("1.1.0", "1.1.0")] * 2


async def test_a_plan_that_succeeded_may_be_gone(online_of: OnlineOf, key: str, clock: Clock) -> None:
    _, online = await online_of(online=OnlineTerms(ended_plan="gone"))
    await online.order(key, 1)
    clock.now += 8
    assert await online.plan(key) is None


async def test_the_older_shape_can_be_chosen(online_of: OnlineOf, key: str) -> None:
    _, online = await online_of(online=OnlineTerms(plan_shape="components"))
    plan = await online.plan(key)
    assert (plan["planInfo"]["planId"], len(plan["components"])) == (online.plan_id, 2)


async def test_details_have_the_newer_shape_in_any_case(online_of: OnlineOf, key: str) -> None:
    _, online = await online_of(online=OnlineTerms(plan_shape="components"))
    assert "comVerList" in (await online.details(online.entry(key)))[0]


async def test_a_plan_can_have_faults(online_of: OnlineOf, key: str) -> None:
    _, online = await online_of(faults=Faults(plan_downgrade=True))
    assert (await online.plan(key))["comVerList"][0]["tver"] == "0.0.1"


# ------------------------------------------------------------------ orders


async def test_a_confirm_goes_through_all_states(online: Online, key: str, clock: Clock) -> None:
    told: list[tuple[int, float]] = []
    await online.order(key, 1)
    for _ in range(5):
        (plan,) = await online.details(online.entry(key))
        told.append((plan["deviceStatus"], plan["upgradeProgress"]))
        clock.now += 2
    assert told == [(1, 0.0), (1, 0.25), (1, 0.5), (1, 0.75), (2, 1.0)]


async def test_an_order_that_was_taken_is_told_so(online: Online, key: str) -> None:
    plan = {"planId": online.plan_id, "productKey": ONLINE, "deviceKey": key, "code": 200, "msg": ""}
    answer = await online.confirm(online.entry(key, operType=1))
    assert answer["data"] == {"successList": [plan], "failList": []}


async def test_an_order_that_was_not_taken_is_told_so_beside_the_others(
    online: Online, key: str, online_world: World
) -> None:
    other = online_world.online[1].device_key
    answer = await online.confirm(
        online.entry(key, operType=5), online.entry(other, operType=1), online.entry("D0E0C0DE9999", operType=1)
    )
    assert answer["code"] == 200
    assert [row["deviceKey"] for row in answer["data"]["successList"]] == [other]
    assert [(row["deviceKey"], row["code"], row["msg"]) for row in answer["data"]["failList"]] == [
        (key, 5011, "Only a failed upgrade can be retried."),
        ("D0E0C0DE9999", 5052, "Device is not bound."),
    ]


async def test_a_second_word_in_one_batch_meets_the_first(online: Online, key: str) -> None:
    answer = await online.confirm(online.entry(key, operType=1), online.entry(key, operType=3))
    assert [row["msg"] for row in answer["data"]["failList"]] == ["The device is being upgraded."]


async def test_a_plan_may_be_named_by_text(online: Online, key: str) -> None:
    assert await online.order(key, 1, planId=str(online.plan_id)) == ""


async def test_an_appointment_fires_by_itself(online_of: OnlineOf, key: str, clock: Clock) -> None:
    center, online = await online_of()
    assert await online.appoint(key, NOW_MS + 60_000, NOW_MS + 60_000 + HOUR_MS) == ""
    phases: list[str] = []
    for wait_s in (0, 59, 1, 8):
        clock.now += wait_s
        phases.append(center.online(key).phase)
    assert phases == ["waiting", "waiting", "downloading", "succeeded"]


@pytest.mark.parametrize(
    ("starts_ms", "lasts_ms", "why"),
    [(-1, HOUR_MS, "in the past"), (0, HOUR_MS - 1, "shorter than"), (HOUR_MS, HOUR_MS + 1, "within the period")],
)
async def test_an_appointment_must_fit(online_of: OnlineOf, key: str, starts_ms: int, lasts_ms: int, why: str) -> None:
    center, online = await online_of(online=OnlineTerms(plan_starts_s=NOW - 9, plan_ends_s=NOW + 7200))
    assert why in await online.appoint(key, NOW_MS + starts_ms, NOW_MS + starts_ms + lasts_ms)
    assert center.online(key).appointment is None


async def test_a_cancel_ends_the_plan_as_failed(online: Online, key: str) -> None:
    await online.order(key, 3)
    plan = await online.plan(key)
    assert (plan["deviceStatus"], plan["userConfirmStatus"], plan["upgradeProgress"]) == (3, 3, 0.0)


async def test_a_cancelled_plan_can_be_retried(online: Online, key: str, clock: Clock) -> None:
    await online.order(key, 3)
    await online.order(key, 5)
    clock.now += 8
    assert (await online.plan(key))["deviceStatus"] == 2


async def test_a_failed_attempt_can_be_retried(online_of: OnlineOf, key: str, clock: Clock) -> None:
    center, online = await online_of(online=OnlineTerms({key: Habits(fails=1)}))
    await online.order(key, 1)
    clock.now += 8
    assert (await online.plan(key))["deviceStatus"] == 3
    assert await online.order(key, 5) == ""
    clock.now += 8
    assert (center.online(key).phase, center.online(key).attempts) == ("succeeded", 2)


async def test_orders_after_the_plan_fail(online_of: OnlineOf, key: str, clock: Clock) -> None:
    _, online = await online_of(online=OnlineTerms(plan_ends_s=NOW + 1))
    clock.now += 2
    assert await online.order(key, 1) == "5011 The upgrade plan is over."


@pytest.mark.parametrize(("count", "code"), [(500, 200), (501, 5011)])
async def test_a_batch_has_a_largest_size(online: Online, key: str, count: int, code: int) -> None:
    appointed = online.entry(key, operType=2, appointStartTime=NOW_MS, appointEndTime=NOW_MS + HOUR_MS)
    assert (await online.confirm(*[appointed] * count))["code"] == code


async def test_an_oversized_batch_does_nothing(online_of: OnlineOf, key: str) -> None:
    center, online = await online_of(online=OnlineTerms(batch_max=2))
    await online.confirm(*[online.entry(key, operType=1)] * 3)
    assert center.online(key).phase == "waiting"


async def test_one_bad_entry_spoils_the_whole(online_of: OnlineOf, key: str) -> None:
    center, online = await online_of()
    assert (await online.confirm(online.entry(key, operType=1), {"productKey": ONLINE}))["code"] == 5067
    assert center.online(key).phase == "waiting"


async def test_a_lost_answer_was_acted_on(online_of: OnlineOf, key: str) -> None:
    center, online = await online_of(faults=Faults(lost_answer=True, only="userBatchConfirmUpgrade"))
    with pytest.raises(ConnectionResetError):
        await online.order(key, 1)
    assert center.online(key).phase == "downloading"


async def test_a_busy_server_does_nothing(online_of: OnlineOf, key: str) -> None:
    center, online = await online_of(faults=Faults(status=429, retry_after_s=3, only="userBatchConfirmUpgrade"))
    answer = await online.caller.http.post(f"{OTA}/v2/userBatchConfirmUpgrade", json=[online.entry(key, operType=1)])
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert center.online(key).phase == "waiting"


# ------------------------------------------------------------------ details


async def test_details_come_in_the_order_asked_for(online: Online, online_world: World) -> None:
    keys = [device.device_key for device in reversed(online_world.online)]
    assert [plan["deviceKey"] for plan in await online.details(*map(online.entry, keys))] == keys


async def test_details_leave_out_what_is_not_there(online: Online, key: str) -> None:
    strangers = [online.entry("D0E0C0DE9999"), online.entry(key, planId=7), BLUETOOTH | {"planId": online.plan_id}]
    assert [plan["deviceKey"] for plan in await online.details(*strangers, online.entry(key))] == [key]


async def test_details_know_a_plan_that_is_gone(online_of: OnlineOf, key: str, clock: Clock) -> None:
    _, online = await online_of(online=OnlineTerms(ended_plan="gone", plan_ends_s=NOW + 1))
    await online.order(key, 1)
    clock.now += 8
    assert (await online.details(online.entry(key)))[0]["deviceStatus"] == 2


async def test_details_do_not_know_a_plan_that_has_not_begun(online_of: OnlineOf, key: str) -> None:
    _, online = await online_of(online=OnlineTerms(plan_starts_s=NOW + 1))
    assert await online.details(online.entry(key)) == []


async def test_details_have_a_largest_size(online_of: OnlineOf, key: str) -> None:
    _, online = await online_of(online=OnlineTerms(batch_max=1))
    answer = await online.caller.call("POST", f"{OTA}/v2/getBatchUpgradeDetails", json=[online.entry(key)] * 2)
    assert answer["code"] == 5011


# ------------------------------------------------------------------ the automatic switch


async def test_the_switch_is_off_to_begin_with(online: Online, key: str) -> None:
    assert await online.auto(key) is False


async def test_the_switch_can_be_set_and_taken_back(online: Online, key: str) -> None:
    await online.auto(key, on=True)
    assert await online.auto(key) is True
    await online.auto(key, on=False)
    assert await online.auto(key) is False


async def test_the_switch_may_be_taken_back_where_it_is_off(online: Online, key: str) -> None:
    assert await online.auto(key, on=False) is None


async def test_the_switch_is_one_of_its_device(online: Online, key: str, online_world: World) -> None:
    await online.auto(key, on=True)
    assert await online.auto(online_world.online[1].device_key) is False


async def test_the_switch_pushes_what_waits(online: Online, key: str, clock: Clock) -> None:
    await online.auto(key, on=True)
    clock.now += 8
    plan = await online.plan(key)
    assert (plan["deviceStatus"], plan["userConfirmStatus"], plan["autoUpgrade"]) == (2, 1, 1)


async def test_the_switch_pushes_when_the_plan_starts(online_of: OnlineOf, key: str, clock: Clock) -> None:
    center, online = await online_of(online=OnlineTerms(plan_starts_s=NOW + 100))
    await online.auto(key, on=True)
    clock.now += 101
    assert center.online(key).pushed_at == NOW + 100


@pytest.mark.parametrize(("method", "call"), SINGLE[1:])
async def test_a_bluetooth_device_has_no_switch(online: Online, method: str, call: str) -> None:
    assert (await online.caller.call(method, f"{OTA}/{call}", **keyed(method, **BLUETOOTH)))["code"] == 5011


# ------------------------------------------------------------------ other spellings


@pytest.mark.parametrize(("method", "call"), CALLS)
async def test_the_prefix_is_as_spelled(online_of: OnlineOf, method: str, call: str) -> None:
    _, online = await online_of(spelling=Spelling("/v2/ota"))
    answers = [
        (await online.caller.http.request(method, f"{prefix}/enduserapi/{call}")).status_code
        for prefix in ("/v2/ota", "/v2/quecota")
    ]
    assert answers == [200, 404]


@pytest.mark.parametrize(
    ("name", "call"),
    list(zip(NAMES, [call for _, call in CALLS], strict=True)),
)
async def test_the_method_is_as_spelled(online_of: OnlineOf, name: str, call: str) -> None:
    method: Any = "PUT" if name != "auto_set" else "POST"  # none of them has this one to begin with
    spelled: dict[str, Any] = {name: Call(method, "query")}
    _, online = await online_of(spelling=Spelling(**spelled))
    right = await online.caller.http.request(method, f"{OTA}/{call}")
    wrong = await online.caller.http.request("DELETE" if name != "auto_delete" else "GET", f"{OTA}/{call}")
    assert (right.status_code, wrong.status_code) == (200, 405)


async def test_the_place_and_the_keys_are_as_spelled(online_of: OnlineOf, key: str) -> None:
    _, online = await online_of(spelling=Spelling(plan=Call("POST", "form", ("pk", "dk"))))
    path = f"{OTA}/v2/getDeviceUpgradePlan"
    right = await online.caller.call("POST", path, data={"pk": ONLINE, "dk": key})
    wrong = [
        (await online.caller.call("POST", path, **how))["code"]
        for how in ({"params": {"pk": ONLINE, "dk": key}}, {"data": {"productKey": ONLINE, "deviceKey": key}})
    ]
    assert (right["data"]["deviceKey"], wrong) == (key, [5066, 5066])


@pytest.mark.parametrize(("name", "call"), [("confirm", CALLS[1][1]), ("details", CALLS[2][1])])
async def test_a_list_is_wrapped_as_spelled(online_of: OnlineOf, key: str, name: str, call: str) -> None:
    spelled: dict[str, Any] = {name: Call("POST", "json", wrapped_in="devices")}
    _, online = await online_of(spelling=Spelling(**spelled))
    rows = [online.entry(key, **({"operType": 1} if name == "confirm" else {}))]
    wrapped = await online.caller.call("POST", f"{OTA}/{call}", json={"devices": rows})
    bare = await online.caller.call("POST", f"{OTA}/{call}", json=rows)
    assert (wrapped["code"], bare["code"]) == (200, 5011)


async def test_a_list_in_a_form_is_text(online_of: OnlineOf, key: str) -> None:
    center, online = await online_of(spelling=Spelling(confirm=Call("POST", "form", wrapped_in="devices")))
    rows = json.dumps([online.entry(key, operType=1)])
    await online.caller.call("POST", f"{OTA}/v2/userBatchConfirmUpgrade", data={"devices": rows})
    assert center.online(key).phase == "downloading"


@pytest.mark.parametrize(("value", "on"), [(1, True), (0, False)])
async def test_the_switch_is_set_as_spelled(online_of: OnlineOf, key: str, value: int, on: bool) -> None:
    center, online = await online_of(spelling=Spelling(auto_set=Call("PUT", "json", switch_field="autoUpgrade")))
    keys = {"productKey": ONLINE, "deviceKey": key}
    await online.caller.call("PUT", f"{OTA}/setAutoUpgradeSwitch", json=keys | {"autoUpgrade": value})
    assert center.online(key).auto is on


async def test_the_answers_are_as_spelled(online_of: OnlineOf, key: str) -> None:
    spelling = Spelling(plan_answer="wrapped", details_answer="wrapped", auto_answer="isAuto", lists_left_out=True)
    _, online = await online_of(spelling=spelling)
    assert (await online.plan(key))["list"][0]["deviceKey"] == key
    details: Any = await online.details(online.entry(key))
    assert details["list"][0]["deviceKey"] == key
    assert await online.auto(key) == {"isAuto": False}
    assert list((await online.confirm(online.entry(key, operType=1)))["data"]) == ["successList"]

from __future__ import annotations

import json
from typing import Any

import pytest

from ble_ota.cloud import DeveloperCenter
from ble_ota.errors import ApiError, CloudAnswerError
from ble_ota.model import Conditions
from ble_ota.mqtt import Action, Keys, MqttPlan, Order, Part, Period, Receipt, Ref
from tests.cloud.conftest import NOW_S, OK, Center, Open

LAMP, FAN = Keys("p1", "d1"), Keys("p1", "d2")
LAMP_REF, FAN_REF = Ref(LAMP, "4711"), Ref(FAN, "4711")

PLAN = """{"code": 200, "msg": "", "data": {"planId": 4711, "planName": "Autumn", "versionInfo": "Fixes\\nall",
    "dataType": 0, "planStartTime": 1744700000000, "planEndTime": "1744900000000", "appointStartTime": 1744790000000,
    "appointEndTime": 1744797200000, "deviceStatus": "1", "deviceStatusDesc": "upgrading", "userConfirmStatus": 2,
    "userConfirmStatusDesc": "", "autoUpgrade": 0, "upgradeProgress": 0.25, "productKey": "p1", "deviceKey": "d1",
    "comVerList": [
        {"sort": 2, "comNo": "MCU1", "comType": 1, "dataType": 1, "cver": "2.0", "tver": "2.1", "versionInfo": "",
         "versionMatch": true, "battery": 30, "signal": -90, "space": 0, "fileList": []},
        {"sort": 1, "comNo": "MAIN", "comType": 0, "dataType": 0, "cver": "1.0", "tver": "1.1", "versionInfo": "main",
         "battery": 20, "signal": -100, "space": 4096, "fileList": [
            {"updIndex": 1, "fileName": "a.bin", "filePath": "", "fileSize": 11},
            {"updIndex": 2, "fileName": "b.bin", "filePath": "http://plain.example/b", "fileSize": "31"}]}]}}"""


def answer(data: Any) -> str:
    return json.dumps({"code": 200, "msg": "", "data": data})


def body(center: Center) -> Any:
    return json.loads(center.asked[-1].body)


async def plan_from(center: Center, enter: Open, data: Any) -> MqttPlan | None:
    center.says("getDeviceUpgradePlan", data if data == PLAN else answer(data))
    return await enter().mqtt_plan(LAMP)


async def test_a_plan_is_read_with_all_that_a_person_needs(center: Center, enter: Open) -> None:
    assert await plan_from(center, enter, PLAN) == MqttPlan(
        LAMP_REF,
        name="Autumn",
        notes="Fixes\nall",
        parts=(
            Part("MAIN", mcu=False, running="1.0", target="1.1", delta=False, size_bytes=42, notes="main"),
            Part("MCU1", mcu=True, running="2.0", target="2.1", delta=True, size_bytes=None),
        ),
        period=Period(1744700000, 1744900000),
        appointment=Period(1744790000, 1744797200),
        conditions=Conditions(battery_percent=30, rssi_dbm=-90, free_bytes=4096),
        status=1,
        word=2,
        progress=0.25,
    )
    asked = center.asked[-1]
    assert (asked.method, asked.path) == ("GET", "/v2/quecota/enduserapi/v2/getDeviceUpgradePlan")
    assert asked.query == {"productKey": "p1", "deviceKey": "d1"}


async def test_the_older_shape_is_read_too(center: Center, enter: Open) -> None:
    older = {
        "components": [
            {
                "componentNo": "MAIN",
                "componentType": 0,
                "sourceVersion": "1.0",
                "targetVersion": "1.1",
                "componentVersions": [{"fileUrl": "https://oss.example/f", "fileSize": 9, "fileSign": "", "sort": 1}],
            }
        ],
        "planInfo": {"planId": "4711", "batteryLevelLimit": 20},
    }
    plan = await plan_from(center, enter, older)
    assert plan is not None
    assert (plan.ref, plan.status, plan.conditions.battery_percent) == (LAMP_REF, None, 20)
    assert [(part.no, part.running, part.target, part.size_bytes) for part in plan.parts] == [("MAIN", "1.0", "1.1", 9)]


@pytest.mark.parametrize("unsized", [{}, {"fileSize": -1}, {"fileSize": None}])
async def test_a_component_has_no_size_where_one_of_its_files_has_none(
    center: Center, enter: Open, unsized: dict[str, object]
) -> None:
    files = [{"fileSize": 11}, unsized]
    data = {"planId": 4711, "comVerList": [{"comNo": "MAIN", "tver": "2", "fileList": files}]}
    plan = await plan_from(center, enter, data)
    assert plan is not None
    assert plan.parts[0].size_bytes is None


@pytest.mark.parametrize("data", [None, {}, [], "", {"list": []}, {"planId": None, "comVerList": None}])
async def test_no_plan_comes_in_many_forms(center: Center, enter: Open, data: Any) -> None:
    assert await plan_from(center, enter, data) is None


@pytest.mark.parametrize("wrapped", [lambda plan: [plan], lambda plan: {"list": [plan], "total": 1}])
async def test_a_plan_may_stand_in_a_list(center: Center, enter: Open, wrapped: Any) -> None:
    plan = await plan_from(center, enter, wrapped(json.loads(PLAN)["data"]))
    assert plan is not None
    assert plan.ref == LAMP_REF


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"planId": 1, "productKey": "p1", "deviceKey": "d9"}, "the answer is about p1/d9"),
        ({"planId": 1, "productKey": "p9"}, "the answer is about p9/d1"),
        ([{"planId": 1}, {"planId": 2}], "2 plans for one device"),
        ({"deviceStatus": 0, "comVerList": []}, "the plan has no id"),
        ("text", "not as documented"),
        (7, "not as documented"),
        ({"planId": 1, "comVerList": [{}] * 21}, "comVerList"),
        ({"planId": 1, "planEndTime": "tomorrow"}, "planEndTime"),
        ({"planId": 1, "upgradeProgress": "much"}, "upgradeProgress"),
        ({"planId": "x" * 200}, "planId"),
    ],
)
async def test_a_plan_that_cannot_be_one_is_refused(center: Center, enter: Open, data: Any, words: str) -> None:
    with pytest.raises(CloudAnswerError, match=words):
        await plan_from(center, enter, data)


@pytest.mark.parametrize(
    ("reply", "words"),
    [("<html>Welcome</html>", "a web page"), ("", "empty body"), ("[]", "not the documented envelope"), ("{", "JSON")],
)
async def test_an_answer_of_somebody_else_is_refused(center: Center, enter: Open, reply: str, words: str) -> None:
    center.says("getBatchUpgradeDetails", reply)
    with pytest.raises(CloudAnswerError, match=words):
        await enter().standings([LAMP_REF])


@pytest.mark.parametrize(("said", "known"), [(0, 0.0), (1, 1.0), ("0.5", 0.5), (45, None), (-0.1, None), (None, None)])
async def test_a_progress_outside_of_nought_to_one_is_not_guessed_at(
    center: Center, enter: Open, said: Any, known: float | None
) -> None:
    plan = await plan_from(center, enter, {"planId": 1, "upgradeProgress": said})
    assert plan is not None
    assert plan.progress == known


@pytest.mark.parametrize("time_ms", [0, None, -5, 10**18])
async def test_a_time_that_no_calendar_has_states_nothing(center: Center, enter: Open, time_ms: int | None) -> None:
    times = dict.fromkeys(("planStartTime", "planEndTime", "appointStartTime", "appointEndTime"), time_ms)
    plan = await plan_from(center, enter, {"planId": 1, **times})
    assert plan is not None
    assert (plan.period, plan.appointment) == (Period(), None)


async def test_names_and_notes_are_cleaned(center: Center, enter: Open) -> None:
    plan = await plan_from(center, enter, {"planId": 1, "planName": "A\x1b[2J\nB", "versionInfo": "C\x07\nD"})
    assert plan is not None
    assert (plan.name, plan.notes) == ("A[2J B", "C\nD")


# ------------------------------------------------------------------ standings


def standing(keys: Keys, **more: Any) -> dict[str, Any]:
    return {"planId": 4711, "productKey": keys.product_key, "deviceKey": keys.device_key, "deviceStatus": 2, **more}


async def test_standings_are_asked_for_by_product_device_and_plan(center: Center, enter: Open) -> None:
    center.says("getBatchUpgradeDetails", answer([standing(FAN), standing(LAMP, deviceStatus=3)]))
    found = await enter().standings([LAMP_REF, FAN_REF])
    assert {plan.ref: plan.status for plan in found} == {LAMP_REF: 3, FAN_REF: 2}
    assert (center.asked[-1].method, center.asked[-1].path) == (
        "POST",
        "/v2/quecota/enduserapi/v2/getBatchUpgradeDetails",
    )
    assert body(center) == [
        {"productKey": "p1", "deviceKey": "d1", "planId": 4711},
        {"productKey": "p1", "deviceKey": "d2", "planId": 4711},
    ]


async def test_standings_that_were_not_asked_for_are_left_out(center: Center, enter: Open) -> None:
    others = [standing(Keys("p1", "d9")), standing(LAMP, planId=1), {"deviceStatus": 2}, {"planId": 4711}]
    center.says("getBatchUpgradeDetails", answer([*others, standing(LAMP)]))
    assert [plan.ref for plan in await enter().standings([LAMP_REF, FAN_REF])] == [LAMP_REF]


async def test_a_standing_without_keys_is_that_of_the_only_device_asked_about(center: Center, enter: Open) -> None:
    center.says("getBatchUpgradeDetails", answer([{"planId": 4711, "deviceStatus": 3}]))
    assert [plan.status for plan in await enter().standings([LAMP_REF])] == [3]


async def test_nothing_is_sent_about_nobody(center: Center, enter: Open) -> None:
    assert await enter().standings([]) == []
    assert await enter().order([]) == []
    assert center.asked == []


# ------------------------------------------------------------------ orders


async def given(center: Center, enter: Open, data: Any, *orders: Order) -> list[Receipt]:
    center.says("userBatchConfirmUpgrade", answer(data))
    return list(await enter().order(orders or [Order(LAMP_REF, Action.CONFIRM), Order(FAN_REF, Action.CONFIRM)]))


def entry(keys: Keys, **more: Any) -> dict[str, Any]:
    return {"planId": 4711, "productKey": keys.product_key, "deviceKey": keys.device_key, **more}


@pytest.mark.parametrize(
    ("action", "number"), [(Action.CONFIRM, 1), (Action.APPOINT, 2), (Action.CANCEL, 3), (Action.RETRY, 5)]
)
async def test_an_action_goes_out_by_the_platforms_number(
    center: Center, enter: Open, action: Action, number: int
) -> None:
    await given(center, enter, {}, Order(LAMP_REF, action))
    assert body(center) == [{"productKey": "p1", "deviceKey": "d1", "planId": 4711, "operType": number}]


async def test_an_appointment_goes_out_in_milliseconds(center: Center, enter: Open) -> None:
    await given(center, enter, {}, Order(LAMP_REF, Action.APPOINT, Period(NOW_S, NOW_S + 3600.5)))
    [sent] = body(center)
    assert (sent["appointStartTime"], sent["appointEndTime"]) == (1744780586000, 1744784186500)


async def test_a_plan_id_that_is_no_number_goes_out_as_it_came(center: Center, enter: Open) -> None:
    await given(center, enter, {}, Order(Ref(LAMP, "P-7"), Action.CONFIRM), Order(Ref(FAN, "1" * 19), Action.CONFIRM))
    assert [sent["planId"] for sent in body(center)] == ["P-7", "1" * 19]


async def test_each_device_has_its_receipt(center: Center, enter: Open) -> None:
    data = {"successList": [entry(FAN, code=200, msg="")], "failList": [entry(LAMP, code="5041", msg="No\npermission")]}
    assert await given(center, enter, data) == [
        Receipt(FAN_REF, taken=True, code=200),
        Receipt(LAMP_REF, taken=False, code=5041, message="No permission"),
    ]


@pytest.mark.parametrize(
    "data", [None, {}, {"successList": None, "failList": None}, {"successList": [], "failList": []}]
)
async def test_what_the_answer_says_nothing_of_has_no_receipt(center: Center, enter: Open, data: Any) -> None:
    assert await given(center, enter, data) == []


async def test_a_device_in_both_lists_was_refused(center: Center, enter: Open) -> None:
    receipts = await given(center, enter, {"successList": [entry(LAMP)], "failList": [entry(LAMP, code=1)]})
    assert [(one.ref, one.taken) for one in receipts] == [(LAMP_REF, False)]


async def test_receipts_of_other_devices_and_plans_are_passed_over(center: Center, enter: Open) -> None:
    strangers = [entry(Keys("p1", "d9")), entry(LAMP, planId=1)]
    assert await given(center, enter, {"successList": strangers, "failList": strangers}) == []


async def test_a_receipt_without_keys_is_that_of_the_only_device(center: Center, enter: Open) -> None:
    order = Order(LAMP_REF, Action.CONFIRM)
    assert await given(center, enter, {"failList": [{"code": 1}]}, order) == [Receipt(LAMP_REF, taken=False, code=1)]


async def test_a_receipt_that_could_be_anybodys_is_refused(center: Center, enter: Open) -> None:
    with pytest.raises(CloudAnswerError, match="which device"):
        await given(center, enter, {"failList": [{"code": 1}]})


@pytest.mark.parametrize("data", [True, "ok", 1, [entry(LAMP)], {"failList": {"code": 1}}, {"failList": ["d1"]}])
async def test_an_answer_of_another_form_is_no_receipt(center: Center, enter: Open, data: Any) -> None:
    with pytest.raises(CloudAnswerError, match="not as documented"):
        await given(center, enter, data)


async def test_an_order_is_sent_once_whatever_the_answer(center: Center, enter: Open) -> None:
    center.says("userBatchConfirmUpgrade", '{"code": 5000, "msg": ""}')
    with pytest.raises(ApiError):
        await enter().order([Order(LAMP_REF, Action.CONFIRM)])
    assert center.names() == ["userBatchConfirmUpgrade"]


# ------------------------------------------------------------------ automatic confirmation


@pytest.mark.parametrize(
    ("data", "on"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("1", True),
        ("0", False),
        ("true", True),
        ({"isAuto": False}, False),
        ({"autoUpgrade": 1}, True),
        ({"autoUpgrade": "0", "isAuto": False}, False),
    ],
)
async def test_the_switch_is_read_in_any_of_its_likely_forms(
    center: Center, enter: Open, data: Any, *, on: bool
) -> None:
    center.says("getAutoUpgradeSwitch", answer(data))
    assert await enter().auto_upgrade(LAMP) is on


@pytest.mark.parametrize("data", [None, {}, {"isAuto": True, "autoUpgrade": 0}, 2, "perhaps", [True]])
async def test_a_switch_that_is_neither_on_nor_off_is_not_guessed_at(center: Center, enter: Open, data: Any) -> None:
    center.says("getAutoUpgradeSwitch", answer(data))
    with pytest.raises(CloudAnswerError):
        await enter().auto_upgrade(LAMP)


async def test_the_switch_is_set_and_dropped_for_one_device(center: Center, enter: Open) -> None:
    center.says("setAutoUpgradeSwitch", OK)
    center.says("deleteDeviceUpgrade", OK)
    client: DeveloperCenter = enter()
    await client.set_auto_upgrade(LAMP)
    assert (center.asked[-1].method, body(center)) == ("PUT", {"productKey": "p1", "deviceKey": "d1"})
    await client.drop_auto_upgrade(LAMP)
    assert (center.asked[-1].method, center.asked[-1].query) == ("DELETE", {"productKey": "p1", "deviceKey": "d1"})

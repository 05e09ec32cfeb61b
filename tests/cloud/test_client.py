from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from ble_ota.cloud import ENDPOINTS, CloudDevice, DeveloperCenter, User, auth, joined, override
from ble_ota.errors import (
    AccountLockedError,
    ApiError,
    BleOtaError,
    CloudAnswerError,
    LoginRefusedError,
    SettingsError,
    TrustError,
)
from ble_ota.model import Component, ComponentKind, DeviceInfo, FetchPlan, PlannedFile, Secret
from ble_ota.mqtt import Keys
from tests.cloud.conftest import (
    ACCESS,
    ACCESS_TWO,
    DOMAIN_SECRET,
    EXPIRED,
    NEW_TOKENS,
    OK,
    PASSWORD,
    REFRESH,
    REFRESH_TWO,
    Center,
    Open,
    Reply,
)
from tests.cloud.test_codes import TABLE

LAMP = DeviceInfo("C0:FF:EE:00:00:01", "QUEC_BLE_0001", "p1", "d1", {})

PLAN = """{"code": 200, "msg": "", "data": {"components": [{"componentNo": "MAIN", "componentType": 0, "dataType": 0,
    "sourceVersion": "1.0", "targetVersion": "1.1", "info": "notes", "sort": 1, "componentVersions": [
        {"fileSign": null, "fileSize": 11, "fileUrl": "https://oss.example/main.bin?Signature=s1gned", "sort": 1}]}],
    "planInfo": {"planId": 4711}}}"""

DEVICE = """{"code": 200, "data": {"productKey": "p1", "deviceKey": "d1", "deviceName": "Lamp",
    "bindingCode": "YmluZGluZw==", "authKey": "YXV0aGtleQ==", "capabilitiesBitmask": 4, "onlineStatus": 0}}"""


def page(*keys: str, **fields: int) -> str:
    entries = [{"productKey": "p1", "deviceKey": key} for key in keys]
    return json.dumps({"code": 200, "data": {"list": entries, **fields}})


async def keys(client: DeveloperCenter) -> list[str]:
    return [device.device_key async for device in client.devices()]


def sent(center: Center) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(center.asked[-1].body)
    return body


# Logging in


async def test_a_login_by_email_sends_what_is_documented(center: Center, enter: Open) -> None:
    center.says("emailPwdLogin", NEW_TOKENS)
    await enter(tokens=None).login_by_email("a@b.example", Secret(PASSWORD))
    query = center.asked[0].query
    assert set(query) == {"email", "pwd", "signature", "userDomain", "random"}
    assert (query["email"], query["userDomain"]) == ("a@b.example", "C.DM.1.1")


async def test_a_login_by_email_is_sealed_with_its_own_random(center: Center, enter: Open) -> None:
    center.says("emailPwdLogin", NEW_TOKENS)
    await enter(tokens=None).login_by_email("a@b.example", Secret(PASSWORD))
    query = center.asked[0].query
    assert query["pwd"] == auth.encrypt_password(Secret(PASSWORD), query["random"])


async def test_a_login_by_email_is_signed(center: Center, enter: Open) -> None:
    center.says("emailPwdLogin", NEW_TOKENS)
    await enter(tokens=None).login_by_email("a@b.example", Secret(PASSWORD))
    query = center.asked[0].query
    signed = auth.sign("a@b.example", query["pwd"], query["random"], secret=Secret(DOMAIN_SECRET))
    assert query["signature"] == signed


async def test_a_login_by_phone_sends_what_is_documented(center: Center, enter: Open) -> None:
    center.says("phonePwdLogin", NEW_TOKENS)
    await enter(tokens=None).login_by_phone("+86", "17132136550", Secret(PASSWORD))
    query = center.asked[0].query
    assert set(query) == {"phone", "pwd", "signature", "userDomain", "internationalCode", "random"}
    assert (query["internationalCode"], query["phone"]) == ("86", "17132136550")


async def test_a_login_by_phone_is_signed(center: Center, enter: Open) -> None:
    center.says("phonePwdLogin", NEW_TOKENS)
    await enter(tokens=None).login_by_phone("+86", "17132136550", Secret(PASSWORD))
    query = center.asked[0].query
    signed = auth.sign("86", "17132136550", query["pwd"], query["random"], secret=Secret(DOMAIN_SECRET))
    assert query["signature"] == signed


async def test_two_logins_have_two_randoms(center: Center, enter: Open) -> None:
    center.says("emailPwdLogin", NEW_TOKENS)
    client = enter(tokens=None)
    await client.login_by_email("a@b.example", Secret(PASSWORD))
    await client.login_by_email("a@b.example", Secret(PASSWORD))
    assert center.asked[0].query["random"] != center.asked[1].query["random"]


async def test_a_login_gives_the_tokens(center: Center, enter: Open) -> None:
    center.says("emailPwdLogin", NEW_TOKENS)
    tokens = await enter(tokens=None).login_by_email("a@b.example", Secret(PASSWORD))
    assert (tokens.access.reveal(), tokens.refresh.reveal()) == (ACCESS_TWO, REFRESH_TWO)


async def test_calls_after_a_login_carry_its_token(center: Center, enter: Open) -> None:
    center.says("emailPwdLogin", NEW_TOKENS)
    center.says("userInfo", '{"code": 200, "data": {}}')
    client = enter(tokens=None)
    await client.login_by_email("a@b.example", Secret(PASSWORD))
    await client.who_am_i()
    assert center.asked[1].token == ACCESS_TWO


async def test_a_login_carries_no_old_token(center: Center, enter: Open) -> None:
    center.says("emailPwdLogin", NEW_TOKENS)
    await enter().login_by_email("a@b.example", Secret(PASSWORD))
    assert center.asked[0].token is None


@pytest.mark.parametrize(("code", "error", "_hint"), TABLE)
async def test_no_login_is_tried_twice(
    center: Center, enter: Open, code: int, error: type[ApiError], _hint: str
) -> None:
    center.says("emailPwdLogin", f'{{"code": {code}, "msg": "no"}}', NEW_TOKENS)
    with pytest.raises(error):
        await enter().login_by_email("a@b.example", Secret(PASSWORD))
    assert center.names() == ["emailPwdLogin"]


@pytest.mark.parametrize(("code", "error"), [(5583, LoginRefusedError), (5147, AccountLockedError)])
async def test_a_refused_login_by_phone_is_named(center: Center, enter: Open, code: int, error: type[ApiError]) -> None:
    center.says("phonePwdLogin", f'{{"code": {code}, "msg": "no"}}')
    with pytest.raises(error):
        await enter().login_by_phone("86", "17132136550", Secret(PASSWORD))


async def test_a_login_without_tokens_in_its_answer_is_named(center: Center, enter: Open) -> None:
    center.says("emailPwdLogin", OK)
    with pytest.raises(CloudAnswerError, match="logging in"):
        await enter().login_by_email("a@b.example", Secret(PASSWORD))


# Who and which


async def test_the_user_is_named(center: Center, enter: Open) -> None:
    center.says("userInfo", '{"code": 200, "data": {"uid": "U1", "nikeName": "Ann", "email": "a@b.example"}}')
    assert await enter().who_am_i() == User("U1", "Ann", "a@b.example", "")


async def test_devices_of_all_pages_are_given(center: Center, enter: Open) -> None:
    center.says("userDeviceList", page("a", "b", pages=2), page("c", pages=2))
    assert await keys(enter()) == ["a", "b", "c"]


async def test_pages_are_asked_for_in_order(center: Center, enter: Open) -> None:
    center.says("userDeviceList", page("a", pages=2), page("b", pages=2))
    await keys(enter())
    assert [asked.query for asked in center.asked] == [
        {"page": "1", "pageSize": "50"},
        {"page": "2", "pageSize": "50"},
    ]


@pytest.mark.parametrize(("total", "asked"), [(50, 1), (51, 2), (100, 2)])
async def test_a_list_that_says_only_its_total_ends_with_it(
    center: Center, enter: Open, total: int, asked: int
) -> None:
    center.says("userDeviceList", page("a", total=total))
    await keys(enter())
    assert len(center.asked) == asked


@pytest.mark.parametrize("empty", [page(), '{"code": 200, "data": null}', '{"code": 200, "data": {"list": null}}'])
async def test_a_list_that_says_nothing_ends_with_an_empty_page(center: Center, enter: Open, empty: str) -> None:
    center.says("userDeviceList", page("a"), page("b"), empty)
    assert await keys(enter()) == ["a", "b"]


async def test_a_list_without_end_is_given_up(center: Center, enter: Open) -> None:
    center.says("userDeviceList", page("a"))
    with pytest.raises(CloudAnswerError, match="200 pages"):
        await keys(enter())
    assert len(center.asked) == 200


@pytest.mark.parametrize("lacking", ['"productKey": "p1"', '"deviceKey": "d1"', '"deviceKey": "", "productKey": ""'])
async def test_an_entry_without_both_keys_is_passed_over(center: Center, enter: Open, lacking: str) -> None:
    entries = f'{{"deviceName": "group", {lacking}}}, {{"productKey": "p1", "deviceKey": "d2"}}'
    center.says("userDeviceList", f'{{"code": 200, "data": {{"list": [{entries}], "pages": 1}}}}')
    assert await keys(enter()) == ["d2"]


async def test_the_next_page_is_not_fetched_before_it_is_wanted(center: Center, enter: Open) -> None:
    center.says("userDeviceList", page("a", "b", pages=2))
    async for _ in enter().devices():
        break
    assert len(center.asked) == 1


async def test_a_device_is_asked_for_by_its_keys(center: Center, enter: Open) -> None:
    center.says("deviceInfo", DEVICE)
    await enter().device("p1", "d1")
    assert center.asked[0].query == {"pk": "p1", "dk": "d1"}


async def test_a_device_comes_with_the_secret_of_its_login(center: Center, enter: Open) -> None:
    center.says("deviceInfo", DEVICE)
    expected = CloudDevice("p1", "d1", "Lamp", Secret("YmluZGluZw=="), "bindingCode", ble_only=True, online=False)
    assert await enter().device("p1", "d1") == expected


async def test_a_device_that_leaves_its_keys_out_is_the_one_asked_for(center: Center, enter: Open) -> None:
    center.says("deviceInfo", '{"code": 200, "data": {"authKey": "YXV0aGtleQ=="}}')
    found = await enter().device("p1", "d1")
    assert (found.product_key, found.device_key) == ("p1", "d1")


@pytest.mark.parametrize("asked", [("p2", "d1"), ("p1", "d2")])
async def test_another_device_than_the_one_asked_for_is_refused(
    center: Center, enter: Open, asked: tuple[str, str]
) -> None:
    center.says("deviceInfo", DEVICE)
    with pytest.raises(CloudAnswerError, match="the answer is about p1/d1"):
        await enter().device(*asked)


async def test_versions_are_asked_for_by_the_devices_keys(center: Center, enter: Open) -> None:
    center.says("getDeviceBusinessAttributes", OK)
    await enter().versions("p1", "d1")
    assert center.asked[0].query == {"pk": "p1", "dk": "d1"}


async def test_versions_are_given_by_component(center: Center, enter: Open) -> None:
    answer = r'{"code": 200, "data": {"deviceData": {"version": "1.0", "mcuVersion": "[{\"M1\": \"2.0\"}]"}}}'
    center.says("getDeviceBusinessAttributes", answer)
    assert await enter().versions("p1", "d1") == {"": "1.0", "M1": "2.0"}


# Plans


async def test_a_plan_query_sends_the_keys_and_the_digest_wanted(center: Center, enter: Open) -> None:
    center.says("getFetchPlan", PLAN)
    await enter().fetch_plan(LAMP)
    assert sent(center) == {"productKey": "p1", "deviceKey": "d1", "signType": "SHA256"}


async def test_a_plan_query_sends_what_is_known_of_the_device(center: Center, enter: Open) -> None:
    center.says("getFetchPlan", PLAN)
    known: Mapping[str, str] = {"": "1.0", "M1": "2.0"}
    device = DeviceInfo("", "", "p1", "d1", known, rssi_dbm=-60, battery_percent=0, free_bytes=10_239)
    await enter(sign_type="MD5").fetch_plan(device)
    assert sent(center) == {
        "productKey": "p1",
        "deviceKey": "d1",
        "signType": "MD5",
        "moduleVersion": "1.0",
        "mcuVersions": [{"componentNo": "M1", "version": "2.0"}],
        "batteryLevelLimit": 0,
        "minSignalIntensity": -60,
        "useSpace": 9,
    }


async def test_a_plan_is_given(center: Center, enter: Open) -> None:
    center.says("getFetchPlan", PLAN)
    file = PlannedFile("https://oss.example/main.bin?Signature=s1gned", 11, (), 1)
    component = Component("MAIN", ComponentKind.MODULE, "1.1", "1.0", (file,), notes="notes", sort=1)
    assert await enter().fetch_plan(LAMP) == FetchPlan("4711", "p1", "d1", (component,))


async def test_no_plan_is_none(center: Center, enter: Open) -> None:
    center.says("getFetchPlan", OK)
    assert await enter().fetch_plan(LAMP) is None


async def test_a_plan_that_cannot_be_trusted_is_refused(center: Center, enter: Open) -> None:
    center.says("getFetchPlan", PLAN.replace("https://oss", "http://oss"))
    with pytest.raises(TrustError):
        await enter().fetch_plan(LAMP)


async def test_a_plan_query_is_signed_where_a_recipe_is_set(center: Center, enter: Open) -> None:
    center.says("getFetchPlan", PLAN)
    await enter(signature=joined).fetch_plan(DeviceInfo("", "", "p1", "d1", {}, battery_percent=50))
    signature = auth.sign("p1", "d1", "SHA256", secret=Secret(DOMAIN_SECRET))
    assert sent(center)["signature"] == signature


async def test_a_corrected_endpoint_is_used(center: Center, enter: Open) -> None:
    center.says("plan", PLAN)
    change = {"path": "/v3/plan", "method": "GET", "parameters": "query", "fields": {"product_key": "pk"}}
    await enter(endpoints=override(ENDPOINTS, {"getFetchPlan": change})).fetch_plan(LAMP)
    asked = center.asked[0]
    assert (asked.method, asked.path) == ("GET", "/v3/plan")
    assert asked.query == {"pk": "p1", "deviceKey": "d1", "signType": "SHA256"}


# Reports


async def test_a_report_sends_the_number_from_the_settings(center: Center, enter: Open) -> None:
    center.says("reportUpgradeStatus", OK)
    await enter(report_status={"confirmed": 2, "succeeded": 9}).report("p1", "d1", "MAIN", "succeeded")
    assert sent(center) == {"productKey": "p1", "deviceKey": "d1", "componentNo": "MAIN", "reportStatus": 9}


async def test_a_report_gives_the_number_it_sent(center: Center, enter: Open) -> None:
    center.says("reportUpgradeStatus", OK)
    assert await enter(report_status={"failed": 0}).report("p1", "d1", "MAIN", "failed") == 0


async def test_a_report_without_a_number_is_a_missing_setting(enter: Open) -> None:
    with pytest.raises(SettingsError, match="`succeeded` is not set"):
        await enter().report("p1", "d1", "MAIN", "succeeded")


async def test_a_report_without_a_number_is_not_sent(center: Center, enter: Open) -> None:
    with pytest.raises(SettingsError):
        await enter().report("p1", "d1", "MAIN", "failed")
    assert center.asked == []


async def test_a_report_is_signed_where_a_recipe_is_set(center: Center, enter: Open) -> None:
    center.says("reportUpgradeStatus", OK)
    await enter(signature=joined).report("p1", "d1", "MAIN", "confirmed")
    assert sent(center)["signature"] == auth.sign("p1", "d1", "MAIN", "2", secret=Secret(DOMAIN_SECRET))


async def test_what_a_device_calls_itself_cannot_break_the_sentence(center: Center, enter: Open) -> None:
    center.says("getFetchPlan", '{"code": 5041, "msg": "no"}')
    with pytest.raises(ApiError, match=r"^asking for the plan of p1 \[2J/d1: "):
        await enter().fetch_plan(DeviceInfo("", "", "p1\n\x1b[2J", "d1", {}))


# Nothing secret gets out

Call = Callable[[DeveloperCenter], Awaitable[object]]


async def by_email(client: DeveloperCenter) -> object:
    return await client.login_by_email("a@b.example", Secret(PASSWORD))


async def by_phone(client: DeveloperCenter) -> object:
    return await client.login_by_phone("86", "17132136550", Secret(PASSWORD))


async def who(client: DeveloperCenter) -> object:
    return await client.who_am_i()


async def which(client: DeveloperCenter) -> object:
    return await client.device("p1", "d1")


async def plan(client: DeveloperCenter) -> object:
    return await client.fetch_plan(LAMP)


LOUD = [
    ("emailPwdLogin", by_email, Reply(NEW_TOKENS)),
    ("emailPwdLogin", by_email, Reply(json.dumps({"code": 5028, "msg": f"{PASSWORD} {DOMAIN_SECRET}"}))),
    ("emailPwdLogin", by_email, Reply(NEW_TOKENS.replace("1747372586", '"soon"'))),
    ("emailPwdLogin", by_email, Reply(NEW_TOKENS[:-3])),
    ("emailPwdLogin", by_email, Reply(f"<html>{PASSWORD}", status=502)),
    ("phonePwdLogin", by_phone, Reply(json.dumps({"code": 5579, "msg": PASSWORD}))),
    ("userInfo", who, Reply(json.dumps({"code": 5041, "msg": f"{ACCESS} {REFRESH}"}))),
    ("userInfo", who, Reply(EXPIRED)),
    ("deviceInfo", which, Reply(DEVICE)),
    ("deviceInfo", which, Reply(DEVICE.replace('"d1"', '"d2"'))),
    ("deviceInfo", which, Reply(DEVICE.replace('"YmluZGluZw=="', '["YmluZGluZw=="]'))),
    ("getFetchPlan", plan, Reply(PLAN)),
    ("getFetchPlan", plan, Reply(PLAN.replace("https:", "http:"))),
    ("getFetchPlan", plan, Reply(PLAN.replace("https://", "https://" + "x" * 4096))),
]
SEEDS = [
    PASSWORD,
    DOMAIN_SECRET,
    *(token.removeprefix("Bearer ") for token in (ACCESS, REFRESH, ACCESS_TWO, REFRESH_TWO)),
    "YmluZGluZw==",
    "YXV0aGtleQ==",
    "s1gned",
]


@pytest.mark.parametrize(("name", "call", "reply"), LOUD)
async def test_nothing_secret_gets_out(
    center: Center, enter: Open, caplog: pytest.LogCaptureFixture, name: str, call: Call, reply: Reply
) -> None:
    caplog.set_level(logging.DEBUG)
    center.says(name, reply)
    center.says("refreshToken", NEW_TOKENS)
    client = enter()
    try:
        said = repr(await call(client))
    except BleOtaError as error:
        said = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + error.hint
    said += caplog.text + repr(client) + str(client) + repr(client.tokens)
    said += "".join(repr(vars(record)) for record in caplog.records)
    sealed = [
        center.asked[0].query[field] for field in ("pwd", "signature", "random") if "pwd" in center.asked[0].query
    ]
    assert [seed for seed in (*SEEDS, *sealed) if seed in said] == []


async def test_a_code_by_sms_is_asked_for_as_documented(center: Center, enter: Open) -> None:
    center.says("sendPhoneSmsCode", OK)
    await enter(tokens=None).send_sms_code("+86", "17132136550", code_type=3)
    asked = center.asked[0]
    assert (asked.method, asked.path, asked.token) == ("POST", "/v2/sms/enduserapi/v2/sendPhoneSmsCode", None)
    random, signature = asked.query.pop("random"), asked.query.pop("signature")
    assert asked.query == {
        "internationalCode": "86",
        "phone": "17132136550",
        "codeType": "3",
        "ts": "1744780586000",
        "userDomain": "C.DM.1.1",
    }
    assert len(random) == 16
    secret = Secret(DOMAIN_SECRET)
    assert signature == auth.sms_signature("17132136550", 3, random, 1744780586000, secret=secret)


async def test_a_code_by_sms_is_asked_for_once(center: Center, enter: Open) -> None:
    center.says("sendPhoneSmsCode", Reply("busy", status=503))
    with pytest.raises(CloudAnswerError):
        await enter().send_sms_code("86", "17132136550", code_type=3)
    assert center.names() == ["sendPhoneSmsCode"]


@pytest.mark.parametrize(("said", "plan_id"), [("7", "7"), ("null", ""), ("0", ""), ('"12"', "12")])
async def test_the_plan_a_device_had_last_is_told(center: Center, enter: Open, said: str, plan_id: str) -> None:
    center.says("deviceInfo", DEVICE.replace('"onlineStatus": 0', f'"onlineStatus": 0, "planId": {said}'))
    assert await enter().last_plan_id(Keys("p1", "d1")) == plan_id


async def test_a_pace_that_never_moves_is_refused(enter: Open) -> None:
    with pytest.raises(ValueError, match="above 0"):
        enter(calls_at_once=0)


async def test_the_log_says_which_calls_were_made(
    center: Center, enter: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    center.says("userInfo", OK.replace("null", "{}"))
    await enter().who_am_i()
    assert "GET /v2/enduser/enduserapi/userInfo: HTTP 200" in caplog.text


async def test_a_closed_client_has_let_its_connections_go(center: Center, enter: Open) -> None:
    async with enter() as client:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await client.who_am_i()

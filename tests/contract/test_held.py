from __future__ import annotations

from typing import Any

import httpx
import pytest

from ble_ota.cloud.contract import document
from tests.contract.held import answer_faults, request_faults

HOST = "https://cloud.example"
TOKEN = {"Authorization": "Bearer a.b.c"}
PLAN = f"{HOST}/v2/quecota/enduserapi/v2/getDeviceUpgradePlan"
CONFIRM = f"{HOST}/v2/quecota/enduserapi/v2/userBatchConfirmUpgrade"
KEYS = {"productKey": "p1", "deviceKey": "d1"}
ENTRY: dict[str, Any] = {**KEYS, "planId": 1, "operType": 1}


def query(**changed: str) -> httpx.Request:
    return httpx.Request("GET", PLAN, params=KEYS | changed, headers=TOKEN)


def orders(*entries: dict[str, Any]) -> httpx.Request:
    return httpx.Request("POST", CONFIRM, json=list(entries), headers=TOKEN)


@pytest.mark.parametrize("request_", [query(), orders(ENTRY)], ids=["query", "body"])
def test_a_request_as_in_the_file_has_no_fault(request_: httpx.Request) -> None:
    assert request_faults(document(), request_) == []


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (httpx.Request("GET", f"{HOST}/v2/other", headers=TOKEN), "there is no GET /v2/other"),
        (httpx.Request("POST", PLAN, params=KEYS, headers=TOKEN), "there is no POST"),
        (httpx.Request("GET", PLAN, params=KEYS), "a token is missing"),
        (httpx.Request("PUT", f"{HOST}/v2/enduser/enduserapi/refreshToken?refreshToken=a", headers=TOKEN), "is sent"),
        (query(more="1"), "`more` is not in the file"),
        (query(deviceKey=""), "deviceKey"),
        (httpx.Request("GET", f"{PLAN}?productKey=p1", headers=TOKEN), "`deviceKey` is missing"),
        (httpx.Request("GET", f"{PLAN}?productKey=p1&productKey=p1&deviceKey=d", headers=TOKEN), "twice"),
        (httpx.Request("GET", PLAN, params=KEYS, headers=TOKEN, content=b"{}"), "there is a body"),
        (httpx.Request("GET", f"{HOST}/v2/binding/enduserapi/userDeviceList?page=x", headers=TOKEN), "page"),
        (httpx.Request("POST", CONFIRM, data={"list": "[]"}, headers=TOKEN), "no application/json"),
        (httpx.Request("POST", CONFIRM, json={"deviceList": [ENTRY]}, headers=TOKEN), "array"),
        (orders(), "body"),
        (orders(ENTRY | {"more": 1}), "more"),
        (orders(KEYS | {"operType": 1}), "planId"),
        (orders(ENTRY | {"operType": 4}), "operType"),
        (orders(ENTRY | {"operType": 2, "appointEndTime": 1}), "appointStartTime"),
        (orders(ENTRY | {"appointEndTime": 1}), "does not allow 1"),
    ],
)
def test_a_request_that_differs_is_told(request_: httpx.Request, fault: str) -> None:
    [told] = request_faults(document(), request_)
    assert fault in told


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (None, ""),
        ({"components": [], "planInfo": {"planId": 1}}, ""),
        ({"components": []}, "answer"),
        ({"planId": 1, **KEYS, "deviceStatus": 0, "userConfirmStatus": 0, "comVerList": []}, ""),
        ({"planId": 1, **KEYS, "deviceStatus": 7, "userConfirmStatus": 0, "comVerList": []}, "answer"),
        ("", "answer"),
    ],
)
def test_an_answer_is_held_against_its_schema(data: object, fault: str) -> None:
    answer = httpx.Response(200, json={"code": 200, "msg": "", "data": data})
    assert bool(answer_faults(document(), query(), answer)) is bool(fault)


@pytest.mark.parametrize(
    ("envelope", "is_one"),
    [
        ({"code": 5052, "msg": "no", "data": None, "extMsg": None}, True),
        ({"code": 5052, "msg": "no"}, True),
        ({"code": "5052", "msg": "no"}, False),
        ({"code": 200, "msg": "no"}, False),
        ({"msg": "no"}, False),
        ([], False),
    ],
)
def test_an_envelope_is_known_from_what_is_none(envelope: object, is_one: bool) -> None:
    assert (answer_faults(document(), query(), httpx.Response(200, json=envelope)) == []) is is_one

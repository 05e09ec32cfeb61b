from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ble_ota.virtual.developer_center.answers import RefusedError, refused
from ble_ota.virtual.developer_center.asked import Entry, OrderEntry, entries, one_device
from ble_ota.virtual.developer_center.spelling import Call

PLACES: dict[str, str] = {"query": "params", "form": "data", "json": "json"}
KEYS = {"productKey": "P", "deviceKey": "D"}
ENTRY = KEYS | {"planId": 7}
ORDER = ENTRY | {"operType": 1}
JSON = Call("POST", "json")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def posted(endpoint: Any, **how: Any) -> dict[str, Any]:
    app = Starlette(routes=[Route("/", endpoint, methods=["POST"])], exception_handlers={RefusedError: refused})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as http:
        answer: dict[str, Any] = (await http.post("/", **how)).json()
        return answer


async def one(call: Call, **how: Any) -> Any:
    """What is read, or the code of the refusal."""

    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse({"read": await one_device(request, call)})

    answer = await posted(endpoint, **how)
    return answer["read"] if "read" in answer else answer["code"]


async def many(call: Call, model: type[Entry] = OrderEntry, **how: Any) -> Any:
    async def endpoint(request: Request) -> JSONResponse:
        rows = await entries(request, call, model, largest=3)
        return JSONResponse({"read": [row.model_dump(exclude_none=True) for row in rows]})

    answer = await posted(endpoint, **how)
    return answer["read"] if "read" in answer else answer["code"]


@pytest.mark.parametrize("place", PLACES)
async def test_a_device_is_read_from_its_place(place: Any) -> None:
    assert await one(Call("POST", place), **{PLACES[place]: KEYS}) == ["P", "D", True]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("other", PLACES)
async def test_a_device_in_another_place_is_missing(place: Any, other: str) -> None:
    if place != other:
        assert await one(Call("POST", place), **{PLACES[other]: KEYS}) in (5066, 5011)


async def test_keys_may_be_called_otherwise() -> None:
    assert await one(Call("POST", "json", ("pk", "dk")), json={"pk": "P", "dk": "D"}) == ["P", "D", True]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"deviceKey": "D"}, 5066),
        ({"productKey": "P"}, 5067),
        ({"productKey": "", "deviceKey": "D"}, 5066),
        ({"pk": "P", "dk": "D"}, 5066),
        ({"productKey": 5, "deviceKey": "D"}, 5011),
        ({"productKey": "P", "deviceKey": "D" * 65}, 5011),
        (KEYS | {"other": 1}, 5011),
        ([KEYS], 5011),
    ],
)
async def test_a_device_that_is_not_named_as_spelled_is_refused(given: Any, code: int) -> None:
    assert await one(JSON, json=given) == code


@pytest.mark.parametrize(("content", "code"), [(b"", 5066), (b"{", 5011), (b"\xff", 5011), (b"[" * 60_000, 5011)])
async def test_a_body_that_says_nothing_is_refused(content: bytes, code: int) -> None:
    assert await one(JSON, content=content) == code


async def test_a_field_nobody_asked_for_is_named_and_cut() -> None:
    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse(await one_device(request, JSON))

    assert (await posted(endpoint, json=KEYS | {"x" * 999: 1}))["msg"].endswith(" " + "x" * 64)


@pytest.mark.parametrize(
    ("value", "on"),
    [(1, True), (True, True), ("1", True), ("True", True), (0, False), (False, False), ("0", False), ("false", False)],
)
async def test_a_switch_is_read(value: object, on: bool) -> None:
    assert await one(Call("PUT", "json", switch_field="auto"), json=KEYS | {"auto": value}) == ["P", "D", on]


@pytest.mark.parametrize("given", [KEYS, KEYS | {"auto": 2}, KEYS | {"auto": []}, KEYS | {"auto": None}])
async def test_a_switch_that_says_nothing_is_refused(given: object) -> None:
    assert await one(Call("PUT", "json", switch_field="auto"), json=given) == 5011


async def test_a_switch_nobody_asked_for_is_refused() -> None:
    assert await one(Call("PUT", "json"), json=KEYS | {"auto": 1}) == 5011


# ------------------------------------------------------------------ lists


async def test_a_bare_list_is_read() -> None:
    assert (
        await many(JSON, json=[ORDER, ORDER])
        == [{"product_key": "P", "device_key": "D", "plan_id": 7, "oper_type": 1}] * 2
    )


async def test_a_wrapped_list_is_read() -> None:
    assert len(await many(Call("POST", "json", wrapped_in="devices"), json={"devices": [ORDER]})) == 1


@pytest.mark.parametrize("place", ["query", "form"])
@pytest.mark.parametrize(("wrapped_in", "field"), [("", "list"), ("devices", "devices")])
async def test_a_list_may_be_json_text(place: Any, wrapped_in: str, field: str) -> None:
    how: dict[str, Any] = {PLACES[place]: {field: json.dumps([ORDER])}}
    assert len(await many(Call("POST", place, wrapped_in=wrapped_in), **how)) == 1


@pytest.mark.parametrize(
    ("wrapped_in", "given"),
    [
        ("", {"devices": [ORDER]}),
        ("", 5),
        ("", [5]),
        ("devices", [ORDER]),
        ("devices", {"list": [ORDER]}),
        ("devices", {}),
        ("devices", {"devices": [ORDER], "more": 1}),
        ("devices", {"devices": json.dumps([ORDER])}),
    ],
)
async def test_a_list_that_is_not_wrapped_as_spelled_is_refused(wrapped_in: str, given: object) -> None:
    assert await many(Call("POST", "json", wrapped_in=wrapped_in), json=given) == 5011


async def test_a_list_in_a_form_must_be_there() -> None:
    assert await many(Call("POST", "form"), content=b"", headers=FORM) == 5011


async def test_keys_in_a_list_may_be_called_otherwise() -> None:
    call = Call("POST", "json", ("pk", "dk"))
    assert (await many(call, json=[{"pk": "P", "dk": "D", "planId": 7, "operType": 1}]))[0]["device_key"] == "D"


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"pk": "P", "dk": "D", "planId": 7, "operType": 1}, 5066),
        (ORDER | {"deviceKey": None}, 5067),
        (ORDER | {"dk": "D"}, 5011),
    ],
)
async def test_keys_in_a_list_that_are_called_otherwise_are_refused(row: object, code: int) -> None:
    assert await many(JSON, json=[ORDER, row]) == code


async def test_our_names_are_refused_where_others_are_spelled() -> None:
    call = Call("POST", "json", ("pk", "dk"))
    assert await many(call, json=[{"pk": "P", "dk": "D", "planId": 7, "operType": 1, "productKey": "P"}]) == 5011


@pytest.mark.parametrize(
    "other",
    [
        {"operType": None},
        {"operType": "1"},
        {"operType": True},
        {"operType": 256},
        {"planId": None},
        {"planId": "7x"},
        {"planId": "9" * 20},
        {"planId": -1},
        {"planId": 7.5},
        {"appointStartTime": "1800000000000"},
        {"appointEndTime": 10**400},
        {"version": 1},
        {"comment": "x"},
    ],
)
async def test_a_malformed_order_is_refused(other: dict[str, object]) -> None:
    assert await many(JSON, json=[ORDER | other]) == 5011


@pytest.mark.parametrize("plan_id", [7, "7"])
async def test_a_plan_is_a_number_or_text(plan_id: object) -> None:
    assert (await many(JSON, json=[ORDER | {"planId": plan_id}]))[0]["plan_id"] == 7


async def test_the_version_that_some_send_is_taken() -> None:
    assert (await many(JSON, json=[ORDER | {"version": "1.0"}]))[0]["version"] == "1.0"


async def test_details_are_asked_for_without_an_order() -> None:
    assert await many(JSON, Entry, json=[ENTRY]) == [{"product_key": "P", "device_key": "D", "plan_id": 7}]


async def test_details_take_no_order() -> None:
    assert await many(JSON, Entry, json=[ORDER]) == 5011


@pytest.mark.parametrize(("count", "taken"), [(0, True), (3, True), (4, False)])
async def test_a_list_has_a_largest_size(count: int, taken: bool) -> None:
    assert (await many(JSON, json=[ORDER] * count) == 5011) is not taken


async def test_a_large_list_is_still_read_as_one() -> None:
    """More than a body may otherwise have: it is counted, not cut off."""
    assert await many(JSON, json=[ORDER | {"appointStartTime": 1, "appointEndTime": 2}] * 1000) == 5011


async def test_a_large_list_in_a_form_is_still_read_as_one() -> None:
    assert await many(Call("POST", "form"), data={"list": json.dumps([ORDER] * 1000)}) == 5011

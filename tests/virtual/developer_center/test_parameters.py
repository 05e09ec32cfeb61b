from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ble_ota.virtual.developer_center.parameters import BODY_MAX_BYTES, body, json_object, number, parameters

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def _parameters(request: Request) -> JSONResponse:
    return JSONResponse(dict(await parameters(request)))


async def _json_object(request: Request) -> JSONResponse:
    return JSONResponse(await json_object(request))


async def _four(request: Request) -> JSONResponse:
    return JSONResponse((await body(request, largest=4)).decode())


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    calls = {"/any": _parameters, "/json": _json_object, "/four": _four}
    app = Starlette(routes=[Route(path, call, methods=["POST"]) for path, call in calls.items()])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as http:
        yield http


async def test_parameters_are_taken_from_the_query(http: httpx.AsyncClient) -> None:
    assert (await http.post("/any", params={"pwd": "a+b=="})).json() == {"pwd": "a+b=="}


async def test_parameters_are_taken_from_a_form(http: httpx.AsyncClient) -> None:
    assert (await http.post("/any", data={"pwd": "a+b==", "empty": ""})).json() == {"pwd": "a+b==", "empty": ""}


async def test_the_query_wins_over_the_form(http: httpx.AsyncClient) -> None:
    assert (await http.post("/any", params={"a": "query"}, data={"a": "form"})).json() == {"a": "query"}


async def test_another_body_is_no_form(http: httpx.AsyncClient) -> None:
    assert (await http.post("/any", content=b"a=1", headers={"Content-Type": "text/plain"})).json() == {}


async def test_a_form_that_is_no_text_is_a_bad_request(http: httpx.AsyncClient) -> None:
    assert (await http.post("/any", content=b"\xff=1", headers=FORM)).status_code == 400


async def test_a_body_of_the_largest_size_is_read(http: httpx.AsyncClient) -> None:
    answer = await http.post("/any", content=b"a=" + b"x" * (BODY_MAX_BYTES - 2), headers=FORM)
    assert len(answer.json()["a"]) == BODY_MAX_BYTES - 2


async def test_a_body_over_the_largest_size_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/any", content=b"a=" + b"x" * (BODY_MAX_BYTES - 1), headers=FORM)
    assert answer.status_code == 413


async def test_a_json_object_is_read(http: httpx.AsyncClient) -> None:
    assert (await http.post("/json", json={"a": [1, None]})).json() == {"a": [1, None]}


@pytest.mark.parametrize("content", [b"", b"[]", b"5", b"{", b"\xff", b"[" * 60000, b"1" * 6000])
async def test_what_is_no_json_object_is_a_bad_request(http: httpx.AsyncClient, content: bytes) -> None:
    assert (await http.post("/json", content=content)).status_code == 400


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7),
        ("50", 50),
        ("51", 50),
        (None, 10),
        ("", 10),
        ("0", 10),
        ("-1", 10),
        ("x", 10),
        ("²", 10),
        ("9" * 5000, 10),
    ],
)
def test_a_count_is_read_or_its_default_taken(text: str | None, expected: int) -> None:
    assert number(text, default=10, largest=50) == expected


async def test_a_cap_may_be_another(http: httpx.AsyncClient) -> None:
    assert [(await http.post("/four", content=content)).status_code for content in (b"1234", b"12345")] == [200, 413]

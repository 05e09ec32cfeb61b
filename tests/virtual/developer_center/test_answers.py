from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.requests import Request

from ble_ota.virtual.developer_center.answers import MESSAGES, RefusedError, answered, refused

REQUEST = Request({"type": "http"})


def body(content: bytes | memoryview) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(bytes(content))
    return read


def test_an_answer_has_the_documented_envelope() -> None:
    assert body(answered({"a": 1}).body) == {"code": 200, "msg": "", "data": {"a": 1}, "extMsg": None}


async def test_a_refusal_carries_code_and_words() -> None:
    told = body((await refused(REQUEST, RefusedError(5032))).body)
    assert told == {"code": 5032, "msg": MESSAGES[5032], "data": None, "extMsg": None}


async def test_a_refusal_comes_with_http_status_200() -> None:
    assert (await refused(REQUEST, RefusedError(5032))).status_code == 200


async def test_a_refusal_may_name_what_is_wrong() -> None:
    assert body((await refused(REQUEST, RefusedError(5011, "componentNo"))).body)["msg"].endswith("failed. componentNo")


async def test_any_other_error_stays_one() -> None:
    with pytest.raises(ZeroDivisionError):
        await refused(REQUEST, ZeroDivisionError())

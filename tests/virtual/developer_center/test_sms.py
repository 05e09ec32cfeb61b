from __future__ import annotations

from typing import Any

import pytest

from ble_ota.virtual.developer_center import DeveloperCenter
from tests.virtual.developer_center.conftest import NOW_MS, RANDOM, USER, Caller, signed

TEN_MINUTES_MS = 600_000


def asking(**other: str) -> dict[str, str]:
    """What a request for a code sends; `other` replaces parameters before they are signed."""
    given = {"phone": USER.phone, "codeType": "3", "random": RANDOM, "ts": str(NOW_MS), "internationalCode": "86"}
    given |= {"userDomain": USER.user_domain} | other
    return {"signature": signed(given["phone"], given["codeType"], given["random"], given["ts"])} | given


async def send(stranger: Caller, given: dict[str, str]) -> dict[str, Any]:
    return await stranger.call("POST", "/v2/sms/enduserapi/v2/sendPhoneSmsCode", params=given)


async def test_a_code_can_be_asked_for_without_a_token(stranger: Caller) -> None:
    assert (await send(stranger, asking()))["code"] == 200


@pytest.mark.parametrize(("name", "code"), [("phone", 5021), ("userDomain", 5023), ("signature", 5550)])
async def test_a_missing_field_is_named(stranger: Caller, name: str, code: int) -> None:
    assert (await send(stranger, {k: v for k, v in asking().items() if k != name}))["code"] == code


async def test_another_user_domain_is_told(stranger: Caller) -> None:
    assert (await send(stranger, asking(userDomain="E.SP.1")))["code"] == 5015


@pytest.mark.parametrize("name", ["phone", "codeType", "random", "ts"])
async def test_the_signature_covers_the_field(stranger: Caller, name: str) -> None:
    given = asking()
    assert (await send(stranger, given | {name: given[name][:-1] + "7"}))["code"] == 5420


@pytest.mark.parametrize(("off_ms", "code"), [(0, 200), (1, 5011)])
@pytest.mark.parametrize("sign", [-1, 1])
async def test_the_clocks_must_be_within_ten_minutes(stranger: Caller, off_ms: int, sign: int, code: int) -> None:
    assert (await send(stranger, asking(ts=str(NOW_MS + sign * (TEN_MINUTES_MS + off_ms)))))["code"] == code


@pytest.mark.parametrize("ts", ["", "now", "-1", "²", "9" * 5000, str(NOW_MS // 1000)])
async def test_a_time_that_is_none_is_told(stranger: Caller, ts: str) -> None:
    answer = await send(stranger, asking(ts=ts))
    assert (answer["code"], answer["msg"].endswith(" ts")) == (5011, True)


async def test_every_request_leaves_its_trace(stranger: Caller, center: DeveloperCenter) -> None:
    await send(stranger, asking())
    await send(stranger, asking(phone=""))
    asked = [(r["what"], r["codeType"], r["code"]) for r in center.records()]
    assert asked == [("sms.asked", "3", 200), ("sms.asked", "3", 5021)]

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ble_ota.cloud import Tokens
from ble_ota.errors import ApiError, CloudAnswerError, CloudUnreachableError, TokenRejectedError
from ble_ota.model import Secret
from tests.cloud.conftest import (
    ACCESS,
    ACCESS_TWO,
    EXPIRED,
    NEW_TOKENS,
    NOW_S,
    OK,
    REFRESH,
    REFRESH_TWO,
    TOKENS,
    Center,
    Open,
    Reply,
)

USER = '{"code": 200, "data": {"uid": "U1", "nikeName": "Ann"}}'

LAST_MINUTE = replace(TOKENS, access_expires_s=NOW_S + 59)


async def test_a_call_carries_the_access_token(center: Center, enter: Open) -> None:
    center.says("userInfo", USER)
    await enter().who_am_i()
    assert center.asked[0].token == ACCESS


async def test_a_rejected_token_is_renewed_and_the_call_repeated(center: Center, enter: Open) -> None:
    center.says("userInfo", EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    assert (await enter().who_am_i()).name == "Ann"


async def test_the_repeated_call_carries_the_new_token(center: Center, enter: Open) -> None:
    center.says("userInfo", EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    await enter().who_am_i()
    assert [(a.name, a.token) for a in center.asked] == [
        ("userInfo", ACCESS),
        ("refreshToken", None),
        ("userInfo", ACCESS_TWO),
    ]


async def test_the_refresh_token_is_sent_as_documented(center: Center, enter: Open) -> None:
    center.says("userInfo", EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    await enter().who_am_i()
    assert (center.asked[1].method, center.asked[1].query) == ("PUT", {"refreshToken": REFRESH})


async def test_a_call_that_may_not_be_repeated_is_repeated_after_a_rejected_token(center: Center, enter: Open) -> None:
    center.says("reportUpgradeStatus", EXPIRED, OK)
    center.says("refreshToken", NEW_TOKENS)
    assert await enter().report("p1", "d1", "MAIN", "confirmed") == 2


async def test_a_token_rejected_twice_ends_it(center: Center, enter: Open) -> None:
    center.says("userInfo", EXPIRED)
    center.says("refreshToken", NEW_TOKENS)
    with pytest.raises(TokenRejectedError):
        await enter().who_am_i()
    assert center.names() == ["userInfo", "refreshToken", "userInfo"]


@pytest.mark.parametrize("code", [5032, 5033, 5106, 5115, 9999])
async def test_a_refused_refresh_ends_the_session(center: Center, enter: Open, code: int) -> None:
    center.says("userInfo", EXPIRED)
    center.says("refreshToken", f'{{"code": {code}, "msg": "no"}}')
    with pytest.raises(TokenRejectedError) as ended:
        await enter().who_am_i()
    assert ended.value.code == code


async def test_a_refresh_that_meets_a_fault_does_not_end_the_session(center: Center, enter: Open) -> None:
    center.says("userInfo", EXPIRED)
    center.says("refreshToken", '{"code": 5000, "msg": "service exception"}')
    with pytest.raises(ApiError) as fault:
        await enter().who_am_i()
    assert not isinstance(fault.value, TokenRejectedError)


async def test_a_missing_token_is_not_renewed(center: Center, enter: Open) -> None:
    center.says("userInfo", '{"code": 5106, "msg": "token missing"}')
    with pytest.raises(TokenRejectedError):
        await enter().who_am_i()
    assert center.names() == ["userInfo"]


async def test_without_a_session_nothing_is_renewed(center: Center, enter: Open) -> None:
    center.says("userInfo", EXPIRED)
    with pytest.raises(TokenRejectedError):
        await enter(tokens=None).who_am_i()
    assert center.names() == ["userInfo"]


async def test_a_token_in_its_last_minute_is_renewed_first(center: Center, enter: Open) -> None:
    center.says("userInfo", USER)
    center.says("refreshToken", NEW_TOKENS)
    await enter(tokens=LAST_MINUTE).who_am_i()
    assert [(a.name, a.token) for a in center.asked] == [("refreshToken", None), ("userInfo", ACCESS_TWO)]


async def test_a_token_with_a_minute_left_is_used(center: Center, enter: Open) -> None:
    center.says("userInfo", USER)
    await enter(tokens=replace(TOKENS, access_expires_s=NOW_S + 60)).who_am_i()
    assert center.names() == ["userInfo"]


async def test_a_wrong_clock_does_not_renew_before_every_call(center: Center, enter: Open) -> None:
    center.says("userInfo", USER)
    center.says("refreshToken", NEW_TOKENS)
    client = enter(clock=lambda: NOW_S + 10**8)
    await client.who_am_i()
    await client.who_am_i()
    assert center.names() == ["refreshToken", "userInfo", "userInfo"]


async def test_calls_at_the_same_time_renew_once(center: Center, enter: Open) -> None:
    gate = asyncio.Event()
    center.says("userInfo", EXPIRED, EXPIRED, EXPIRED, USER)
    center.says("refreshToken", Reply(NEW_TOKENS, gate=gate))
    client = enter()
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(client.who_am_i()) for _ in range(3)]
        await center.until_asked(4)  # three calls and a refresh
        gate.set()
    assert [call.result().name for call in calls] == ["Ann"] * 3
    assert center.names().count("refreshToken") == 1


async def test_calls_in_the_last_minute_renew_once(center: Center, enter: Open) -> None:
    gate = asyncio.Event()
    center.says("userInfo", USER)
    center.says("refreshToken", Reply(NEW_TOKENS, gate=gate))
    client = enter(tokens=LAST_MINUTE)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(client.who_am_i())
        await center.until_asked(1)
        gate.set()
    assert center.names() == ["refreshToken", *["userInfo"] * 3]


async def test_new_tokens_are_told(center: Center, enter: Open) -> None:
    heard: list[Tokens] = []
    center.says("userInfo", EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    await enter(on_tokens=heard.append).who_am_i()
    assert heard == [Tokens(Secret(ACCESS_TWO), 1744787786, Secret(REFRESH_TWO), 1747372586)]


async def test_new_tokens_are_kept(center: Center, enter: Open) -> None:
    heard: list[Tokens] = []
    center.says("userInfo", EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    client = enter(on_tokens=heard.append)
    await client.who_am_i()
    assert client.tokens == heard[0]


async def test_a_refresh_without_tokens_in_it_is_named(center: Center, enter: Open) -> None:
    center.says("userInfo", EXPIRED)
    center.says("refreshToken", OK)
    with pytest.raises(CloudAnswerError, match="renewing the session"):
        await enter().who_am_i()


async def test_a_refresh_without_tokens_in_it_keeps_the_old_ones(center: Center, enter: Open) -> None:
    center.says("userInfo", EXPIRED)
    center.says("refreshToken", OK)
    client = enter()
    with pytest.raises(CloudAnswerError):
        await client.who_am_i()
    assert client.tokens == TOKENS


async def test_logging_out_tells_the_server(center: Center, enter: Open) -> None:
    center.says("userLogout", OK)
    await enter().logout()
    assert [(a.method, a.name, a.token) for a in center.asked] == [("DELETE", "userLogout", ACCESS)]


async def test_logging_out_forgets_the_tokens(center: Center, enter: Open) -> None:
    center.says("userLogout", OK)
    client = enter()
    await client.logout()
    assert client.tokens is None


async def test_logging_out_of_a_session_that_is_over_is_no_error(center: Center, enter: Open) -> None:
    center.says("userLogout", EXPIRED)
    await enter().logout()
    assert center.names() == ["userLogout"]


@pytest.mark.looptime
async def test_tokens_are_forgotten_even_if_the_server_does_not_answer(center: Center, enter: Open) -> None:
    center.says("userLogout", Reply(OK, gate=asyncio.Event()))
    client = enter()
    with pytest.raises(CloudUnreachableError):
        async with asyncio.timeout(60):
            await client.logout()
    assert client.tokens is None


async def test_logging_out_without_a_session_sends_nothing(center: Center, enter: Open) -> None:
    await enter(tokens=None).logout()
    assert center.asked == []


async def test_a_call_does_not_bring_back_a_session_that_was_logged_out(center: Center, enter: Open) -> None:
    gate = asyncio.Event()
    center.says("userInfo", Reply(EXPIRED, gate=gate))
    center.says("userLogout", OK)
    client = enter()
    call = asyncio.create_task(client.who_am_i())
    await center.until_asked(1)
    await client.logout()
    gate.set()
    with pytest.raises(TokenRejectedError):
        await call
    assert client.tokens is None

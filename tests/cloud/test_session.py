from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from ble_ota.cloud import Tokens, session
from ble_ota.cloud.session import MemoryTokens
from ble_ota.errors import (
    AccountLockedError,
    ApiError,
    CloudAnswerError,
    CloudUnreachableError,
    StorageError,
    TokenRejectedError,
)
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
NEW = Tokens(Secret(ACCESS_TWO), 1744787786, Secret(REFRESH_TWO), 1747372586)
OTHERS = Tokens(Secret("Bearer others"), NOW_S + 7200, Secret("Bearer others-refresh"), NOW_S + 2_592_000)
REFUSED = '{"code": 5032, "msg": "refused"}'


class Shelf(MemoryTokens):
    """A store that other processes use as well, and that may refuse."""

    def __init__(self, tokens: Tokens | None = TOKENS) -> None:
        super().__init__(tokens)
        self.held = 0
        self.refuses: set[str] = set()
        self.threads: set[int] = set()

    def load(self) -> Tokens | None:
        self._may("load")
        return super().load()

    def save(self, tokens: Tokens) -> None:
        self._may("save")
        super().save(tokens)

    def drop(self) -> None:
        self._may("drop")
        super().drop()

    @asynccontextmanager
    async def only_one(self) -> AsyncGenerator[None, None]:
        async with super().only_one():
            self.held += 1
            yield

    def _may(self, what: str) -> None:
        self.threads.add(threading.get_ident())
        if what in self.refuses:
            raise StorageError(what)


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


@pytest.mark.parametrize(("code", "wait"), [(5147, "20 minutes"), (5148, "20 minutes"), (5325, "24 hours")])
async def test_a_refresh_that_is_answered_with_a_lock_says_so_and_not_to_log_in(
    center: Center, enter: Open, code: int, wait: str
) -> None:
    center.says("userInfo", EXPIRED)
    center.says("refreshToken", f'{{"code": {code}, "msg": "no"}}')
    with pytest.raises(AccountLockedError) as locked:
        await enter().who_am_i()
    assert (locked.value.code, wait in locked.value.hint, "login" in locked.value.hint) == (code, True, False)


@pytest.mark.parametrize(("code", "lasts_s"), [(5147, 1200.0), (5325, 86400.0)])
async def test_while_a_lock_lasts_no_refresh_is_sent(center: Center, enter: Open, code: int, lasts_s: float) -> None:
    now = [NOW_S]
    center.says("userInfo", USER)
    center.says("refreshToken", f'{{"code": {code}, "msg": "no"}}', NEW_TOKENS)
    client = enter(tokens=Shelf(LAST_MINUTE), clock=lambda: now[0])
    for now[0] in (NOW_S, NOW_S + lasts_s - 1):
        with pytest.raises(AccountLockedError, match=str(code)):
            await client.who_am_i()
    assert center.names() == ["refreshToken"]
    now[0] = NOW_S + lasts_s
    assert (await client.who_am_i()).name == "Ann"


@pytest.mark.parametrize("code", [5104, 5420, 6084])
async def test_a_refusal_that_no_login_mends_does_not_ask_for_one(center: Center, enter: Open, code: int) -> None:
    center.says("userInfo", EXPIRED)
    center.says("refreshToken", f'{{"code": {code}, "msg": "no"}}')
    with pytest.raises(ApiError, match=str(code)) as refused:
        await enter().who_am_i()
    assert not isinstance(refused.value, TokenRejectedError)


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


async def test_a_clock_that_was_set_right_counts_again(center: Center, enter: Open) -> None:
    """Wrong, right, right: the pair that came with the right clock is renewed before it ends, as ever."""
    now = [NOW_S + 10**8]
    center.says("userInfo", USER, EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    client = enter(clock=lambda: now[0])
    for now_s in (NOW_S + 10**8, NOW_S, NEW.access_expires_s - 59):
        now[0] = now_s
        await client.who_am_i()
    assert center.names() == [
        *("refreshToken", "userInfo"),
        *("userInfo", "refreshToken", "userInfo"),
        *("refreshToken", "userInfo"),
    ]


async def test_a_refresh_that_is_cancelled_leaves_the_next_call_free_to_renew(center: Center, enter: Open) -> None:
    center.says("userInfo", EXPIRED, EXPIRED, USER)
    center.says("refreshToken", Reply(NEW_TOKENS, gate=asyncio.Event()), NEW_TOKENS)
    client = enter()
    call = asyncio.create_task(client.who_am_i())
    await center.until_asked(2)
    call.cancel()
    await asyncio.wait([call])
    assert (await client.who_am_i()).name == "Ann"
    assert client.tokens == NEW


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


async def test_new_tokens_are_kept(center: Center, enter: Open) -> None:
    store = MemoryTokens(TOKENS)
    center.says("userInfo", EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    client = enter(tokens=store)
    await client.who_am_i()
    assert client.tokens == store.load() == NEW


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


# ------------------------------------------------------------------ shared with others


async def test_a_pair_that_another_process_has_renewed_is_used(center: Center, enter: Open) -> None:
    shelf = Shelf(LAST_MINUTE)
    center.says("userInfo", USER)
    client = enter(tokens=shelf)
    MemoryTokens.save(shelf, OTHERS)
    await client.who_am_i()
    assert [(a.name, a.token) for a in center.asked] == [("userInfo", "Bearer others")]


async def test_a_refused_token_gives_way_to_a_newer_one_that_is_kept(center: Center, enter: Open) -> None:
    shelf = Shelf()
    center.says("userInfo", EXPIRED, USER)
    client = enter(tokens=shelf)
    MemoryTokens.save(shelf, OTHERS)
    await client.who_am_i()
    assert [(a.name, a.token) for a in center.asked] == [("userInfo", ACCESS), ("userInfo", "Bearer others")]


async def test_a_newer_pair_that_is_refused_too_is_renewed_once(center: Center, enter: Open) -> None:
    shelf = Shelf()
    center.says("userInfo", EXPIRED, EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    client = enter(tokens=shelf)
    MemoryTokens.save(shelf, OTHERS)
    await client.who_am_i()
    assert center.names() == ["userInfo", "userInfo", "refreshToken", "userInfo"]
    assert center.asked[2].query == {"refreshToken": "Bearer others-refresh"}


async def test_it_ends_when_all_pairs_are_refused(center: Center, enter: Open) -> None:
    shelf = Shelf()
    center.says("userInfo", EXPIRED)
    center.says("refreshToken", NEW_TOKENS)
    client = enter(tokens=shelf)
    MemoryTokens.save(shelf, OTHERS)
    with pytest.raises(TokenRejectedError):
        await client.who_am_i()
    assert center.names() == ["userInfo", "userInfo", "refreshToken", "userInfo"]


async def test_a_kept_pair_in_its_last_minute_is_renewed_and_not_used(center: Center, enter: Open) -> None:
    shelf = Shelf(LAST_MINUTE)
    center.says("userInfo", USER)
    center.says("refreshToken", NEW_TOKENS)
    client = enter(tokens=shelf)
    MemoryTokens.save(shelf, replace(OTHERS, access_expires_s=NOW_S + 59))
    await client.who_am_i()
    assert center.names() == ["refreshToken", "userInfo"]
    assert center.asked[0].query == {"refreshToken": "Bearer others-refresh"}


async def test_a_kept_pair_is_used_where_the_clock_is_wrong(center: Center, enter: Open) -> None:
    shelf = Shelf()
    center.says("userInfo", USER, EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    client = enter(tokens=shelf, clock=lambda: NOW_S + 10**8)
    await client.who_am_i()
    MemoryTokens.save(shelf, OTHERS)
    await client.who_am_i()
    assert center.names() == ["refreshToken", "userInfo", "userInfo", "userInfo"]


async def test_two_clients_of_one_store_renew_once(center: Center, enter: Open) -> None:
    gate = asyncio.Event()
    shelf = Shelf(LAST_MINUTE)
    center.says("userInfo", USER)
    center.says("refreshToken", Reply(NEW_TOKENS, gate=gate))
    async with asyncio.TaskGroup() as group:
        for client in (enter(tokens=shelf), enter(tokens=shelf)):
            group.create_task(client.who_am_i())
        await center.until_asked(1)
        gate.set()
    assert center.names() == ["refreshToken", "userInfo", "userInfo"]


async def test_a_session_that_another_process_ended_is_over(center: Center, enter: Open) -> None:
    shelf = Shelf(LAST_MINUTE)
    client = enter(tokens=shelf)
    MemoryTokens.drop(shelf)
    with pytest.raises(TokenRejectedError, match="ended meanwhile") as over:
        await client.who_am_i()
    assert (center.asked, client.tokens, over.value.code, over.value.reason) == ([], None, 5032, "token_rejected")
    assert "ble-ota login" in over.value.hint


async def test_a_session_that_ends_during_its_refresh_is_not_brought_back(center: Center, enter: Open) -> None:
    gate, shelf = asyncio.Event(), Shelf(LAST_MINUTE)
    center.says("refreshToken", Reply(NEW_TOKENS, gate=gate))
    client = enter(tokens=shelf)
    call = asyncio.create_task(client.who_am_i())
    await center.until_asked(1)
    MemoryTokens.drop(shelf)
    gate.set()
    with pytest.raises(TokenRejectedError, match="ended meanwhile"):
        await call
    assert (shelf.load(), client.tokens) == (None, None)


async def test_a_refused_refresh_gives_way_to_a_pair_somebody_kept_meanwhile(center: Center, enter: Open) -> None:
    gate, shelf = asyncio.Event(), Shelf(LAST_MINUTE)
    center.says("userInfo", USER)
    center.says("refreshToken", Reply(REFUSED, gate=gate))
    call = asyncio.create_task(enter(tokens=shelf).who_am_i())
    await center.until_asked(1)
    MemoryTokens.save(shelf, OTHERS)
    gate.set()
    await call
    assert center.asked[-1].token == "Bearer others"


async def test_a_refused_refresh_says_that_sessions_belong_to_one_cloud(center: Center, enter: Open) -> None:
    center.says("userInfo", EXPIRED)
    center.says("refreshToken", REFUSED)
    with pytest.raises(TokenRejectedError) as refused:
        await enter().who_am_i()
    assert "one `--cloud`" in refused.value.hint


async def test_logging_out_ends_the_pair_that_is_kept(center: Center, enter: Open) -> None:
    shelf = Shelf()
    center.says("userLogout", OK)
    client = enter(tokens=shelf)
    MemoryTokens.save(shelf, OTHERS)
    await client.logout()
    assert (center.asked[0].token, shelf.load()) == ("Bearer others", None)


async def test_logging_in_and_out_and_renewing_wait_for_the_others(center: Center, enter: Open) -> None:
    shelf = Shelf(LAST_MINUTE)
    center.says("emailPwdLogin", NEW_TOKENS)
    center.says("refreshToken", NEW_TOKENS)
    for name in ("userInfo", "userLogout"):
        center.says(name, USER)
    client = enter(tokens=shelf)
    await client.who_am_i()
    await client.login_by_email("ann@example.com", Secret("china1234"))
    await client.logout()
    assert shelf.held == 3


async def test_a_login_is_kept(center: Center, enter: Open) -> None:
    shelf = Shelf(None)
    center.says("emailPwdLogin", NEW_TOKENS)
    await enter(tokens=shelf).login_by_email("ann@example.com", Secret("china1234"))
    assert shelf.load() == NEW


async def test_a_login_that_cannot_be_kept_is_an_error(center: Center, enter: Open) -> None:
    shelf = Shelf(None)
    center.says("emailPwdLogin", NEW_TOKENS)
    shelf.refuses = {"save"}
    with pytest.raises(StorageError):
        await enter(tokens=shelf).login_by_email("ann@example.com", Secret("china1234"))


@pytest.mark.parametrize("refused", [0, 1])
async def test_after_a_login_that_is_kept_the_store_has_the_last_word(
    center: Center, enter: Open, refused: int
) -> None:
    """Also after one that could not be kept."""
    shelf = Shelf(None)
    center.says("emailPwdLogin", NEW_TOKENS)
    center.says("userInfo", EXPIRED, USER)
    client = enter(tokens=shelf)
    shelf.refuses = {"save"}
    for _ in range(refused):
        with pytest.raises(StorageError):
            await client.login_by_email("ann@example.com", Secret("china1234"))
    shelf.refuses = set()
    await client.login_by_email("ann@example.com", Secret("china1234"))
    MemoryTokens.save(shelf, OTHERS)
    await client.who_am_i()
    assert center.asked[-1].token == "Bearer others"
    assert "refreshToken" not in center.names()


@pytest.mark.parametrize("refuses", [{"save"}, {"load"}, {"load", "save"}])
async def test_a_store_that_refuses_does_not_end_a_call(center: Center, enter: Open, refuses: set[str]) -> None:
    shelf = Shelf()
    center.says("userInfo", EXPIRED, USER, EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS, NEW_TOKENS.replace("two", "three"))
    client = enter(tokens=shelf)
    shelf.refuses = refuses
    await client.who_am_i()
    await client.who_am_i()
    assert [a.query for a in center.asked if a.name == "refreshToken"] == [
        {"refreshToken": REFRESH},
        {"refreshToken": REFRESH_TWO},  # not the older one, which is still kept
    ]


async def test_a_store_that_takes_tokens_again_has_the_last_word(center: Center, enter: Open) -> None:
    shelf = Shelf()
    center.says("userInfo", EXPIRED, USER, EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS, NEW_TOKENS.replace("two", "three"))
    client = enter(tokens=shelf)
    shelf.refuses = {"save"}
    await client.who_am_i()
    shelf.refuses = set()
    await client.who_am_i()
    assert shelf.load() == client.tokens != NEW


async def test_a_logout_that_is_not_forgotten_is_an_error_and_can_be_repeated(center: Center, enter: Open) -> None:
    shelf = Shelf()
    center.says("userLogout", OK)
    client = enter(tokens=shelf)
    shelf.refuses = {"drop"}
    with pytest.raises(StorageError):
        await client.logout()
    shelf.refuses = set()
    await client.logout()
    assert center.names() == ["userLogout"]


async def test_the_store_is_used_off_the_loop(center: Center, enter: Open) -> None:
    shelf = Shelf()
    center.says("userInfo", EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    center.says("userLogout", OK)
    client = enter(tokens=shelf)
    shelf.threads.clear()
    await client.who_am_i()
    await client.logout()
    assert shelf.threads
    assert threading.get_ident() not in shelf.threads


async def test_new_tokens_are_kept_even_if_the_call_is_cancelled(center: Center, enter: Open) -> None:
    class Slow(Shelf):
        saving, go_on = threading.Event(), threading.Event()

        def save(self, tokens: Tokens) -> None:
            self.saving.set()
            self.go_on.wait(10)
            super().save(tokens)

    shelf = Slow()
    center.says("userInfo", EXPIRED)
    center.says("refreshToken", NEW_TOKENS)
    call = asyncio.create_task(enter(tokens=shelf).who_am_i())
    await asyncio.to_thread(shelf.saving.wait, 10)
    call.cancel()
    _, waits = await asyncio.wait([call], timeout=0.1)
    shelf.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert waits
    assert shelf.load() == NEW


async def test_tokens_stand_in_no_log_of_a_store_that_refuses(
    center: Center, enter: Open, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf()
    caplog.set_level(0)
    center.says("userInfo", EXPIRED, USER)
    center.says("refreshToken", NEW_TOKENS)
    client = enter(tokens=shelf)
    shelf.refuses = {"load", "save"}
    await client.who_am_i()
    assert "is not kept" in caplog.text
    assert "Bearer" not in caplog.text


async def test_a_store_that_hangs_does_not_keep_a_cancelled_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "KEPT_S", 0.05)
    gate = threading.Event()
    task = asyncio.ensure_future(session.off_loop(gate.wait))
    await asyncio.sleep(0.05)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=10)
    gate.set()
    assert done == {task}
    assert task.cancelled()

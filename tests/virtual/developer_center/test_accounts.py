from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ble_ota.virtual.developer_center import DeveloperCenter, Lifetimes
from ble_ota.virtual.developer_center.state import LOCK_S
from ble_ota.virtual.world import World
from tests.virtual.developer_center.conftest import ENDUSER, NOW, USER, Caller, Clock, by_email, by_phone, encrypted


async def user_info(caller: Caller) -> int:
    return int((await caller.call("GET", f"{ENDUSER}/userInfo"))["code"])


async def refresh(caller: Caller, token: str) -> dict[str, Any]:
    return await caller.call("PUT", f"{ENDUSER}/refreshToken", params={"refreshToken": token})


async def test_a_login_by_email_opens_the_account(stranger: Caller) -> None:
    await stranger.login()
    assert (await stranger.call("GET", f"{ENDUSER}/userInfo"))["data"]["email"] == USER.email


async def test_a_login_by_phone_opens_the_account(stranger: Caller) -> None:
    assert (await stranger.login(by_phone(), "phone"))["code"] == 200


async def test_a_login_in_a_form_is_accepted(stranger: Caller) -> None:
    assert (await stranger.call("POST", f"{ENDUSER}/emailPwdLogin", data=by_email()))["code"] == 200


async def test_a_missing_country_code_is_the_domestic_one(stranger: Caller) -> None:
    assert (await stranger.login(by_phone(internationalCode=""), "phone"))["code"] == 200


async def test_another_country_code_is_another_phone(stranger: Caller) -> None:
    assert (await stranger.login(by_phone(internationalCode="44"), "phone"))["code"] == 5004


async def test_a_login_needs_no_random(stranger: Caller) -> None:
    given = by_email(random="", pwd=encrypted(USER.password, ""))
    del given["random"]
    assert (await stranger.login(given))["code"] == 200


async def test_tokens_begin_with_bearer(caller: Caller) -> None:
    assert all(token["token"].startswith("Bearer ") for token in caller.tokens.values())


async def test_the_access_token_lasts_two_hours(caller: Caller) -> None:
    assert caller.tokens["accessToken"]["expirationTime"] == NOW + 7200


async def test_the_refresh_token_lasts_thirty_days(caller: Caller) -> None:
    assert caller.tokens["refreshToken"]["expirationTime"] == NOW + 2_592_000


@pytest.mark.parametrize(("name", "code"), [("email", 5026), ("pwd", 5022), ("userDomain", 5023), ("signature", 5550)])
async def test_a_missing_field_of_the_email_login_is_named(stranger: Caller, name: str, code: int) -> None:
    assert (await stranger.login({k: v for k, v in by_email().items() if k != name}))["code"] == code


async def test_a_missing_phone_is_named(stranger: Caller) -> None:
    assert (await stranger.login(by_phone(phone=""), "phone"))["code"] == 5021


@pytest.mark.parametrize(
    ("other", "code"),
    [
        pytest.param({"email": "nobody"}, 5040, id="not an email"),
        pytest.param({"userDomain": "E.SP.1"}, 5015, id="another user domain"),
        pytest.param({"signature": "0" * 64}, 5420, id="wrong signature"),
        pytest.param({"email": "nobody@example.com"}, 5031, id="unknown email"),
        pytest.param({"pwd": encrypted("short")}, 5056, id="5 letters"),
        pytest.param({"pwd": encrypted("x" * 21)}, 5056, id="21 letters"),
        pytest.param({"pwd": encrypted("wrong-one")}, 5586, id="wrong password"),
        pytest.param({"pwd": "AAAA"}, 5586, id="not encrypted"),
    ],
)
async def test_a_wrong_login_is_told_by_its_code(stranger: Caller, other: dict[str, str], code: int) -> None:
    assert (await stranger.login(by_email(**other)))["code"] == code


async def test_an_unknown_phone_is_told(stranger: Caller) -> None:
    assert (await stranger.login(by_phone(phone="17000000009"), "phone"))["code"] == 5004


async def test_the_phone_signature_covers_the_country_code(stranger: Caller) -> None:
    assert (await stranger.login(by_phone() | {"internationalCode": "8"}, "phone"))["code"] == 5420


async def test_the_email_signature_covers_the_random(stranger: Caller) -> None:
    assert (await stranger.login(by_email() | {"random": "ponmlkjihgfedcba"}))["code"] == 5420


async def test_wrong_passwords_by_email_count_down_to_the_lock(stranger: Caller) -> None:
    codes = [(await stranger.login(by_email("wrong-one")))["code"] for _ in range(5)]
    assert codes == [5586, 5585, 5584, 5583, 5147]


async def test_wrong_passwords_by_phone_count_down_to_the_lock(stranger: Caller) -> None:
    codes = [(await stranger.login(by_phone("wrong-one"), "phone"))["code"] for _ in range(5)]
    assert codes == [5582, 5581, 5580, 5579, 5147]


async def lock(caller: Caller) -> None:
    for _ in range(5):
        await caller.login(by_email("wrong-one"))


async def test_a_locked_account_refuses_the_right_password(stranger: Caller, clock: Clock) -> None:
    await lock(stranger)
    clock.now += 20 * 60 - 1
    assert (await stranger.login())["code"] == 5147


async def test_a_locked_account_opens_after_20_minutes(stranger: Caller, clock: Clock) -> None:
    await lock(stranger)
    clock.now += 20 * 60
    assert (await stranger.login())["code"] == 200


async def test_attempts_while_locked_do_not_lock_longer(stranger: Caller, clock: Clock) -> None:
    await lock(stranger)
    clock.now += LOCK_S - 1
    await lock(stranger)
    clock.now += 1
    assert (await stranger.login())["code"] == 200


async def test_after_a_lock_there_are_four_attempts_left_again(stranger: Caller, clock: Clock) -> None:
    await lock(stranger)
    clock.now += LOCK_S
    assert (await stranger.login(by_email("wrong-one")))["code"] == 5586


async def test_a_login_gives_all_attempts_back(stranger: Caller) -> None:
    await stranger.login(by_email("wrong-one"))
    await stranger.login()
    assert (await stranger.login(by_email("wrong-one")))["code"] == 5586


async def test_a_wrong_signature_costs_no_attempt(stranger: Caller) -> None:
    await stranger.login(by_email("wrong-one", signature="0" * 64))
    assert (await stranger.login(by_email("wrong-one")))["code"] == 5586


async def test_a_lock_survives_a_restart(
    stranger: Caller, world: World, clock: Clock, caller_of: Callable[[DeveloperCenter], Caller]
) -> None:
    await lock(stranger)
    assert (await caller_of(DeveloperCenter(world, clock=clock)).login())["code"] == 5147


async def test_no_token_is_5106(stranger: Caller) -> None:
    assert await user_info(stranger) == 5106


@pytest.mark.parametrize("token", ["Bearer nonsense", "Bearer ", "nonsense"])
async def test_an_unknown_token_is_5032(stranger: Caller, token: str) -> None:
    stranger.http.headers["Authorization"] = token
    assert await user_info(stranger) == 5032


async def test_a_token_without_bearer_is_5032(caller: Caller) -> None:
    caller.http.headers["Authorization"] = caller.tokens["accessToken"]["token"].removeprefix("Bearer ")
    assert await user_info(caller) == 5032


async def test_a_refresh_token_opens_no_call(caller: Caller) -> None:
    caller.http.headers["Authorization"] = caller.tokens["refreshToken"]["token"]
    assert await user_info(caller) == 5032


async def test_a_download_link_opens_no_call(caller: Caller, link: str) -> None:
    caller.http.headers["Authorization"] = "Bearer " + link.split("/")[4]
    assert await user_info(caller) == 5032


async def test_an_expired_access_token_is_5032(caller: Caller, clock: Clock) -> None:
    clock.now += 7200
    assert await user_info(caller) == 5032


async def test_lifetimes_can_be_set(world: World, clock: Clock, caller_of: Callable[[DeveloperCenter], Caller]) -> None:
    caller = caller_of(DeveloperCenter(world, clock=clock, lifetimes=Lifetimes(access_s=5, refresh_s=9)))
    await caller.login()
    assert [token["expirationTime"] - NOW for token in caller.tokens.values()] == [5, 9]


async def test_a_refresh_gives_a_token_for_two_more_hours(caller: Caller, clock: Clock) -> None:
    clock.now += 8000
    tokens = (await refresh(caller, caller.tokens["refreshToken"]["token"]))["data"]
    caller.http.headers["Authorization"] = tokens["accessToken"]["token"]
    clock.now += 7199
    assert await user_info(caller) == 200


async def test_a_missing_refresh_token_is_5115(caller: Caller) -> None:
    assert (await refresh(caller, ""))["code"] == 5115


async def test_an_expired_refresh_token_is_5032(caller: Caller, clock: Clock) -> None:
    clock.now += 2_592_000
    assert (await refresh(caller, caller.tokens["refreshToken"]["token"]))["code"] == 5032


async def test_an_access_token_does_not_refresh(caller: Caller) -> None:
    assert (await refresh(caller, caller.tokens["accessToken"]["token"]))["code"] == 5032


async def test_a_logout_ends_the_access_token(caller: Caller) -> None:
    await caller.call("DELETE", f"{ENDUSER}/userLogout")
    assert await user_info(caller) == 5032


async def test_a_logout_ends_the_refresh_token(caller: Caller) -> None:
    await caller.call("DELETE", f"{ENDUSER}/userLogout")
    assert (await refresh(caller, caller.tokens["refreshToken"]["token"]))["code"] == 5032


async def test_a_logout_leaves_other_sessions(caller: Caller) -> None:
    first = caller.tokens["accessToken"]["token"]
    await caller.login()
    await caller.call("DELETE", f"{ENDUSER}/userLogout")
    caller.http.headers["Authorization"] = first
    assert await user_info(caller) == 200


async def test_a_token_survives_a_restart(
    caller: Caller, world: World, clock: Clock, caller_of: Callable[[DeveloperCenter], Caller]
) -> None:
    later = caller_of(DeveloperCenter(world, clock=clock))
    later.http.headers["Authorization"] = caller.tokens["accessToken"]["token"]
    assert await user_info(later) == 200


async def test_what_happens_to_the_account_is_recorded(caller: Caller, center: DeveloperCenter) -> None:
    await refresh(caller, caller.tokens["refreshToken"]["token"])
    await caller.call("DELETE", f"{ENDUSER}/userLogout")
    await caller.login(by_email("wrong-one"))
    assert [r["what"] for r in center.records()] == ["login", "refresh", "logout", "login.refused"]


async def block(stranger: Caller, clock: Clock) -> None:
    """Freeze the account three times, one right after the other."""
    for _ in range(3):
        await lock(stranger)
        clock.now += LOCK_S


async def test_three_freezes_block_the_account(stranger: Caller, clock: Clock) -> None:
    await block(stranger, clock)
    assert (await stranger.login())["code"] == 5325


async def test_a_block_ends_a_day_after_the_last_freeze(stranger: Caller, clock: Clock) -> None:
    await block(stranger, clock)
    clock.now += 86_400 - LOCK_S - 1
    assert (await stranger.login())["code"] == 5325
    clock.now += 1
    assert (await stranger.login())["code"] == 200


async def test_a_block_counts_no_attempts(stranger: Caller, clock: Clock) -> None:
    await block(stranger, clock)
    await lock(stranger)
    clock.now += 86_400 - LOCK_S
    assert (await stranger.login(by_email("wrong-one")))["code"] == 5586

from __future__ import annotations

import pytest

from ble_ota.cloud.codes import CODES, LOCKED_S, api_error, ends_session
from ble_ota.errors import AccountLockedError, ApiError, LoginRefusedError, TokenRejectedError

# Every code of the vendor's pages that this package can meet, and what a person has to be told.
TABLE = [
    (5000, ApiError, "later"),
    (5013, ApiError, "user_domain"),
    (5015, ApiError, "user_domain"),
    (5022, LoginRefusedError, "password"),
    (5023, ApiError, "user_domain"),
    (5026, LoginRefusedError, "e-mail"),
    (5028, LoginRefusedError, "before you try again"),
    (5031, LoginRefusedError, "e-mail"),
    (5032, TokenRejectedError, "ble-ota login"),
    (5033, LoginRefusedError, "name"),
    (5040, LoginRefusedError, "e-mail"),
    (5041, ApiError, "bound to this account"),
    (5047, ApiError, "bound to this account"),
    (5052, ApiError, "Bind the device"),
    (5056, LoginRefusedError, "6 to 20"),
    (5066, ApiError, "field names"),
    (5067, ApiError, "field names"),
    (5104, ApiError, "Enable the app"),
    (5106, TokenRejectedError, "ble-ota login"),
    (5115, TokenRejectedError, "ble-ota login"),
    (5141, ApiError, "bound to this account"),
    (5147, AccountLockedError, "20 minutes"),
    (5148, AccountLockedError, "20 minutes"),
    (5325, AccountLockedError, "24 hours"),
    (5327, ApiError, "right to this product"),
    (5358, ApiError, "right to this product"),
    (5420, ApiError, "user_domain_secret"),
    (5550, ApiError, "signature"),
    (5579, LoginRefusedError, "1 more attempt before"),
    (5580, LoginRefusedError, "2 more attempts"),
    (5581, LoginRefusedError, "3 more attempts"),
    (5582, LoginRefusedError, "4 more attempts"),
    (5583, LoginRefusedError, "1 more attempt before"),
    (5584, LoginRefusedError, "2 more attempts"),
    (5585, LoginRefusedError, "3 more attempts"),
    (5586, LoginRefusedError, "4 more attempts"),
    (6084, ApiError, "--cloud"),
    (6085, ApiError, "--cloud"),
]


@pytest.mark.parametrize(("code", "error", "hint"), TABLE)
def test_a_code_becomes_its_error(code: int, error: type[ApiError], hint: str) -> None:
    assert type(api_error(code, "no", doing="trying")) is error


@pytest.mark.parametrize(("code", "error", "hint"), TABLE)
def test_a_code_has_its_hint(code: int, error: type[ApiError], hint: str) -> None:
    assert hint in api_error(code, "no", doing="trying").hint


def test_the_table_holds_no_other_codes() -> None:
    assert set(CODES) == {row[0] for row in TABLE}


def test_the_sentence_says_what_was_tried_the_code_and_the_servers_words() -> None:
    sentence = str(api_error(5041, "no permission!", doing="asking for the plan"))
    assert sentence == "asking for the plan: the Developer Center answered 5041: no permission!"


def test_the_code_is_a_fact_of_the_error() -> None:
    assert api_error(5041, "", doing="trying").code == 5041


def test_a_code_without_words_gets_ours() -> None:
    assert str(api_error(5052, " \n", doing="trying")).endswith("5052: device not bound")


def test_an_unknown_code_is_an_error_all_the_same() -> None:
    assert type(api_error(9999, "odd", doing="trying")) is ApiError


def test_an_unknown_code_says_where_to_look() -> None:
    assert "error list" in api_error(9999, "odd", doing="trying").hint


def test_the_servers_words_are_cleaned() -> None:
    assert "a [31m b" in str(api_error(9999, "a\n\x1b[31m b", doing="trying"))


def test_the_servers_words_are_cut() -> None:
    assert len(str(api_error(9999, "x" * 5000, doing=""))) < 260


@pytest.mark.parametrize("code", [*CODES, 9999])
def test_a_refused_refresh_ends_the_session_where_a_login_would_help(code: int) -> None:
    kind = CODES[code].error if code in CODES else TokenRejectedError
    assert ends_session(code) is issubclass(kind, TokenRejectedError | LoginRefusedError)


def test_every_lock_has_the_time_that_its_hint_names() -> None:
    assert {c for c, meaning in CODES.items() if meaning.error is AccountLockedError} == set(LOCKED_S)
    for code, lasts_s in LOCKED_S.items():
        wait = f"{lasts_s / 3600:g} hours" if lasts_s > 3600 else f"{lasts_s / 60:g} minutes"
        assert f"Wait {wait}" in api_error(code, "", doing="trying").hint

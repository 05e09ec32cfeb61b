from __future__ import annotations

from datetime import UTC, datetime

import pytest

from firmware_cache import ContentError, DownloadError, Limits, LinkExpiredError
from firmware_cache.patience import Patience, retry_after

LIMITS = Limits(attempts=3, pause_s=2.0, pause_max_s=60.0)
PASSING = DownloadError("down", url="", transient=True)
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def judged(*kept: int, error: Exception = PASSING, limits: Limits = LIMITS) -> list[bool | float]:
    """What is said after each attempt, by what was there in the beginning and then after each."""
    at = iter(kept)
    patience = Patience(limits, lambda: next(at))
    return [patience(error) for _ in kept[1:]]


def test_attempts_that_bring_nothing_count() -> None:
    assert [bool(one) for one in judged(0, 0, 0, 0)] == [True, True, False]


def test_what_was_there_in_the_beginning_is_no_progress() -> None:
    assert [bool(one) for one in judged(5, 5, 5, 5)] == [True, True, False]


def steps(*kept: int) -> list[int]:
    """The pauses between attempts as multiples of the first one, without the share of it that chance adds."""
    limits = Limits(attempts=6, pause_s=2.0, pause_max_s=18.0)
    return [int(pause // limits.pause_s) for pause in judged(*kept, limits=limits)]


def test_pauses_double_while_nothing_comes_up_to_the_longest() -> None:
    assert steps(0, 0, 0, 0, 0, 0) == [1, 2, 4, 8, 9]


def test_after_progress_pauses_grow_from_the_first_one_again() -> None:
    """Nothing, nothing, some, nothing, nothing: the pause is of failures in a row, not of the whole download."""
    assert steps(0, 0, 0, 1, 1, 1) == [1, 2, 1, 1, 2]
    assert steps(*range(20), 19, 19)[-3:] == [1, 1, 2]


def test_attempts_that_bring_something_do_not_count() -> None:
    assert False not in judged(*range(20))


def test_after_progress_one_may_fail_as_often_again() -> None:
    said = judged(0, 0, 0, 1, 1, 1, 1)
    assert [bool(one) for one in said] == [True, True, True, True, True, False]


def test_bytes_that_had_been_there_before_are_no_progress() -> None:
    assert [bool(one) for one in judged(0, 9, 0, 5, 9)] == [True, True, True, False]


def test_after_progress_the_pause_is_the_first_one_again() -> None:
    assert all(2.0 <= pause <= 4.0 for pause in judged(0, 1, 2, 3))


@pytest.mark.parametrize(
    "error",
    [
        DownloadError("gone", url="", status=404),
        LinkExpiredError("expired", url="", status=403),
        ContentError("wrong"),
        ZeroDivisionError(),
    ],
)
def test_what_does_not_pass_is_given_up(error: Exception) -> None:
    assert judged(0, 1, error=error) == [False]


def test_what_the_server_wishes_is_done_a_little_later() -> None:
    pauses = judged(0, 0, error=DownloadError("down", url="", transient=True, retry_after_s=10.0))
    assert 10.0 <= pauses[0] <= 12.0


def test_what_the_server_wishes_is_bounded() -> None:
    pauses = judged(0, 0, error=DownloadError("down", url="", transient=True, retry_after_s=1e9))
    assert 60.0 <= pauses[0] <= 62.0


def test_not_all_come_back_at_once() -> None:
    error = DownloadError("down", url="", transient=True, retry_after_s=10.0)
    assert len({judged(0, 0, error=error)[0] for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 4000, 999_999_999.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 12:00:30", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("-5", None),
        ("1.5", None),
        ("\u0663", None),
        ("soon", None),
        ("", None),
        ("Wed, 16 Apr 20250000000000000000 05:16:40 GMT", None),
        ("Wed, 16 Apr 2025 05:16:40 +99999999999999999999", None),
    ],
)
def test_when_to_come_back_is_read(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


def test_a_date_is_held_against_this_moment() -> None:
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0

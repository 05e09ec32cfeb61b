from __future__ import annotations

import pytest

from firmware_cache import Limits
from firmware_cache.limits import Pace

LIMITS = Limits(min_bytes_per_s=100, window_s=10.0)


def test_nothing_is_judged_before_a_window_is_over() -> None:
    assert not Pace(LIMITS, 5.0).slow(0, 14.9)


@pytest.mark.parametrize(("size_bytes", "slow"), [(999, True), (1000, False)])
def test_the_floor_itself_is_fast_enough(size_bytes: int, slow: bool) -> None:
    assert Pace(LIMITS, 5.0).slow(size_bytes, 15.0) is slow


def test_all_bytes_of_a_window_count() -> None:
    pace = Pace(LIMITS, 0.0)
    pace.slow(500, 4.0)
    assert not pace.slow(500, 10.0)


def test_a_long_window_needs_more_bytes() -> None:
    assert Pace(LIMITS, 0.0).slow(1500, 19.0)


def test_a_fast_start_does_not_excuse_a_slow_end() -> None:
    pace = Pace(LIMITS, 0.0)
    pace.slow(1_000_000, 10.0)
    assert pace.slow(999, 20.0)


def test_a_window_begins_where_the_last_one_ended() -> None:
    pace = Pace(LIMITS, 0.0)
    pace.slow(1000, 10.0)
    assert not pace.slow(0, 19.9)

from __future__ import annotations

import asyncio

import pytest

from ble_ota.cloud.pace import Pace

pytestmark = pytest.mark.looptime


async def begun(pace: Pace, turns: int, *, lasting_s: float = 0) -> list[float]:
    """At which time each of `turns` turns began, all asked for at once."""
    times: list[float] = []

    async def one() -> None:
        async with pace.turn():
            times.append(asyncio.get_running_loop().time())
            await asyncio.sleep(lasting_s)

    await asyncio.gather(*(one() for _ in range(turns)))
    return times


async def test_no_more_turns_are_under_way_than_allowed() -> None:
    assert await begun(Pace(at_once=2, per_s=1000), 5, lasting_s=10) == [0, 0, 10, 10, 20]


async def test_no_more_turns_begin_within_a_second_than_allowed() -> None:
    assert await begun(Pace(at_once=100, per_s=3), 7) == [0, 0, 0, 1, 1, 1, 2]


async def test_less_than_one_a_second_is_a_longer_wait() -> None:
    assert await begun(Pace(at_once=100, per_s=0.25), 3) == [0, 4, 8]


async def test_a_rest_holds_for_everybody() -> None:
    pace = Pace(at_once=4, per_s=1000)
    pace.rest(7)
    pace.rest(3)
    assert await begun(pace, 2) == [7, 7]


async def test_a_turn_that_failed_is_over() -> None:
    pace = Pace(at_once=1, per_s=1000)
    with pytest.raises(KeyError):
        async with pace.turn():
            raise KeyError
    assert await begun(pace, 1) == [0]


async def test_a_turn_that_is_not_waited_for_any_more_takes_no_room() -> None:
    pace = Pace(at_once=1, per_s=1000)
    pace.rest(100)
    waiting = asyncio.ensure_future(begun(pace, 1))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await begun(pace, 1) == [100]


async def test_a_rest_holds_also_for_turns_that_wait_already() -> None:
    pace = Pace(at_once=100, per_s=3)
    waiting = asyncio.ensure_future(begun(pace, 7))
    await asyncio.sleep(0.5)
    pace.rest(7)
    assert await waiting == [0, 0, 0, 7.5, 7.5, 7.5, 8.5]


async def test_turns_that_are_not_waited_for_any_more_do_not_count_as_begun() -> None:
    pace = Pace(at_once=100, per_s=0.25)
    waiting = [asyncio.ensure_future(begun(pace, 1)) for _ in range(3)]
    await asyncio.sleep(1)
    for task in waiting[1:]:
        task.cancel()
    await asyncio.wait(waiting)
    assert await begun(pace, 1) == [4]


@pytest.mark.parametrize(("at_once", "per_s"), [(0, 1), (1, 0), (1, -1)])
async def test_a_pace_that_never_moves_is_refused(at_once: int, per_s: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pace(at_once=at_once, per_s=per_s)

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.model import Blocked, UpToDate
from ble_ota.mqtt import (
    APPOINTMENT_MIN_S,
    Action,
    Judgement,
    Keys,
    MqttPlan,
    Order,
    Period,
    Ref,
    Stage,
    in_effect,
    judge,
    misfit,
)

HOUR = 3600.0
NOW = 1_800_000_000.0  # a full five minutes
REF = Ref(Keys("p1", "d1"), "7")
OPEN = Period(NOW - HOUR, NOW + 10 * HOUR)


def plan(status: int | None = 0, word: int | None = 0, **more: Any) -> MqttPlan:
    return MqttPlan(REF, status=status, word=word, **{"period": OPEN, **more})


@pytest.mark.parametrize(
    ("status", "word", "stage"),
    [
        (0, 0, Stage.WAITING),
        (0, None, Stage.WAITING),
        (0, 1, Stage.CONFIRMED),
        (0, 2, Stage.APPOINTED),
        (0, 3, Stage.CANCELLED),
        (0, 4, Stage.UNKNOWN),
        (0, 9, Stage.UNKNOWN),
        (1, 1, Stage.UPGRADING),
        (1, 0, Stage.UPGRADING),
        (2, 1, Stage.SUCCEEDED),
        (2, 4, Stage.SUCCEEDED),
        (1, 3, Stage.UPGRADING),  # the word came too late
        (2, 3, Stage.SUCCEEDED),
        (-1, 1, Stage.SUCCEEDED),
        (3, 1, Stage.FAILED),
        (3, 3, Stage.CANCELLED),
        (4, 1, Stage.UNKNOWN),
        (7, 0, Stage.UNKNOWN),
        (-2, 0, Stage.UNKNOWN),
        (None, None, Stage.UNKNOWN),
        (None, 1, Stage.UNKNOWN),
    ],
)
def test_the_numbers_are_read_as_the_vendor_documents_them(status: int | None, word: int | None, stage: Stage) -> None:
    assert plan(status, word).stage(NOW) is stage


@pytest.mark.parametrize(
    ("status", "word", "said"),
    [
        (7, 0, "deviceStatus 7"),
        (0, 9, "userConfirmStatus 9"),
        (None, 0, "not said"),
        (1, 1, "upgrading"),
        (3, 3, "cancelled"),
    ],
)
def test_a_number_that_nobody_explains_is_shown_as_itself(status: int | None, word: int | None, said: str) -> None:
    assert plan(status, word).said(NOW) == said


@pytest.mark.parametrize("word", [0, 1, 2])
def test_a_plan_whose_period_ended_before_the_device_began_is_over(word: int) -> None:
    assert plan(0, word).stage(NOW + 11 * HOUR) is Stage.EXPIRED
    ends_s = plan(0, word).period.end_s
    assert ends_s is not None
    assert not plan(0, word).stage(ends_s).ended


@pytest.mark.parametrize(("status", "stage"), [(1, Stage.UPGRADING), (2, Stage.SUCCEEDED), (3, Stage.FAILED)])
def test_what_has_begun_does_not_expire(status: int, stage: Stage) -> None:
    assert plan(status, 1).stage(NOW + 11 * HOUR) is stage


def test_a_plan_without_an_end_does_not_expire() -> None:
    assert plan(period=Period()).stage(1e15) is Stage.WAITING


def test_what_has_ended_stays_as_it_is() -> None:
    assert {stage for stage in Stage if stage.ended} == {
        Stage.SUCCEEDED,
        Stage.FAILED,
        Stage.CANCELLED,
        Stage.EXPIRED,
    }


# rows: where the plan stands; columns: what is said to it. o = goes out, n = nothing to do, b = blocked
TABLE = """
           confirm appoint cancel retry
0,0        o       o       o      b
0,1        n       b       o      n
0,2        o       o       o      b
1,1        n       n       o      n
2,1        n       n       n      n
3,1        b       b       n      o
3,3        b       b       n      o
7,0        o       o       o      o
"""


def cells() -> list[tuple[int, int, Action, str]]:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    actions = [Action[name.upper()] for name in head]
    return [
        (int(row[0].split(",")[0]), int(row[0].split(",")[1]), action, cell)
        for row in rows
        for action, cell in zip(actions, row[1:], strict=True)
    ]


def kind(judged: Judgement) -> str:
    return {Order: "o", UpToDate: "n", Blocked: "b"}[type(judged)]


@pytest.mark.parametrize(("status", "word", "action", "cell"), cells())
def test_what_is_said_fits_where_the_plan_stands(status: int, word: int, action: Action, cell: str) -> None:
    assert kind(judge(plan(status, word), action, now_s=NOW)) == cell


@pytest.mark.parametrize("action", list(Action))
def test_nothing_is_said_to_a_plan_that_is_over(action: Action) -> None:
    judged = judge(plan(), action, now_s=NOW + 11 * HOUR)
    assert isinstance(judged, Blocked)
    assert judged.why == "the plan's period is over"


def test_an_order_carries_its_appointment() -> None:
    wanted = Period(NOW + HOUR, NOW + 3 * HOUR)
    assert judge(plan(), Action.APPOINT, now_s=NOW, appointment=wanted) == Order(REF, Action.APPOINT, wanted)


# rows: what was ordered; columns: how the plan is found after the answer was lost
LOST = """
           0,0 0,1 0,2 0,3 1,1 2,1 3,1 3,3 7,1
confirm    -   +   -   -   +   +   +   -   -
appoint    -   -   +   -   -   -   -   -   -
cancel     -   -   -   +   -   -   -   +   -
retry      -   +   -   -   +   +   -   -   -
"""


def lost() -> list[tuple[Action, int, int, bool]]:
    head, *rows = (line.split() for line in LOST.strip().splitlines())
    return [
        (Action[row[0].upper()], int(at.split(",")[0]), int(at.split(",")[1]), cell == "+")
        for row in rows
        for at, cell in zip(head, row[1:], strict=True)
    ]


@pytest.mark.parametrize(("action", "status", "word", "arrived"), lost())
def test_an_order_without_an_answer_is_seen_by_what_it_did(
    action: Action, status: int, word: int, *, arrived: bool
) -> None:
    period = Period(NOW + HOUR, NOW + 3 * HOUR) if action is Action.APPOINT else None
    assert in_effect(Order(REF, action, period), plan(status, word), now_s=NOW) is arrived


def test_another_appointment_than_the_one_ordered_is_not_in_effect() -> None:
    ordered = Order(REF, Action.APPOINT, Period(NOW + HOUR, NOW + 3 * HOUR))
    assert in_effect(ordered, plan(0, 2, appointment=ordered.appointment), now_s=NOW)
    assert not in_effect(ordered, plan(0, 2, appointment=Period(NOW + 2 * HOUR, NOW + 3 * HOUR)), now_s=NOW)


@pytest.mark.parametrize(
    ("start", "end", "rule"),
    [
        (2, 2, "its end is not after its start"),
        (3, 2, "its end is not after its start"),
        (1, 1.99, "it is shorter than one hour"),
        (-0.1, 2, "it begins in the past"),
        (4, 10.1, "it ends after the plan's period"),
        (8, 12, "it ends after the plan's period"),
    ],
)
def test_a_broken_rule_is_named(start: float, end: float, rule: str) -> None:
    broken = misfit(Period(NOW + start * HOUR, NOW + end * HOUR), OPEN, now_s=NOW)
    assert broken is not None
    assert broken.rule == rule


def test_a_plan_that_has_not_begun_is_waited_for() -> None:
    later = Period(NOW + 5 * HOUR, NOW + 10 * HOUR)
    broken = misfit(Period(NOW + HOUR, NOW + 3 * HOUR), later, now_s=NOW)
    assert broken is not None
    assert broken.rule == "it begins before the plan's period"
    assert broken.fits == Period(NOW + 5 * HOUR, NOW + 7 * HOUR)


@pytest.mark.parametrize(("start", "end"), [(0, 1), (1, 2), (1, 10), (9, 10)])
def test_an_appointment_that_keeps_the_rules_is_taken(start: float, end: float) -> None:
    assert misfit(Period(NOW + start * HOUR, NOW + end * HOUR), OPEN, now_s=NOW) is None


def test_a_plan_with_less_than_an_hour_left_takes_no_appointment() -> None:
    broken = misfit(Period(NOW + HOUR, NOW + 2 * HOUR), Period(None, NOW + HOUR), now_s=NOW)
    assert broken is not None
    assert broken.fits is None


def test_what_is_suggested_is_as_near_as_can_be() -> None:
    broken = misfit(Period(NOW + 9 * HOUR, NOW + 11 * HOUR), OPEN, now_s=NOW)
    assert broken is not None
    assert broken.fits == Period(NOW + 8 * HOUR, NOW + 10 * HOUR)


def test_what_is_suggested_leaves_time_to_type_it() -> None:
    broken = misfit(Period(NOW - HOUR, NOW + HOUR), OPEN, now_s=NOW)
    assert broken is not None
    assert broken.fits == Period(NOW + 300, NOW + 300 + 2 * HOUR)


def test_an_appointment_without_an_end_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="a start and an end"):
        misfit(Period(NOW, None), OPEN, now_s=NOW)


hours = st.floats(-50, 50).map(lambda h: NOW + h * HOUR)


@given(start=hours, end=hours, first=st.none() | hours, last=st.none() | hours)
def test_what_is_suggested_would_be_taken(start: float, end: float, first: float | None, last: float | None) -> None:
    period = Period(first, last)
    broken = misfit(Period(start, end), period, now_s=NOW)
    if broken is not None and broken.fits is not None:
        assert misfit(broken.fits, period, now_s=NOW) is None


@given(start=hours, end=hours, first=st.none() | hours, last=st.none() | hours)
def test_nothing_is_suggested_only_where_nothing_fits(
    start: float, end: float, first: float | None, last: float | None
) -> None:
    broken = misfit(Period(start, end), Period(first, last), now_s=NOW)
    if broken is not None and broken.fits is None:
        assert last is not None
        assert last - max(first or NOW, NOW) < APPOINTMENT_MIN_S + 600

from __future__ import annotations

import pytest

from ble_ota.virtual.developer_center.online import Phase
from ble_ota.virtual.developer_center.orders import InEffect, Kind, Order, Period, in_effect, refusal

HOUR = 3_600_000
PLAN = Period(100 * HOUR, 200 * HOUR)
NOW = 110 * HOUR
LATER = Period(NOW + HOUR, NOW + 2 * HOUR)


def after(*orders: Order, plan: Period = PLAN, now_ms: int = NOW) -> InEffect:
    return in_effect(orders, plan, now_ms)


def test_without_a_word_nothing_is_pushed() -> None:
    assert after() == InEffect()


def test_a_confirm_pushes_at_once() -> None:
    assert after(Order("confirm", NOW)) == InEffect((NOW,), confirm_status=1)


def test_a_second_confirm_changes_nothing() -> None:
    assert after(Order("confirm", NOW), Order("confirm", NOW + 1), now_ms=NOW + 2) == InEffect((NOW,), confirm_status=1)


def test_an_appointment_waits_for_its_time() -> None:
    effect = after(Order("appoint", NOW, LATER), now_ms=LATER.starts_ms - 1)
    assert effect == InEffect(appointment=LATER, confirm_status=2)


def test_an_appointment_fires_when_its_time_has_come() -> None:
    effect = after(Order("appoint", NOW, LATER), now_ms=LATER.starts_ms)
    assert effect == InEffect((LATER.starts_ms,), LATER, confirm_status=2)


def test_an_appointment_fires_at_its_time_whenever_somebody_looks() -> None:
    assert after(Order("appoint", NOW, LATER), now_ms=LATER.ends_ms * 5).pushes_ms == (LATER.starts_ms,)


def test_an_appointment_can_be_replaced() -> None:
    other = Period(NOW + 5 * HOUR, NOW + 7 * HOUR)
    effect = after(Order("appoint", NOW, LATER), Order("appoint", NOW, other), now_ms=other.starts_ms)
    assert (effect.pushes_ms, effect.appointment) == ((other.starts_ms,), other)


def test_a_confirm_does_not_wait_for_the_appointment() -> None:
    effect = after(Order("appoint", NOW, LATER), Order("confirm", NOW + 1), now_ms=LATER.starts_ms)
    assert effect == InEffect((NOW + 1,), confirm_status=1)


def test_a_cancel_ends_the_plan() -> None:
    assert after(Order("cancel", NOW)) == InEffect(cancelled=True, confirm_status=3)


def test_a_cancel_takes_the_appointment_with_it() -> None:
    effect = after(Order("appoint", NOW, LATER), Order("cancel", NOW), now_ms=LATER.ends_ms)
    assert effect == InEffect(cancelled=True, confirm_status=3)


def test_a_retry_pushes_again() -> None:
    effect = after(Order("confirm", NOW), Order("retry", NOW + 9), now_ms=NOW + 9)
    assert (effect.pushes_ms, effect.confirm_status) == ((NOW, NOW + 9), 1)


def test_a_retry_after_a_cancel_is_the_first_push() -> None:
    effect = after(Order("cancel", NOW), Order("retry", NOW + 9), now_ms=NOW + 9)
    assert effect == InEffect((NOW + 9,), confirm_status=1)


def test_automatic_confirmation_pushes_a_plan_that_waits() -> None:
    assert after(Order("auto.on", NOW)) == InEffect((NOW,), auto_since_ms=NOW, confirm_status=1)


def test_automatic_confirmation_pushes_a_plan_when_it_starts() -> None:
    assert after(Order("auto.on", 50 * HOUR)).pushes_ms == (PLAN.starts_ms,)


def test_automatic_confirmation_waits_for_the_start() -> None:
    assert after(Order("auto.on", 50 * HOUR), now_ms=PLAN.starts_ms - 1).pushes_ms == ()


def test_automatic_confirmation_goes_before_a_later_appointment() -> None:
    effect = after(Order("appoint", NOW, LATER), Order("auto.on", NOW + 1), now_ms=LATER.starts_ms)
    assert effect == InEffect((NOW + 1,), auto_since_ms=NOW + 1, confirm_status=1)


def test_an_appointment_that_fired_goes_before_automatic_confirmation() -> None:
    effect = after(Order("appoint", NOW, LATER), Order("auto.on", LATER.ends_ms), now_ms=LATER.ends_ms)
    assert (effect.pushes_ms, effect.confirm_status) == ((LATER.starts_ms,), 2)


def test_automatic_confirmation_does_not_push_a_plan_that_is_over() -> None:
    assert after(Order("auto.on", PLAN.ends_ms + 1), now_ms=PLAN.ends_ms + 2).pushes_ms == ()


def test_automatic_confirmation_does_not_push_a_cancelled_plan() -> None:
    assert after(Order("cancel", NOW), Order("auto.on", NOW), now_ms=NOW + 9).pushes_ms == ()


def test_automatic_confirmation_does_not_push_twice() -> None:
    assert after(Order("confirm", NOW), Order("auto.on", NOW + 1), now_ms=NOW + 9).pushes_ms == (NOW,)


def test_switching_it_on_again_pushes_no_later() -> None:
    effect = after(Order("auto.on", NOW), Order("auto.on", NOW + 5), now_ms=NOW + 9)
    assert (effect.pushes_ms, effect.auto_since_ms) == ((NOW,), NOW)


def test_switching_it_off_undoes_no_push() -> None:
    assert after(Order("auto.on", NOW), Order("auto.off", NOW + 1), now_ms=NOW + 9) == InEffect(
        (NOW,), confirm_status=1
    )


def test_switching_it_off_before_the_start_leaves_the_plan_alone() -> None:
    assert after(Order("auto.on", 50 * HOUR), Order("auto.off", 60 * HOUR)) == InEffect()


# ------------------------------------------------------------------ what can be ordered when


@pytest.mark.parametrize(
    ("phase", "kind", "why"),
    [
        ("waiting", "confirm", None),
        ("waiting", "appoint", None),
        ("waiting", "cancel", None),
        ("waiting", "retry", "Only a failed"),
        ("downloading", "confirm", None),
        ("downloading", "appoint", "is being upgraded"),
        ("downloading", "cancel", "is being upgraded"),
        ("downloading", "retry", "Only a failed"),
        ("upgrading", "confirm", None),
        ("upgrading", "cancel", "is being upgraded"),
        ("succeeded", "confirm", "has succeeded"),
        ("succeeded", "appoint", "has succeeded"),
        ("succeeded", "cancel", "has succeeded"),
        ("succeeded", "retry", "Only a failed"),
        ("failed", "confirm", "can only be retried"),
        ("failed", "appoint", "can only be retried"),
        ("failed", "cancel", "can only be retried"),
        ("failed", "retry", None),
    ],
)
def test_an_order_must_fit_what_the_device_does(phase: Phase, kind: Kind, why: str | None) -> None:
    said = refusal(Order(kind, NOW, LATER), phase, PLAN)
    assert said is None if why is None else why in (said or "")


@pytest.mark.parametrize(("kind", "phase"), [("confirm", "waiting"), ("cancel", "waiting"), ("retry", "failed")])
@pytest.mark.parametrize(
    ("at_ms", "why"),
    [
        (PLAN.starts_ms - 1, "The upgrade plan has not started."),
        (PLAN.starts_ms, None),
        (PLAN.ends_ms, None),
        (PLAN.ends_ms + 1, "The upgrade plan is over."),
    ],
)
def test_an_order_must_come_within_the_plan(kind: Kind, phase: Phase, at_ms: int, why: str | None) -> None:
    assert refusal(Order(kind, at_ms), phase, PLAN) == why


@pytest.mark.parametrize(
    ("starts_ms", "ends_ms", "why"),
    [
        pytest.param(NOW, NOW + HOUR, None, id="an hour, now"),
        pytest.param(PLAN.ends_ms - HOUR, PLAN.ends_ms, None, id="the last hour"),
        pytest.param(NOW - 1, NOW + 2 * HOUR, "in the past", id="begun already"),
        pytest.param(NOW, NOW + HOUR - 1, "shorter than one hour", id="too short"),
        pytest.param(NOW + HOUR, NOW, "shorter than one hour", id="the wrong way round"),
        pytest.param(PLAN.ends_ms - HOUR, PLAN.ends_ms + 1, "within the period", id="out of the plan"),
    ],
)
def test_an_appointment_must_fit_the_plan(starts_ms: int, ends_ms: int, why: str | None) -> None:
    said = refusal(Order("appoint", NOW, Period(starts_ms, ends_ms)), "waiting", PLAN)
    assert said is None if why is None else why in (said or "")


def test_an_appointment_needs_its_times() -> None:
    assert "appointStartTime" in (refusal(Order("appoint", NOW), "waiting", PLAN) or "")

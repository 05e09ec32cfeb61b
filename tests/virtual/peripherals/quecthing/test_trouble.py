from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from ble_ota.virtual.peripherals import Habits, Pause
from ble_ota.virtual.peripherals.quecthing.trouble import Stretch, id9

QUIET = Habits()


def stretch(habits: Habits) -> Stretch:
    return Stretch(habits, 400, 600, 1000)


@pytest.mark.parametrize(("at", "carried"), [(399, False), (400, True), (599, True), (600, False), (None, False)])
def test_a_stretch_carries_its_own_bytes(at: int | None, carried: bool) -> None:
    assert stretch(QUIET).carries(at) is carried


@pytest.mark.parametrize(("reading", "named"), [("echo", 400), ("next", 600)])
def test_an_answer_names_the_start_or_the_next_one(reading: Literal["echo", "next"], named: int) -> None:
    habits = replace(QUIET, id9=reading)
    assert (id9(habits, 400, 600), stretch(habits).told(400)) == (named, named)


def test_the_pause_that_is_due_is_the_one_of_these_bytes() -> None:
    pauses = (Pause(0), Pause(599), Pause(600))
    assert stretch(replace(QUIET, pauses=pauses)).pause is pauses[1]


def test_a_quiet_device_makes_no_pause() -> None:
    assert Stretch(QUIET, 0, 200, 1000).pause is None


def test_pauses_without_end_begin_with_the_first_packet() -> None:
    endless = replace(QUIET, endless_pauses=True)
    assert Stretch(endless, 0, 200, 1000).pause == Pause(0)
    assert Stretch(endless, 200, 400, 1000).pause is None


@pytest.mark.parametrize(
    ("reading", "lie", "named"),
    [
        ("echo", "ahead", 800),
        ("next", "ahead", 1000),
        ("echo", "behind", 0),
        ("next", "behind", 200),
        ("echo", "beyond", 1400),
        ("next", "beyond", 1400),
    ],
)
def test_a_lie_is_right_under_no_reading(
    reading: Literal["echo", "next"], lie: Literal["ahead", "behind", "beyond"], named: int
) -> None:
    told = stretch(replace(QUIET, id9=reading, answers_offset=lie, answers_offset_at=500)).told(400)
    assert told == named
    assert told not in (400, 600)


def test_no_lie_is_told_elsewhere() -> None:
    assert stretch(replace(QUIET, answers_offset="ahead", answers_offset_at=600)).told(400) == 400


def test_a_lie_about_the_first_packet_is_not_below_nothing() -> None:
    assert Stretch(replace(QUIET, answers_offset="behind"), 0, 200, 1000).told(0) == 0

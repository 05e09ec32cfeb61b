from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from ble_ota.cli.mqtt_shown import HEADS, Here, actions, columns, long_form, many, percent, plan_data, row
from ble_ota.model import Conditions
from ble_ota.mqtt import MqttPlan, Part, Period
from tests.cli.online import DAY, NOW, plan

HERE = Here(NOW, ZoneInfo("Europe/Berlin"))
FOUL = "\x1b[31mred\u202e\nsecond line"


def test_the_long_form_says_all_there_is() -> None:
    parts = (
        Part("MAIN", False, "1.0.0", "1.1.0", False, 65536, "Better\nFaster"),
        Part("M2", True, "", "2", True, None),
    )
    whole = plan(
        1, name="Autumn", parts=parts, appointment=Period(NOW + 3600, NOW + 7200), conditions=Conditions(20, -80, 1024)
    )
    assert long_form(whole, HERE).splitlines() == [
        "Plan 7 for p22cLd/D0001 Autumn",
        "  stage: waiting, 0 %",
        "  period: 2026-11-17 12:06+01:00 to 2026-11-20 12:06+01:00",
        "  appointment: 2026-11-18 13:06+01:00 to 2026-11-18 14:06+01:00",
        "  conditions: battery at least 20 %, signal at least -80 dBm, free space at least 1024 bytes",
        "  MAIN: 1.0.0 -> 1.1.0 (full, 65.5 kB, module)",
        "    | Better",
        "    | Faster",
        "  M2: unknown -> 2 (delta, size unknown, mcu)",
    ]


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (
            plan(1),
            [
                "confirm: the platform issues it at once",
                "appoint: fits 2026-11-18 12:06+01:00 to 2026-11-20 12:06+01:00, one hour at least",
                "cancel: ends the plan for good",
                "retry: not now: only a plan that has failed can be retried",
            ],
        ),
        (
            plan(1, status=3),
            [
                "confirm: not now: the plan has ended without success",
                "appoint: not now: the plan has ended without success",
                "cancel: nothing to do: the plan has ended already, without success",
                "retry: the platform issues it again at once",
            ],
        ),
    ],
)
def test_each_action_says_what_it_would_do(shown: MqttPlan, said: list[str]) -> None:
    assert [line.strip() for line in actions(shown, HERE).splitlines()] == said


def test_an_appointment_fits_from_the_plans_start() -> None:
    assert "fits 2026-11-19 12:06+01:00, one hour" in actions(plan(1, period=Period(NOW + DAY)), HERE)


@pytest.mark.parametrize(("left_s", "fits"), [(3600, True), (3599, False)])
def test_with_less_than_an_hour_left_no_appointment_fits(left_s: float, fits: bool) -> None:
    said = actions(plan(1, period=Period(None, NOW + left_s)), HERE)
    assert ("less than an hour" not in said) is fits


def test_a_number_nobody_explains_is_shown_as_itself() -> None:
    assert row(plan(1, status=17), HERE)[HEADS.index("STAGE")] == "deviceStatus 17"


def test_no_text_of_the_server_reaches_the_terminal_as_it_is() -> None:
    foul = plan(1, name=FOUL, notes=FOUL, parts=(Part(FOUL, False, FOUL, FOUL, False, 1, FOUL),))
    foul = replace(foul, ref=replace(foul.ref, plan_id=FOUL))
    for text in (long_form(foul, HERE), "  ".join(row(foul, HERE)), str(plan_data(foul, HERE))):
        assert ("\x1b" in text, "\u202e" in text, "\nsecond" in text) == (False, False, False)


def test_notes_are_cut() -> None:
    assert long_form(plan(1, notes="line\n" * 1000), HERE).count("| line") == 20


def test_the_data_is_in_utc() -> None:
    data = plan_data(plan(1, status=1, word=1, progress=0.5), HERE)
    assert data["period"] == {"start": "2026-11-17T11:06:40+00:00", "end": "2026-11-20T11:06:40+00:00"}
    assert (data["device"], data["plan"], data["stage"], data["status"]) == ("p22cLd/D0001", "7", "upgrading", 1)
    assert (data["progress"], data["appointment"], data["components"][0]["size"]) == (0.5, None, 65536)


def test_columns_count_cells_not_characters() -> None:
    assert columns([("A", "B"), ("汉字", "x")]).splitlines() == ["A     B", "汉字  x"]


@pytest.mark.parametrize(("progress", "text"), [(None, "-"), (0.6, "60 %"), (1.0, "100 %")])
def test_progress_is_in_percent_or_not_said(progress: float | None, text: str) -> None:
    assert percent(progress) == text


def test_one_is_not_many() -> None:
    assert (many(1, "plan"), many(2, "plan")) == ("1 plan", "2 plans")

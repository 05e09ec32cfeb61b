from __future__ import annotations

from typing import Any

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.mqtt_told import Told, done, exit_code, of_found, of_given, of_judged
from ble_ota.errors import ApiError
from ble_ota.fleet import Found, Given, Outcome
from ble_ota.model import Blocked, UpToDate
from ble_ota.mqtt import Action, Order, Period
from tests.cli.desk import told
from tests.cli.online import NOW, keys, plan

JSON, TEXT = Common("mqtt confirm", json=True), Common("mqtt confirm")
ORDER = Order(plan(1).ref, Action.CONFIRM)
TAKEN, NO_PLAN = Told("p/1", "7", "taken"), Told("p/2", None, "no-plan")
REFUSED = Told("p/3", "7", "refused", 5041, "No", "Ask")


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["taken"], 0),
        (["refused"], 20),
        (["unknown"], 20),
        (["not-sent"], 20),
        (["nothing-to-do"], 10),
        (["no-plan"], 10),
        (["blocked"], 12),
        ([], 10),
        (["taken", "taken"], 0),
        (["taken", "no-plan"], 0),
        (["taken", "nothing-to-do"], 0),
        (["no-plan", "nothing-to-do"], 10),
        (["blocked", "blocked"], 12),
        (["blocked", "no-plan"], 40),
        (["taken", "blocked"], 40),
        (["taken", "refused"], 40),
        (["taken", "unknown"], 40),
        (["taken", "failed"], 40),
        (["refused", "refused"], 40),
    ],
)
def test_the_exit_code_follows_from_all_outcomes(outcomes: list[str], code: int) -> None:
    assert exit_code(outcomes) == code


def test_a_refusal_is_a_line_with_code_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert done(TEXT, Action.CONFIRM, [TAKEN, NO_PLAN, REFUSED], None) == 40
    assert capsys.readouterr().out.splitlines() == [
        "p/2: no plan",
        "p/3: refused: 5041: No",
        "1 of 3 taken: confirmed; the platform issues the plan",
        "",
        "hint: Ask",
    ]


def test_a_hint_is_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    done(TEXT, Action.CONFIRM, [REFUSED, REFUSED], None)
    assert capsys.readouterr().out.count("hint: Ask") == 1


def test_the_data_has_a_line_each_and_the_sums(capsys: pytest.CaptureFixture[str]) -> None:
    done(JSON, Action.APPOINT, [TAKEN, NO_PLAN, REFUSED], Period(NOW, NOW + 3600))
    data: Any = told(*capsys.readouterr()).last["data"]
    assert data["devices"][2] == {
        "device": "p/3",
        "plan": "7",
        "outcome": "refused",
        "code": 5041,
        "message": "No",
        "hint": "Ask",
    }
    assert (data["taken"], data["refused"], data["no_plan"]) == (1, 1, 1)
    assert data["appointment"] == {"start": "2026-11-18T11:06:40+00:00", "end": "2026-11-18T12:06:40+00:00"}


def test_an_order_of_which_nobody_knows_says_so_and_what_tells() -> None:
    one = of_given(Given(ORDER, Outcome.UNKNOWN, message="no answer came", hint="Check the network"))
    assert one.line == "p22cLd/D0001: unknown: it is not known whether this arrived: no answer came"
    assert "ble-ota mqtt status" in one.hint


def test_what_a_server_says_stays_on_its_line() -> None:
    one = of_given(Given(ORDER, Outcome.REFUSED, 1, "a\x1b[31m\nb" + "c" * 1000, "h\nh"))
    assert ("\x1b" in one.line, "\n" in one.line, len(one.message) <= 400, one.hint) == (False, False, True, "h h")


def test_what_is_not_said_to_a_plan_has_its_reason() -> None:
    found = Found(keys(1), plan(1))
    assert of_judged(found, UpToDate("done")) == Told("p22cLd/D0001", "7", "nothing-to-do", None, "done")
    assert of_judged(found, Blocked("no", "do")) == Told("p22cLd/D0001", "7", "blocked", None, "no", "do")


def test_a_device_that_could_not_be_asked_for_has_its_error() -> None:
    one = of_found(Found(keys(1), error=ApiError(5052, "Not bound", doing="asking", hint="Bind it")))
    assert (one.outcome, one.code, one.hint) == ("failed", 5052, "Bind it")
    assert of_found(Found(keys(1))).outcome == "no-plan"


def test_no_device_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert done(TEXT, Action.CONFIRM, [], None) == 10
    assert capsys.readouterr().out == "There is no device that is online by itself\n"

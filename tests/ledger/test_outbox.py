from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from ble_ota.errors import UsageError
from ble_ota.ledger import Changes, Report
from ble_ota.ledger.outbox import confirmed, keep, kept, listed, newer_confirmed, of_run, resolve, settle, tried
from ble_ota.ledger.runs import begin, write
from tests.ledger.words import DEVICE, report, started


@pytest.fixture(autouse=True)
def runs(connection: sa.Connection) -> None:
    for name in ("run-1", "run-2", "run-3"):
        begin(connection, started(name), now_s=1.0)
        write(connection, name, [], Changes(fingerprint="f1"))


def one(connection: sa.Connection, report_id: int) -> Report:
    return next(r for r in listed(connection, limit=99) if r.id == report_id)


def kept_ids(connection: sa.Connection, account: str | None = None, device: tuple[str, str] | None = None) -> list[int]:
    return [r.id or 0 for r in kept(connection, account=account, device=device)]


def test_a_report_is_kept_as_it_was_given(connection: sa.Connection) -> None:
    given = report(plan_ends_at_s=99.5)
    number = keep(connection, given, now_s=5.0)
    assert kept(connection, account=None, device=None) == [
        replace(given, id=number, created_at_s=5.0, changed_at_s=5.0)
    ]


def test_what_is_new_is_kept_whatever_it_says_of_itself(connection: sa.Connection) -> None:
    number = keep(connection, report(state="sent", attempts=7, id=77), now_s=5.0)
    found = one(connection, number)
    assert (found.state, found.attempts, found.id == 77) == ("kept", 0, False)


def test_keeping_again_changes_nothing(connection: sa.Connection) -> None:
    first = keep(connection, report(), now_s=5.0)
    settle(connection, first, "sent", "", now_s=6.0)
    assert keep(connection, report(plan_id="other"), now_s=7.0) == first
    assert (one(connection, first).state, one(connection, first).plan_id) == ("sent", "plan-1")


@pytest.mark.parametrize("other", [{"run": "run-2"}, {"component": "1"}, {"outcome": "succeeded"}])
def test_another_run_component_or_outcome_is_another_report(other: dict[str, str], connection: sa.Connection) -> None:
    assert keep(connection, report(), now_s=5.0) != keep(connection, report(**other), now_s=5.0)


def test_a_report_of_no_run_is_a_bug(connection: sa.Connection) -> None:
    with pytest.raises(ValueError, match="not in the ledger"):
        keep(connection, report("run-9"), now_s=5.0)


def test_kept_reports_come_oldest_first_and_all_reports_newest_first(connection: sa.Connection) -> None:
    numbers = [keep(connection, report(component=str(n)), now_s=9.0 - n) for n in range(3)]
    assert kept_ids(connection) == numbers
    assert [r.id for r in listed(connection, limit=2)] == [numbers[2], numbers[1]]


def test_kept_reports_may_be_of_one_account_or_one_device(connection: sa.Connection) -> None:
    mine = keep(connection, report(), now_s=5.0)
    theirs = keep(connection, report(component="1", account="other"), now_s=5.0)
    elsewhere = keep(connection, report(component="2", device_key="d2"), now_s=5.0)
    assert kept_ids(connection, account="acme") == [mine, elsewhere]
    assert kept_ids(connection, device=DEVICE) == [mine, theirs]
    assert kept_ids(connection, "acme", DEVICE) == [mine]


def test_reports_may_be_those_of_one_run_oldest_first(connection: sa.Connection) -> None:
    numbers = [keep(connection, report(component=str(n)), now_s=9.0 - n) for n in range(2)]
    keep(connection, report("run-2"), now_s=5.0)
    settle(connection, numbers[0], "sent", "", now_s=6.0)
    assert [r.id for r in of_run(connection, "run-1")] == numbers


def test_an_attempt_that_failed_is_counted_and_the_report_kept(connection: sa.Connection) -> None:
    number = keep(connection, report(), now_s=5.0)
    for at_s in (6.0, 7.0):
        tried(connection, number, f"no route at {at_s}", now_s=at_s)
    found = one(connection, number)
    assert (found.state, found.attempts, found.why, found.changed_at_s) == ("kept", 2, "no route at 7.0", 7.0)


@pytest.mark.parametrize("state", ["sent", "superseded", "dropped"])
def test_a_settled_report_is_not_kept_any_more(state: str, connection: sa.Connection) -> None:
    number = keep(connection, report(), now_s=5.0)
    settle(connection, number, state, "because", now_s=6.0)
    found = one(connection, number)
    assert (found.state, found.why, found.changed_at_s) == (state, "because", 6.0)
    assert kept_ids(connection) == []


def test_the_first_word_about_a_report_stands(connection: sa.Connection) -> None:
    number = keep(connection, report(), now_s=5.0)
    settle(connection, number, "sent", "", now_s=6.0)
    settle(connection, number, "dropped", "no need", now_s=7.0)
    tried(connection, number, "no route", now_s=8.0)
    found = one(connection, number)
    assert (found.state, found.why, found.attempts, found.changed_at_s) == ("sent", "", 0, 6.0)


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_report_settles_in_a_state_that_is_an_end(state: str, connection: sa.Connection) -> None:
    number = keep(connection, report(), now_s=5.0)
    with pytest.raises(ValueError, match="a report ends as"):
        settle(connection, number, state, "", now_s=6.0)


def test_only_the_report_that_is_meant_is_settled(connection: sa.Connection) -> None:
    first, second = (keep(connection, report(component=c), now_s=5.0) for c in "01")
    settle(connection, second, "sent", "", now_s=6.0)
    assert kept_ids(connection) == [first]


@pytest.mark.parametrize("word", ["settle", "tried"])
def test_a_report_that_is_not_there_is_a_bug(word: str, connection: sa.Connection) -> None:
    with pytest.raises(ValueError, match="no report 99"):
        settle(connection, 99, "sent", "", now_s=6.0) if word == "settle" else tried(connection, 99, "", now_s=6.0)


# ---------------------------------------------------------------- confirmations


def sent(connection: sa.Connection, made: Report) -> None:
    settle(connection, keep(connection, made, now_s=5.0), "sent", "", now_s=6.0)


def in_effect(connection: sa.Connection, device: tuple[str, str] = DEVICE, **other: str) -> bool:
    wanted = {"plan_id": "plan-1", "fingerprint": "f1", "component": "0", **other}
    return confirmed(connection, device, **wanted)


def test_a_confirmation_that_was_sent_is_in_effect(connection: sa.Connection) -> None:
    sent(connection, report())
    assert in_effect(connection)


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_confirmation_is_in_effect_until_an_end_is_to_be_told(outcome: str, connection: sa.Connection) -> None:
    sent(connection, report())
    keep(connection, report(component="1", outcome=outcome), now_s=7.0)
    assert in_effect(connection)  # that is the end of another component
    keep(connection, report(outcome=outcome), now_s=8.0)
    assert not in_effect(connection)
    sent(connection, report(run="run-2"))
    assert in_effect(connection)


@pytest.mark.parametrize("state", ["", "superseded", "dropped"])
def test_a_confirmation_that_was_not_sent_is_not(state: str, connection: sa.Connection) -> None:
    number = keep(connection, report(), now_s=5.0)
    if state:
        settle(connection, number, state, "", now_s=6.0)
    assert not in_effect(connection)


def test_a_success_is_no_confirmation(connection: sa.Connection) -> None:
    sent(connection, report(outcome="succeeded"))
    assert not in_effect(connection)
    assert not newer_confirmed(connection, report("run-1"))


@pytest.mark.parametrize("other", [{"plan_id": "plan-2"}, {"fingerprint": "f2"}, {"component": "1"}])
def test_a_confirmation_of_something_else_is_not(other: dict[str, str], connection: sa.Connection) -> None:
    sent(connection, report())
    assert not in_effect(connection, DEVICE, **other)


@pytest.mark.parametrize("device", [("p11", "d2"), ("p12", "d1")])
def test_a_confirmation_of_another_device_is_not(device: tuple[str, str], connection: sa.Connection) -> None:
    sent(connection, report())
    assert not in_effect(connection, device)


@pytest.mark.parametrize(("at", "newer"), [("run-1", False), ("run-2", False), ("run-3", True)])
def test_only_a_confirmation_of_a_later_run_is_newer(at: str, newer: bool, connection: sa.Connection) -> None:
    sent(connection, report(at, plan_id="plan-2"))
    assert newer_confirmed(connection, report("run-2", outcome="succeeded")) is newer


def test_a_later_confirmation_that_was_not_sent_is_not_newer(connection: sa.Connection) -> None:
    keep(connection, report("run-3"), now_s=5.0)
    assert not newer_confirmed(connection, report("run-2"))


def test_a_later_confirmation_of_another_device_is_not_newer(connection: sa.Connection) -> None:
    sent(connection, report("run-3", device_key="d2"))
    assert not newer_confirmed(connection, report("run-2"))


# ---------------------------------------------------------------- by a person's word


def words(outcome: str = "succeeded", *components: str) -> list[Report]:
    return [report(component=c, outcome=outcome, resolved_by="eve@bench-3") for c in components or ("0",)]


def test_a_persons_word_is_kept_as_such(connection: sa.Connection) -> None:
    resolve(connection, words("failed", "0", "1"), now_s=5.0)
    found = kept(connection, account=None, device=None)
    assert [(r.component, r.outcome, r.state, r.resolved_by) for r in found] == [
        ("0", "failed", "kept", "eve@bench-3"),
        ("1", "failed", "kept", "eve@bench-3"),
    ]


def test_a_persons_word_stays_whatever_becomes_of_the_report(connection: sa.Connection) -> None:
    resolve(connection, words(), now_s=5.0)
    (number,) = kept_ids(connection)
    tried(connection, number, "no route", now_s=6.0)
    settle(connection, number, "sent", "", now_s=7.0)
    assert one(connection, number).resolved_by == "eve@bench-3"


@pytest.mark.parametrize("again", ["succeeded", "failed"])
def test_a_second_word_is_refused(again: str, connection: sa.Connection) -> None:
    resolve(connection, words(), now_s=5.0)
    with pytest.raises(UsageError, match=r"settled before: 0 succeeded, by a person's word, eve@bench-3"):
        resolve(connection, words(again), now_s=6.0)
    assert len(kept_ids(connection)) == 1


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_word_against_the_runs_own_is_refused_and_none_is_kept(outcome: str, connection: sa.Connection) -> None:
    keep(connection, report(component="1", outcome=outcome), now_s=4.0)
    with pytest.raises(UsageError, match=f"1 {outcome}, by its own run"):
        resolve(connection, words("succeeded", "0", "1"), now_s=5.0)
    assert len(kept_ids(connection)) == 1


def test_a_confirmation_is_no_end(connection: sa.Connection) -> None:
    sent(connection, report())
    resolve(connection, words(), now_s=7.0)
    assert not in_effect(connection)  # and now the end is told


def test_a_word_about_no_run_is_a_bug(connection: sa.Connection) -> None:
    with pytest.raises(ValueError, match="not in the ledger"):
        resolve(connection, [replace(words()[0], run="run-9")], now_s=5.0)

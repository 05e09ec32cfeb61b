# ruff: noqa: S608 -- a test's own words
from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ble_ota.ledger import Changes, Entry, schema
from ble_ota.ledger.audit import EVENTS, faults
from ble_ota.ledger.chain import BEGINNING, SEALED
from ble_ota.ledger.runs import begin, finish, write
from tests.ledger.words import ADDRESS, ending, entry, started

KNOWN = Changes(product_key="p11", device_key="d1", address=ADDRESS, plan={"components": [{"no": "0"}]})


@pytest.fixture(autouse=True)
def runs(connection: sa.Connection) -> None:
    for name in ("run-1", "run-2"):
        begin(connection, started(name), now_s=1.0)
        write(connection, name, [entry(0, "run.started"), entry(1, "plan.shown")], KNOWN)
        write(connection, name, [entry(5, "link.connected", address="AA"), entry(6)], Changes(approved_by="ada"))
    finish(connection, "run-2", [entry(7, "run.finished")], ending(seconds={"transfer": 0.1}), now_s=9.75)


def harm(connection: sa.Connection, sql: str) -> None:
    assert connection.exec_driver_sql(sql).rowcount > 0


@pytest.mark.parametrize("gone", [0, EVENTS - 1, EVENTS, 2 * EVENTS])
def test_events_are_followed_page_by_page(gone: int, connection: sa.Connection) -> None:
    write(connection, "run-1", [entry(100 + n) for n in range(2 * EVENTS + 1)], Changes())
    assert faults(connection, "run-1") == []
    harm(connection, f"UPDATE event SET name = 'x' WHERE run = 'run-1' AND seq = {100 + gone}")
    assert [f"event {100 + gone} (x)" in sentence for sentence in faults(connection, "run-1")][:1] == [True]


@pytest.mark.parametrize("run", ["run-1", "run-2"])
def test_what_was_written_is_found_intact(run: str, connection: sa.Connection) -> None:
    assert faults(connection, run) == []


CHANGED = [
    "UPDATE event SET name = 'x' WHERE seq = 5",
    "UPDATE event SET at_s = 0 WHERE seq = 5",
    "UPDATE event SET body = '{}' WHERE seq = 5",
    "UPDATE event SET hash = 'x' WHERE seq = 5",
]


@pytest.mark.parametrize("sql", CHANGED)
def test_a_changed_event_is_named(sql: str, connection: sa.Connection) -> None:
    harm(connection, f"{sql} AND run = 'run-1'")
    assert any("event 5" in sentence for sentence in faults(connection, "run-1"))


def test_one_change_is_one_sentence(connection: sa.Connection) -> None:
    harm(connection, "UPDATE event SET body = '{}' WHERE seq = 5 AND run = 'run-1'")
    (sentence,) = faults(connection, "run-1")
    assert sentence.startswith("run run-1: event 5 (link.connected) does not follow from event 1: one of them")


def test_a_harm_to_one_run_is_none_to_another(connection: sa.Connection) -> None:
    harm(connection, "UPDATE event SET body = '{}' WHERE seq = 5 AND run = 'run-1'")
    assert faults(connection, "run-2") == []


@pytest.mark.parametrize("run", ["run-1", "run-2"])
@pytest.mark.parametrize("seq", [0, 1, 5, 6])
def test_a_missing_event_is_found(run: str, seq: int, connection: sa.Connection) -> None:
    harm(connection, f"DELETE FROM event WHERE seq = {seq} AND run = '{run}'")
    assert faults(connection, run)


def test_a_missing_event_whose_count_was_mended_is_found(connection: sa.Connection) -> None:
    harm(connection, "DELETE FROM event WHERE seq = 6 AND run = 'run-1'")
    harm(connection, "UPDATE run SET entries = 3, last_seq = 5 WHERE id = 'run-1'")
    assert faults(connection, "run-1") == ["run run-1: its last event is not what was written"]


def test_a_count_that_was_changed_is_found(connection: sa.Connection) -> None:
    harm(connection, "UPDATE run SET entries = 3 WHERE id = 'run-1'")
    assert faults(connection, "run-1") == ["run run-1: has 4 events where 3 were written"]


def test_a_reordered_event_is_found(connection: sa.Connection) -> None:
    for old, new in ((1, 100), (5, 1), (100, 5)):
        harm(connection, f"UPDATE event SET seq = {new} WHERE seq = {old} AND run = 'run-1'")
    assert faults(connection, "run-1")


@pytest.mark.parametrize("run", ["run-1", "run-2"])
def test_an_added_event_is_found(run: str, connection: sa.Connection) -> None:
    harm(connection, f"INSERT INTO event SELECT run, 99, at_s, name, body, hash FROM event WHERE run='{run}' AND seq=6")
    assert faults(connection, run)


@pytest.mark.parametrize("column", [c for c in BEGINNING if c != "id"])
def test_a_change_of_the_beginning_is_found(column: str, connection: sa.Connection) -> None:
    value = "8" if column in {"pid", "started_at_s"} else "'{}'"
    harm(connection, f"UPDATE run SET {column} = {value} WHERE id = 'run-1'")
    assert faults(connection, "run-1")


@pytest.mark.parametrize("column", SEALED)
def test_a_change_of_what_became_known_of_an_ended_run_is_found(column: str, connection: sa.Connection) -> None:
    value = "8" if column == "finished_at_s" else """'{"x":1}'"""
    harm(connection, f"UPDATE run SET {column} = {value} WHERE id = 'run-2'")
    assert faults(connection, "run-2")


def test_an_ending_that_was_changed_is_told_from_its_listing(connection: sa.Connection) -> None:
    harm(connection, "UPDATE run SET verdict = 'FAIL' WHERE id = 'run-2'")
    assert "run run-2: ended PASS, and is listed as FAIL" in faults(connection, "run-2")


@pytest.mark.parametrize("sql", ["verdict = NULL, ending = NULL, finished_at_s = NULL", "ending = NULL"])
def test_a_verdict_that_was_taken_away_is_found(sql: str, connection: sa.Connection) -> None:
    harm(connection, f"UPDATE run SET {sql} WHERE id = 'run-2'")
    assert faults(connection, "run-2")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE run SET settings = '{' WHERE id = 'run-1'",
        "UPDATE event SET body = 'rot' WHERE run = 'run-1'",
        "UPDATE run SET ending = '[1]', verdict = 'PASS' WHERE id = 'run-1'",
    ],
)
def test_a_run_that_cannot_be_read_is_a_sentence(sql: str, connection: sa.Connection) -> None:
    harm(connection, sql)
    assert faults(connection, "run-1") == ["run run-1: cannot be read, it is damaged"]


BODY = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_size=4,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(BODY, st.floats(0, 4e9), st.text(max_size=300)), max_size=4), st.text(), BODY)
def test_whatever_is_written_is_found_intact(
    connection: sa.Connection, told: list[tuple[dict[str, object], float, str]], name: str, known: dict[str, object]
) -> None:
    connection.execute(sa.delete(schema.event).where(schema.event.c.run == "any"))
    connection.execute(sa.delete(schema.run).where(schema.run.c.id == "any"))
    begin(connection, started("any", asked=name, settings=known), now_s=7)
    events = [Entry(n, at_s, word, body) for n, (body, at_s, word) in enumerate(told)]
    write(connection, "any", events, Changes(name=name, plan=known))
    finish(connection, "any", [], ending(message=name, components=[known]), now_s=8)
    assert faults(connection, "any") == []

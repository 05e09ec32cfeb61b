from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from ble_ota.errors import StorageError
from ble_ota.events import Verdict
from ble_ota.ledger import Changes, Ending, schema
from ble_ota.ledger.audit import faults
from ble_ota.ledger.runs import ENTRIES_MAX, KILLED, abandon, begin, finish, put_mark, write
from ble_ota.ledger.seek import entries, find
from ble_ota.model import Mark
from tests.ledger.words import DEVICE, SHA, ending, entry, started

NONE = Changes()


@pytest.fixture(autouse=True)
def begun(connection: sa.Connection) -> None:
    begin(connection, started(), now_s=10.5)


def stored(connection: sa.Connection) -> dict[str, object]:
    """Everything there is, to see that a refusal changed nothing of it."""
    return {t.name: connection.execute(sa.select(t)).all() for t in schema.metadata.sorted_tables}


def count(connection: sa.Connection, number: int) -> None:
    connection.execute(sa.update(schema.run).values(entries=number))


def test_a_run_begins_as_it_was_given(connection: sa.Connection) -> None:
    begin(connection, started("run-2", carries_on="run-1"), now_s=11.0)
    row = find(connection, "run-2")
    assert row is not None
    assert {name: getattr(row, name) for name in started().__slots__} == {
        name: getattr(started("run-2", carries_on="run-1"), name) for name in started().__slots__
    }
    assert (row.started_at_s, row.finished_at_s, row.ending, row.plan, row.approved_by) == (11.0, None, None, {}, "")


def test_a_run_begins_once(connection: sa.Connection) -> None:
    with pytest.raises(ValueError, match="has begun before"):
        begin(connection, started(), now_s=11.0)


def test_events_and_what_became_known_are_written_together(connection: sa.Connection) -> None:
    told = [entry(0, "plan.shown", plan="plan-1"), entry(4, "plan.decided", why="agreed")]
    write(connection, "run-1", told, Changes(plan_id="plan-1", plan={"components": [{"no": "0"}]}, approved_by="ada"))
    row = find(connection, "run-1")
    assert entries(connection, "run-1") == told
    assert row is not None
    assert (row.plan_id, row.plan, row.approved_by) == ("plan-1", {"components": [{"no": "0"}]}, "ada")


def test_what_is_not_named_in_a_change_stays(connection: sa.Connection) -> None:
    write(connection, "run-1", [], Changes(plan_id="plan-1", address="AA"))
    write(connection, "run-1", [], Changes(address="BB"))
    row = find(connection, "run-1")
    assert row is not None
    assert (row.plan_id, row.address) == ("plan-1", "BB")


@pytest.mark.parametrize("seqs", [[2], [1], [3, 3], [4, 3], [-1]])
def test_events_out_of_order_are_refused(seqs: list[int], connection: sa.Connection) -> None:
    write(connection, "run-1", [entry(2)], NONE)
    before = stored(connection)
    with pytest.raises(ValueError, match="comes after it"):
        write(connection, "run-1", [entry(seq) for seq in seqs], NONE)
    assert stored(connection) == before


def test_a_negative_number_is_refused_as_the_first(connection: sa.Connection) -> None:
    with pytest.raises(ValueError, match="comes after it"):
        write(connection, "run-1", [entry(-1)], NONE)


@pytest.mark.parametrize("column", ["verdict", "hash", "pid", "nonsense"])
def test_only_what_becomes_known_can_change(column: str, connection: sa.Connection) -> None:
    with pytest.raises(ValueError, match="cannot change"):
        write(connection, "run-1", [], {column: "x"})  # type: ignore[misc]


def test_a_large_body_is_stored_cut(connection: sa.Connection) -> None:
    write(connection, "run-1", [entry(0, text="x" * 100_000)], NONE)
    (kept,) = entries(connection, "run-1")
    assert kept.body["truncated"] is True
    assert faults(connection, "run-1") == []


def test_a_run_writes_so_many_events_and_no_more(connection: sa.Connection) -> None:
    count(connection, ENTRIES_MAX - 1)
    write(connection, "run-1", [entry(0)], NONE)
    with pytest.raises(StorageError, match="100000 events"):
        write(connection, "run-1", [entry(1)], NONE)


@pytest.mark.parametrize(("there", "kept"), [(ENTRIES_MAX, 1000), (ENTRIES_MAX + 999, 1), (ENTRIES_MAX + 1000, 0)])
def test_a_run_that_wrote_too_much_still_gets_its_verdict(there: int, kept: int, connection: sa.Connection) -> None:
    count(connection, there)
    finish(connection, "run-1", [entry(n) for n in range(1500)], ending(), now_s=12.0)
    row = find(connection, "run-1")
    assert row is not None
    assert not row.open
    assert [e.seq for e in entries(connection, "run-1")] == list(range(1500 - kept, 1500))


def test_an_ending_is_read_back_as_it_was_given(connection: sa.Connection) -> None:
    full = Ending(
        verdict=Verdict.FAIL,
        reason="not_verified",
        exit_code=33,
        message="it runs 1.0.0\nstill",
        hint="See `ble-ota plan`",
        components=[{"component": "0", "outcome": "failed"}],
        bytes_sent=262_144,
        bytes_resent=400,
        seconds={"transfer": 12.5},
    )
    finish(connection, "run-1", [entry(0)], full, now_s=12.5)
    row = find(connection, "run-1")
    assert row is not None
    assert (row.ending, row.finished_at_s) == (full, 12.5)
    assert entries(connection, "run-1") == [entry(0)]


def test_a_second_verdict_is_refused_and_changes_nothing(connection: sa.Connection) -> None:
    finish(connection, "run-1", [entry(0)], ending("FAIL"), now_s=12.0)
    before = stored(connection)
    with pytest.raises(ValueError, match="has ended: FAIL"):
        finish(connection, "run-1", [entry(1)], ending("PASS"), now_s=13.0)
    assert stored(connection) == before


def test_nothing_is_written_after_the_verdict(connection: sa.Connection) -> None:
    finish(connection, "run-1", [], ending(), now_s=12.0)
    with pytest.raises(ValueError, match="has ended"):
        write(connection, "run-1", [entry(9)], NONE)


def test_a_run_that_never_began_is_a_bug(connection: sa.Connection) -> None:
    with pytest.raises(ValueError, match="not in the ledger"):
        write(connection, "run-9", [entry(0)], NONE)


def test_a_word_that_is_no_verdict_is_refused(connection: sa.Connection) -> None:
    with pytest.raises(ValueError, match="MAYBE"):
        finish(connection, "run-1", [], ending("MAYBE"), now_s=12.0)


def test_an_ending_is_stored_whatever_its_size(connection: sa.Connection) -> None:
    large = ending(message="x" * 10_000, components=[{"notes": "y" * 100_000}])
    finish(connection, "run-1", [], large, now_s=12.0)
    row = find(connection, "run-1")
    assert row is not None
    assert row.ending is not None
    assert len(row.ending.message) == 4096
    assert row.ending.components == [{"truncated": True, "bytes": 100_014}]


def test_open_runs_are_closed_as_killed_and_ended_ones_left_alone(connection: sa.Connection) -> None:
    for name in ("run-2", "run-3", "run-4"):
        begin(connection, started(name), now_s=11.0)
    write(connection, "run-2", [entry(0)], NONE)
    finish(connection, "run-3", [], ending(), now_s=12.0)
    assert abandon(connection, schema.run.c.id != "run-4", now_s=20.0) == ["run-1", "run-2"]
    found = [find(connection, name) for name in ("run-1", "run-2", "run-3", "run-4")]
    assert [r and r.ending for r in found] == [KILLED, KILLED, ending(), None]
    assert [r and r.finished_at_s for r in found] == [20.0, 20.0, 12.0, None]
    assert faults(connection, "run-2") == []


def test_a_killed_run_says_so() -> None:
    assert (KILLED.verdict, KILLED.reason, KILLED.exit_code) == (Verdict.ABORTED, "killed", 137)


def test_a_mark_replaces_the_one_before(connection: sa.Connection) -> None:
    mark = Mark("0", 1, SHA, 65_536, "200 next", age_s=2.0)
    put_mark(connection, "run-1", DEVICE, mark, now_s=100.0)
    put_mark(connection, "run-1", DEVICE, replace(mark, offset=131_072, age_s=0.5), now_s=200.0)
    put_mark(connection, "run-1", DEVICE, replace(mark, file=2), now_s=200.0)
    found = connection.execute(sa.select(schema.mark).order_by(schema.mark.c.file)).mappings().all()
    assert [(row["file"], row["offset"], row["at_s"]) for row in found] == [(1, 131_072, 199.5), (2, 65_536, 198.0)]


def test_a_mark_of_another_device_is_another_mark(connection: sa.Connection) -> None:
    for device in (DEVICE, ("p11", "d2"), ("p12", "d1")):
        put_mark(connection, "run-1", device, Mark("0", 0, SHA, 1, ""), now_s=1.0)
    assert len(connection.execute(sa.select(schema.mark)).all()) == 3


def test_a_mark_cannot_come_from_the_future(connection: sa.Connection) -> None:
    put_mark(connection, "run-1", DEVICE, Mark("0", 0, SHA, 1, "", age_s=-5.0), now_s=100.0)
    assert connection.execute(sa.select(schema.mark.c.at_s)).scalar() == 100.0


def test_a_mark_belongs_to_a_run_that_is_there(connection: sa.Connection) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        put_mark(connection, "run-9", DEVICE, Mark("0", 0, SHA, 1, ""), now_s=1.0)

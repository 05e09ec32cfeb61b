from __future__ import annotations

import hashlib

import pytest
import sqlalchemy as sa

from ble_ota.errors import StorageError
from ble_ota.ledger import Changes, Head, outbox, runs
from ble_ota.ledger.audit_log import KEYS, append, digest_of, found, head, holds, last_digest, subject_of
from ble_ota.ledger.schema import KEY_MAX, ROW_KEY_MAX, audit_head, audit_log, run
from ble_ota.model import Mark
from tests.ledger.words import DEVICE, SHA, ending, entry, report, started


def entries(connection: sa.Connection) -> list[tuple[str, str]]:
    """Kind and key of each entry after the first."""
    told = connection.execute(sa.select(audit_log.c.kind, audit_log.c.key).order_by(audit_log.c.no)).all()
    return [(kind, key) for kind, key in told][1:]


def head_of(connection: sa.Connection) -> Head:
    told = head(connection)
    assert told is not None
    return told[1]


def test_a_new_ledger_has_an_id_of_its_own(connection: sa.Connection) -> None:
    first = head(connection)
    assert first is not None
    connection.execute(sa.delete(audit_log))
    connection.execute(sa.delete(audit_head))
    found(connection)
    second = head(connection)
    assert second is not None
    assert (first[1].count, second[1].count) == (1, 1)
    assert first[0] != second[0]
    assert first[1].hash != second[1].hash


def test_whatever_is_written_is_an_entry(connection: sa.Connection) -> None:
    runs.begin(connection, started(), now_s=1.0)
    runs.write(connection, "run-1", [entry(0)], Changes(name="Lamp"))
    runs.put_mark(connection, "run-1", DEVICE, Mark("0", 0, SHA, 1, ""), now_s=1.0)
    runs.put_mark(connection, "run-1", DEVICE, Mark("0", 0, SHA, 2, ""), now_s=2.0)
    runs.drop_mark(connection, DEVICE, "0", 0)
    number = outbox.keep(connection, report(), now_s=3.0)
    outbox.tried(connection, number, "no route", now_s=4.0)
    outbox.settle(connection, number, "sent", "", now_s=5.0)
    runs.finish(connection, "run-1", [entry(1)], ending(), now_s=6.0)
    mark = ("mark", '["p11","d1","0",0]')
    told = [("run", '["run-1"]')] * 2 + [mark] * 3 + [("report", f"[{number}]")] * 3 + [("run", '["run-1"]')]
    assert entries(connection) == told
    assert head_of(connection).count == 1 + len(told)


def test_what_changes_nothing_is_no_entry(connection: sa.Connection) -> None:
    runs.begin(connection, started(), now_s=1.0)
    number = outbox.keep(connection, report(), now_s=2.0)
    outbox.settle(connection, number, "sent", "", now_s=3.0)
    before = head_of(connection)
    outbox.keep(connection, report(), now_s=4.0)
    outbox.settle(connection, number, "dropped", "", now_s=5.0)
    outbox.tried(connection, number, "no route", now_s=6.0)
    runs.drop_mark(connection, DEVICE, "0", 0)
    assert head_of(connection) == before


def test_the_last_entry_says_what_the_row_is(connection: sa.Connection) -> None:
    runs.begin(connection, started(), now_s=1.0)
    runs.write(connection, "run-1", [], Changes(name="Lamp"))
    row = connection.execute(sa.select(run)).mappings().one()
    assert last_digest(connection, "run", ["run-1"]) == (3, digest_of(run, row))
    assert last_digest(connection, "run", ["run-2"]) is None


def test_a_row_that_is_gone_has_no_digest(connection: sa.Connection) -> None:
    runs.begin(connection, started(), now_s=1.0)
    runs.put_mark(connection, "run-1", DEVICE, Mark("0", 0, SHA, 1, ""), now_s=1.0)
    runs.drop_mark(connection, DEVICE, "0", 0)
    assert last_digest(connection, "mark", [*DEVICE, "0", 0]) == (4, "")


def test_a_column_at_its_default_is_not_in_the_digest() -> None:
    """So a migration that adds a column leaves the digests of old rows as they are."""
    row = {
        **{c.name: "" for c in run.columns},
        **{"arguments": {}, "settings": {}, "plan": {}, "versions_before": {}, "versions_after": {}},
        **{"no": 1, "id": "run-1", "pid": 7, "started_at_s": 1.5, "hash": "ab"},
        **{"finished_at_s": None, "verdict": None, "ending": None, "entries": 0, "last_seq": -1},
    }
    told = b'{"hash":"ab","id":"run-1","no":1,"pid":7,"started_at_s":1.5}'
    assert digest_of(run, row) == hashlib.sha256(told).hexdigest()


def test_an_empty_value_where_none_is_the_default_is_in_the_digest() -> None:
    row = {c.name: "x" for c in run.columns}
    assert digest_of(run, row | {"verdict": None}) != digest_of(run, row | {"verdict": ""})
    assert digest_of(run, row | {"ending": None}) != digest_of(run, row | {"ending": {}})


@pytest.mark.parametrize("column", [c.name for c in run.columns])
def test_each_column_is_in_the_digest(column: str) -> None:
    row = {c.name: "x" for c in run.columns}
    assert digest_of(run, row | {column: "y"}) != digest_of(run, row)


def test_no_two_rows_have_one_subject() -> None:
    keys: list[tuple[str, list[object]]] = [
        ("run", ["a"]),
        ("report", ["a"]),
        ("mark", ["a", "b", "c", 0]),
        ("mark", ["a", "b,c", "", 0]),
    ]
    assert len({subject_of(kind, key) for kind, key in keys}) == len(keys)


def test_the_longest_key_fits(connection: sa.Connection) -> None:
    runs.begin(connection, started(), now_s=1.0)
    longest = "\U0001f600" * KEY_MAX
    runs.put_mark(connection, "run-1", (longest, longest), Mark(longest, 2**31 - 1, SHA, 1, ""), now_s=1.0)
    ((_, key),) = entries(connection)[1:]
    assert 9000 < len(key) <= ROW_KEY_MAX


def test_an_earlier_head_is_held_and_another_one_is_not(connection: sa.Connection) -> None:
    runs.begin(connection, started(), now_s=1.0)
    earlier = head_of(connection)
    runs.write(connection, "run-1", [entry(0)], Changes())
    assert holds(connection, earlier)
    assert holds(connection, head_of(connection))
    assert not holds(connection, Head(earlier.count, "0" * 64))
    assert not holds(connection, Head(earlier.count + 1, earlier.hash))
    assert not holds(connection, Head(99, earlier.hash))


@pytest.mark.parametrize("sql", ["DELETE FROM audit_head", "INSERT INTO audit_head VALUES ('x', 1, 'y')"])
def test_nothing_is_written_on_where_the_head_is_lost(sql: str, connection: sa.Connection) -> None:
    connection.exec_driver_sql(sql)
    with pytest.raises(StorageError, match="no head") as caught:
        runs.begin(connection, started(), now_s=1.0)
    assert "history verify" in caught.value.hint


def test_an_unknown_row_that_is_told_of_is_told_of_as_gone(connection: sa.Connection) -> None:
    append(connection, "report", 7)
    assert last_digest(connection, "report", [7]) == (2, "")


def test_every_table_with_rows_of_its_own_is_told_of() -> None:
    assert {table.name for table, _ in KEYS.values()} == {"run", "mark", "report"}

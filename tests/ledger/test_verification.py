# ruff: noqa: S608 -- a test's own words
from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from ble_ota.ledger import Changes, Head, Ledger
from ble_ota.ledger.schema import HASH_LENGTH, VERSION_TABLE, metadata
from ble_ota.ledger.verification import ENTRIES, FAULTS, ROWS
from ble_ota.model import Mark
from tests.ledger.words import APPROVED, DEVICE, SHA, ending, entry, report, started

OUTSIDE = {(VERSION_TABLE, "version_num"): "it is alembic's; another value is refused when the ledger is opened"}
"""Columns that are under no chain, and why that is right."""
# one row of each table, as SQL says it, and as a sentence names it
ROWS_OF = {
    "run": ("id = 'run-2'", "run run-2"),
    "event": ("run = 'run-2' AND seq = 1", "run run-2"),
    "mark": ("run = 'run-1'", "mark p11/d1/0/0"),
    "report": ("id = 1", "report 1"),
    "audit_log": ("no = 4", ""),
    "audit_head": ("1", ""),
}
COLUMNS = [(table.name, column.name) for table in metadata.sorted_tables for column in table.columns]


def harm(file: Path, *statements: str) -> None:
    """Do what a careless or a cunning hand does, past the program."""
    with closing(sqlite3.connect(file)) as database, database:
        for sql in statements:
            assert database.execute(sql).rowcount != 0, sql


async def write(file: Path) -> None:
    """A ledger in which each column that may hold something holds something; run-1 is open, run-2 and run-3 ended."""
    async with await Ledger.open(file) as ledger:
        for name in ("run-1", "run-2", "run-3"):
            known = Changes(**APPROVED, name="Lamp", plan_id="7", plan={"components": []}, versions_before={"0": "1"})
            await ledger.begin(started(name))
            await ledger.write(name, [entry(0), entry(1), entry(2)], known)
        await ledger.mark("run-1", DEVICE, Mark("0", 0, SHA, 65536, "200 next"))
        await ledger.mark("run-1", DEVICE, Mark("0", 0, SHA, 131072, "200 next"))
        await ledger.tried(await ledger.keep(report("run-2", plan_ends_at_s=9.5)), "no route")
        await ledger.settle(await ledger.keep(report("run-3")), "superseded", "too late")
        for name in ("run-2", "run-3"):
            await ledger.finish(name, [entry(3)], ending(seconds={"transfer": 0.5}))


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once: a disk makes this slow."""
    file = tmp_path_factory.mktemp("once") / "ledger.db"
    asyncio.run(write(file))
    return file


@pytest.fixture
def written(once: Path, file: Path) -> Path:
    file.parent.mkdir(mode=0o700)
    shutil.copy(once, file)
    return file


async def found(file: Path, **heads: Head) -> list[str]:
    async with await Ledger.open(file) as ledger:
        return await ledger.verify(heads)


async def head(file: Path) -> Head:
    async with await Ledger.open(file) as ledger:
        told = await ledger.head()
        assert told is not None
        return told[1]


async def test_what_was_written_is_found_intact(written: Path) -> None:
    assert await found(written) == []
    assert await found(written, vault=await head(written)) == []


# ------------------------------------------------------------------ every column


def test_every_column_is_looked_at() -> None:
    assert {table for table, _ in COLUMNS} | {table for table, _ in OUTSIDE} == {*metadata.tables, VERSION_TABLE}


def another(column: sa.Column[object]) -> Iterable[str]:
    """SQL for other values of a column, of its own kind."""
    if isinstance(column.type, sa.JSON):
        yield """'{"x":1}'"""
    elif isinstance(column.type, sa.String):
        yield f"'{'0' * HASH_LENGTH}'"
        yield f"coalesce({column.name}, '') || 'x'"
    else:
        yield f'coalesce("{column.name}", 0) + 1000'
    if column.nullable:
        yield "NULL"


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[f"{table}.{column}" for table, column in COLUMNS])
async def test_a_changed_value_of_any_column_is_found(table: str, column: str, written: Path, tmp_path: Path) -> None:
    where, name = ROWS_OF[table]
    for number, value in enumerate(another(metadata.tables[table].c[column])):
        file = tmp_path / f"{number}.db"
        shutil.copy(written, file)
        harm(file, f'UPDATE {table} SET "{column}" = {value} WHERE {where}')
        faults = await found(file)
        assert faults, value
        assert any(name in fault for fault in faults), faults


@pytest.mark.parametrize("column", [c.name for c in metadata.tables["run"].columns])
async def test_a_changed_value_of_a_run_without_a_verdict_is_found(column: str, written: Path, tmp_path: Path) -> None:
    for number, value in enumerate(v for v in another(metadata.tables["run"].c[column]) if v != "NULL"):
        file = tmp_path / f"{number}.db"
        shutil.copy(written, file)
        harm(file, f"UPDATE run SET \"{column}\" = {value} WHERE id = 'run-1'")
        assert await found(file), value


async def test_another_version_of_the_schema_is_refused(written: Path) -> None:
    harm(written, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(Exception, match="newer version"):
        await found(written)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("run", c) for c in ("id", "name", "verdict", "plan")),
        *(("event", c) for c in ("name", "body", "run")),
        *(("mark", c) for c in ("device_key", "learned")),
        *(("report", c) for c in ("why", "versions")),
        *(("audit_log", c) for c in ("no", "kind", "key", "digest", "hash")),
        *(("audit_head", c) for c in ("ledger", "entries", "hash")),
    ],
)
@pytest.mark.parametrize("value", ["CAST(x'66ff' AS TEXT)", "x'66ff'"], ids=["flipped bit", "blob"])
async def test_what_is_no_text_is_found_and_no_end_of_the_look(
    table: str, column: str, value: str, written: Path
) -> None:
    harm(written, f"UPDATE {table} SET {column} = {value} WHERE {ROWS_OF[table][0]}")
    assert await found(written)


# ------------------------------------------------------------------ rows that are gone, or new


@pytest.mark.parametrize("run", ["run-1", "run-2", "run-3"])
async def test_a_run_that_is_gone_is_named(run: str, written: Path) -> None:
    """With all that belongs to it, so that nothing else tells of it."""
    with closing(sqlite3.connect(written)) as database, database:
        for table in ("event", "mark", "report"):
            database.execute(f"DELETE FROM {table} WHERE run = '{run}'")
        database.execute(f"DELETE FROM run WHERE id = '{run}'")
    assert any(fault.startswith(f"run {run} is missing: entry ") for fault in await found(written))


@pytest.mark.parametrize("table", ["mark", "report"])
async def test_a_mark_or_a_report_that_is_gone_is_named(table: str, written: Path) -> None:
    where, name = ROWS_OF[table]
    harm(written, f"DELETE FROM {table} WHERE {where}")
    (fault,) = await found(written)
    assert fault.startswith(f"{name} is missing: entry ")


async def test_all_rows_that_are_gone_are_named(written: Path) -> None:
    harm(written, *(f"DELETE FROM {name}" for name in ("event", "mark", "report", "run")))
    names = {fault.partition(" is missing")[0] for fault in await found(written)}
    assert names == {"run run-1", "run run-2", "run run-3", "mark p11/d1/0/0", "report 1", "report 2"}


async def test_events_without_a_run_are_found(written: Path) -> None:
    harm(written, "INSERT INTO event SELECT 'run-9', seq, at_s, name, body, hash FROM event WHERE run = 'run-1'")
    assert await found(written) == ["run run-9 is missing, and 3 of its events are there"]


async def test_a_mark_that_was_dropped_and_is_there_is_found(file: Path) -> None:
    async with await Ledger.open(file) as ledger:
        await ledger.begin(started())
        await ledger.mark("run-1", DEVICE, Mark("0", 0, SHA, 5, ""))
        await ledger.drop_mark(DEVICE, "0", 0)
        assert await ledger.last_mark(DEVICE, "0", 0, SHA) is None
        assert await ledger.verify() == []
    harm(file, f"INSERT INTO mark VALUES ('p11', 'd1', '0', 0, 'run-1', '{SHA}', 5, '', 1.0)")
    assert [fault.partition(", by entry")[0] for fault in await found(file)] == [
        "mark p11/d1/0/0: is not what was written"
    ]


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("INSERT INTO report SELECT 99, run, account, product_key, device_key, plan_id, plan_ends_at_s, component, "
         "'failed', versions, state, why, attempts, created_at_s, changed_at_s, resolved_by FROM report WHERE id = 1",
         "report 99"),
        (f"INSERT INTO mark VALUES ('p11', 'd1', '0', 1, 'run-1', '{SHA}', 5, '', 1.0)", "mark p11/d1/0/1"),
    ],
    ids=["report", "mark"],
)  # fmt: skip
async def test_a_row_that_nobody_wrote_is_found(sql: str, name: str, written: Path) -> None:
    harm(written, sql)
    assert await found(written) == [f"{name}: no entry of the audit log tells of it"]


@pytest.mark.parametrize("table", ["audit_log", "run", "audit_head"])
async def test_a_table_that_is_gone_is_found(table: str, written: Path) -> None:
    harm(written, f"DROP TABLE {table}")
    assert await found(written) == [f"the table {table} is missing"]


# ------------------------------------------------------------------ the log and its head


async def test_a_log_that_is_empty_is_found(written: Path) -> None:
    harm(written, *(f"DELETE FROM {name}" for name in metadata.tables))
    assert await found(written) == ["the audit log has lost its head"]


async def test_entries_that_are_missing_are_named(written: Path) -> None:
    harm(written, "DELETE FROM audit_log WHERE no IN (4, 5, 7)")
    faults = await found(written)
    assert faults[:2] == ["entries 4 to 5 of the audit log is missing", "entry 7 of the audit log is missing"]


async def test_entries_that_are_missing_at_the_end_are_found(written: Path) -> None:
    count = (await head(written)).count
    harm(written, f"DELETE FROM audit_log WHERE no = {count}")
    assert any(f"ends with entry {count - 1}, and not as its own head says" in fault for fault in await found(written))


async def cut(file: Path, count: int) -> None:
    """Cut off the log after `count`, and mend its own head: nothing in the file shows it."""
    harm(
        file,
        f"DELETE FROM audit_log WHERE no > {count}",
        f"UPDATE audit_head SET entries = {count}, hash = (SELECT hash FROM audit_log WHERE no = {count})",
    )


async def test_a_tail_that_is_cut_off_with_its_rows_is_found_by_a_head_from_elsewhere(file: Path) -> None:
    async with await Ledger.open(file) as ledger:
        await ledger.begin(started("run-1"))
        await ledger.finish("run-1", [entry(0)], ending())
    shorter = await head(file)
    async with await Ledger.open(file) as ledger:
        await ledger.begin(started("run-2"))
        await ledger.finish("run-2", [entry(0)], ending("FAIL"))
    longer = await head(file)
    harm(file, "DELETE FROM event WHERE run = 'run-2'", "DELETE FROM run WHERE id = 'run-2'")
    await cut(file, shorter.count)
    assert await found(file) == []  # without a head from elsewhere it cannot be told
    assert await found(file, vault=shorter) == []
    assert await found(file, vault=longer) == ["the audit log ends with entry 3, and vault tells of entry 5"]


async def test_an_older_copy_is_found_by_a_head_and_its_own_head_is_a_prefix(written: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(written, copy)
    before = await head(written)
    async with await Ledger.open(written) as ledger:
        await ledger.begin(started("run-4"))
    after = await head(written)
    assert await found(written, vault=before) == []  # longer is fine
    assert len(await found(copy, vault=after)) == 1


async def test_a_fresh_ledger_is_found_by_a_head(written: Path) -> None:
    known = await head(written)
    written.unlink()
    assert await found(written) == []
    assert len(await found(written, vault=known)) == 1
    async with await Ledger.open(written) as ledger:
        for n in range(known.count):
            await ledger.begin(started(f"run-{n}"))
    (fault,) = await found(written, vault=known)
    assert fault == f"entry {known.count} of the audit log is not the one that vault tells of"


async def test_a_log_that_was_written_anew_is_found_by_a_head(written: Path) -> None:
    """Somebody changes a report, and then writes the log and its head anew, hash by hash."""
    known = await head(written)
    harm(written, "UPDATE report SET state = 'sent' WHERE id = 1")
    harm(written, *(f"DROP TABLE {name}" for name in ("audit_log", "audit_head")))
    harm(written, "ALTER TABLE report DROP COLUMN resolved_by", f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    assert await found(written) == []
    assert len(await found(written, vault=known)) == 1


async def test_each_head_is_named_by_its_place(written: Path) -> None:
    wrong, known = Head(3, "0" * 64), await head(written)
    assert await found(written, paper=wrong, vault=known) == [
        "entry 3 of the audit log is not the one that paper tells of"
    ]


# ------------------------------------------------------------------ large ledgers


async def test_a_look_goes_page_by_page_and_misses_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.ledger.verification.ENTRIES", 7)
    monkeypatch.setattr("ble_ota.ledger.verification.ROWS", 3)
    async with await Ledger.open(file) as ledger:
        for n in range(10):
            await ledger.begin(started(f"run-{n}"))
            await ledger.mark(f"run-{n}", ("p11", f"d{n}"), Mark("0", 0, SHA, n, ""))
    for count in range(8):
        await _grown(file, count)
        assert await found(file) == []
    harm(file, "UPDATE mark SET offset = 99", "UPDATE run SET pid = 1")
    names = [fault.partition(":")[0] for fault in await found(file)]
    assert names == [*(f"run run-{n}" for n in range(10)), *(f"mark p11/d{n}/0/0" for n in range(10))]
    harm(file, "DELETE FROM mark", "DELETE FROM run")
    names = [fault.partition(" is")[0] for fault in await found(file) if fault.startswith("run")]
    assert sorted(names) == [f"run run-{n}" for n in range(10)]


async def _grown(file: Path, number: int) -> None:
    """One entry more, so that the log ends at each place of a page."""
    async with await Ledger.open(file) as ledger:
        await ledger.mark("run-0", ("p11", "d0"), Mark("0", 0, SHA, 100 + number, ""))


async def test_no_more_sentences_are_kept_than_one_reads(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.ledger.verification.FAULTS", 5)
    async with await Ledger.open(file) as ledger:
        for n in range(20):
            await ledger.begin(started(f"run-{n:02}"))
    harm(file, "UPDATE run SET last_seq = 9")
    faults = await found(file)
    assert (len(faults), faults[-1]) == (6, "15 more faults were found")


def test_the_bounds_are_small() -> None:
    assert (ENTRIES, ROWS, FAULTS) == (1000, 50, 1000)

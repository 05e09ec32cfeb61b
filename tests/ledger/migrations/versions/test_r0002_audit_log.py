from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from ble_ota.ledger import Changes, Ledger
from ble_ota.ledger.migrations.versions import r0002_audit_log
from ble_ota.ledger.schema import VERSION_TABLE, metadata
from ble_ota.model import Mark
from tests.ledger.words import APPROVED, DEVICE, SHA, Clock, ending, entry, report, started


async def old(file: Path, clock: Clock, runs: int = 3) -> None:
    """A ledger of the first schema, in which a run is open, others have ended, and reports and marks are kept."""
    async with await Ledger.open(file, now=clock) as ledger:
        for n in range(runs):
            await ledger.begin(started(f"run-{n}", asked="Lämpchen \U0001f4a1"))
            known = Changes(**APPROVED, plan={"notes": "ä", "components": []}, versions_before={"": "1.0.0"})
            await ledger.write(f"run-{n}", [entry(0), entry(1, text="ä")], known)
            await ledger.mark(f"run-{n}", ("", f"d{n}"), Mark("0", 0, SHA, 65536, "200 next", age_s=0.1))
        await ledger.tried(await ledger.keep(report("run-0", plan_ends_at_s=9.5)), "no route")
        await ledger.settle(await ledger.keep(report("run-1", versions={})), "sent")
        bare = dict.fromkeys(("command", "asked", "radio", "cloud", "who", "tool"), "")  # each column at its default
        await ledger.begin(started("bare", arguments={}, settings={}, **bare))
        await ledger.mark("bare", ("p", "bare"), Mark("", 0, SHA, 0, ""))
        await ledger.keep(report("bare", account="", plan_id="", component="", versions={}))
        for n in range(1, runs):
            await ledger.finish(f"run-{n}", [entry(2)], ending(seconds={"transfer": 0.1}))
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DROP TABLE audit_log")
        database.execute("DROP TABLE audit_head")
        database.execute("ALTER TABLE report DROP COLUMN resolved_by")
        database.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0001'")  # noqa: S608


@pytest.mark.parametrize("runs", [3, r0002_audit_log._PAGE, r0002_audit_log._PAGE + 1])
async def test_an_old_ledger_is_opened_and_every_row_is_told_of(runs: int, file: Path, clock: Clock) -> None:
    await old(file, clock, runs)
    async with await Ledger.open(file, now=clock) as ledger:
        assert await ledger.verify() == []
        told = await ledger.head()
        assert told is not None
        assert told[1].count == 1 + 2 * runs + 2 + 3
        assert [r.resolved_by for r in await ledger.reports()] == [""] * 3
        assert (await ledger.run("run-0") or started()).asked == "Lämpchen \U0001f4a1"


async def test_what_is_written_after_it_follows(file: Path, clock: Clock) -> None:
    await old(file, clock)
    async with await Ledger.open(file, now=clock) as ledger:
        await ledger.mark("run-0", ("", "d0"), Mark("0", 0, SHA, 70000, ""))
        await ledger.tried(1, "no route again")
        await ledger.finish("run-0", [entry(2)], ending("ERROR"))
        await ledger.begin(started("run-9"))
        await ledger.mark("run-9", DEVICE, Mark("0", 0, SHA, 5, ""))
        assert await ledger.verify() == []


async def test_the_entries_stand_in_the_order_of_the_rows(file: Path, clock: Clock) -> None:
    await old(file, clock)
    async with await Ledger.open(file, now=clock):
        pass
    with closing(sqlite3.connect(file)) as database:
        keys = [f"{kind} {key}" for kind, key in database.execute("SELECT kind, key FROM audit_log ORDER BY no")]
    runs, marks = (f'run ["run-{n}"]' for n in range(3)), (f'mark ["","d{n}","0",0]' for n in range(3))
    reports = (f"report [{n}]" for n in (1, 2, 3))
    assert keys[1:] == [*runs, 'run ["bare"]', *reports, *marks, 'mark ["p","bare","",0]']


@pytest.mark.parametrize("value", ["'{'", "CAST(x'66ff' AS TEXT)", "x'66ff'"])
async def test_a_row_that_is_damaged_keeps_no_ledger_closed_and_is_found(value: str, file: Path, clock: Clock) -> None:
    await old(file, clock)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"UPDATE run SET settings = {value} WHERE id = 'run-1'")  # noqa: S608
        database.execute(f"UPDATE report SET versions = {value} WHERE id = 2")  # noqa: S608
    async with await Ledger.open(file, now=clock) as ledger:
        faults = await ledger.verify()
    assert [fault.partition(":")[0] for fault in faults] == ["run run-1", "report 2"]


async def test_each_ledger_gets_an_id_of_its_own(tmp_path: Path, clock: Clock) -> None:
    ids = set[str]()
    for name in ("a.db", "b.db"):
        await old(tmp_path / name, clock)
        async with await Ledger.open(tmp_path / name, now=clock) as ledger:
            told = await ledger.head()
            assert told is not None
            ids.add(told[0])
    assert len(ids) == 2


def test_every_statement_compiles_for_postgresql() -> None:
    out = io.StringIO()
    offline = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": out})
    with Operations.context(offline):
        r0002_audit_log.tables()
    assert [out.getvalue().count(f"CREATE TABLE {name} (") for name in ("audit_log", "audit_head")] == [1, 1]
    assert "ADD COLUMN resolved_by" in out.getvalue()


def test_every_column_of_the_schema_then_is_in_the_digests() -> None:
    """Those of today may be more; see the docstring of `schema`."""
    for kind, _, _, columns in r0002_audit_log._KINDS:
        assert columns.keys() <= {c.name for c in metadata.tables[kind].columns}

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ble_ota.errors import StorageError
from ble_ota.ledger import Changes, Ledger
from ble_ota.ledger.engine import transaction
from ble_ota.ledger.runs import KILLED
from ble_ota.model import Mark
from tests.ledger.words import ADDRESS, APPROVED, DEVICE, HERE, SHA, Clock, ending, engine_at, entry, report, started

T = TypeVar("T")


async def approved(ledger: Ledger, name: str = "run-1") -> None:
    await ledger.begin(started(name))
    await ledger.write(name, [entry(0)], APPROVED)


# ---------------------------------------------------------------- opening and closing


async def test_a_run_outlives_the_ledger_it_was_written_with(file: Path, clock: Clock) -> None:
    async with await Ledger.open(file, now=clock) as first:
        await approved(first)
    async with await Ledger.open(file, now=clock) as second:
        row = await second.run("run-1")
        assert row is not None
        assert (row.open, row.approved_by, row.started_at_s) == (True, "ada", clock.now_s)
        assert await second.events("run-1") == [entry(0)]


async def test_a_url_names_a_ledger_too(file: Path) -> None:
    async with await Ledger.open(f"sqlite:///{file}") as by_url:
        await by_url.begin(started())
    async with await Ledger.open(file) as by_path:
        assert await by_path.run("run-1")


async def test_a_ledger_in_memory_is_one_ledger() -> None:
    async with await Ledger.open("sqlite://") as ledger:
        await ledger.begin(started())
        assert await ledger.run("run-1")


async def test_closing_twice_does_no_harm(file: Path) -> None:
    ledger = await Ledger.open(file)
    await ledger.close()
    await ledger.close()


async def test_closing_leaves_neither_thread_nor_open_file(file: Path) -> None:
    ledger = await Ledger.open(file)
    await ledger.begin(started())
    await ledger.close()
    for thread in [t for t in threading.enumerate() if t.name.startswith("ledger")]:
        thread.join(10)
        assert not thread.is_alive()
    assert [p.name for p in file.parent.iterdir()] == ["ledger.db"]  # the last one out folds the WAL


async def test_a_place_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    before = threading.active_count()
    with pytest.raises(StorageError):
        await Ledger.open(tmp_path / "state" / "ledger.db")
    for thread in [t for t in threading.enumerate() if t.name.startswith("ledger")]:
        thread.join(10)
    assert threading.active_count() <= before


async def test_a_file_that_is_no_ledger_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"\x7fELF" * 4096)
    with pytest.raises(StorageError, match="is not a ledger"):
        await Ledger.open(file)
    assert file.read_bytes() == b"\x7fELF" * 4096


# ---------------------------------------------------------------- cancelling


class Slow(Ledger):
    """A ledger whose transactions wait, inside, for the test's word."""

    started: threading.Event
    go_on: threading.Event

    async def transact(self, work: Callable[[sa.Connection], T], *, reads: bool = False) -> T:
        def waiting(connection: sa.Connection) -> T:
            self.started.set()
            assert self.go_on.wait(10)
            return work(connection)

        return await super().transact(waiting, reads=reads)


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slow, "started", threading.Event(), raising=False)
    monkeypatch.setattr(Slow, "go_on", threading.Event(), raising=False)


async def begun(task: asyncio.Task[None]) -> None:
    assert await asyncio.to_thread(Slow.started.wait, 10)
    assert not task.done()


@pytest.mark.usefixtures("gates")
async def test_a_cancelled_call_is_over_when_it_says_so(file: Path) -> None:
    async with await Slow.open(file) as slow, await Ledger.open(file) as other:
        task = asyncio.create_task(slow.begin(started()))
        await begun(task)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=0)
        assert not done
        Slow.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await other.run("run-1")


@pytest.mark.usefixtures("gates")
async def test_a_call_cancelled_before_its_turn_does_nothing(file: Path) -> None:
    async with await Slow.open(file) as slow:
        first, second = (asyncio.create_task(slow.begin(started(name))) for name in ("run-1", "run-2"))
        await begun(first)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        Slow.go_on.set()
        await first
        assert [row.id for row in await slow.runs()] == ["run-1"]


@pytest.mark.usefixtures("gates")
async def test_a_call_cancelled_twice_does_not_wait(file: Path) -> None:
    async with await Slow.open(file) as slow:
        task = asyncio.create_task(slow.begin(started()))
        await begun(task)
        task.cancel()
        await asyncio.wait({task}, timeout=0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)
        Slow.go_on.set()


@pytest.mark.usefixtures("gates")
async def test_a_call_that_hangs_is_given_up_by_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.ledger.ledger.HUNG_S", 0.1)
    slow = await Slow.open(file)
    with pytest.raises(StorageError, match="does not answer"):
        await slow.begin(started())
    await slow.close()  # which does not wait for it either
    Slow.go_on.set()


@pytest.mark.usefixtures("gates")
async def test_a_cancelled_call_that_hangs_is_given_up_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = await Slow.open(file)
    task = asyncio.create_task(slow.begin(started()))
    await begun(task)
    monkeypatch.setattr("ble_ota.ledger.ledger.HUNG_S", 0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    await slow.close()
    Slow.go_on.set()


@pytest.mark.usefixtures("gates")
async def test_an_error_of_a_cancelled_call_is_not_heard_of_again(file: Path) -> None:
    heard = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: heard.append(context))
    async with await Slow.open(file) as slow:
        task = asyncio.create_task(slow.write("no such run", []))
        await begun(task)
        task.cancel()
        Slow.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert heard == []


async def test_calls_take_place_in_the_order_they_were_made(ledger: Ledger) -> None:
    await ledger.begin(started())
    await asyncio.gather(*(ledger.write("run-1", [entry(n)]) for n in range(50)))
    assert [e.seq for e in await ledger.events("run-1")] == list(range(50))


@pytest.mark.usefixtures("gates")
async def test_a_mark_that_waited_for_its_turn_is_as_old_as_it_is(file: Path, clock: Clock) -> None:
    Slow.go_on.set()
    async with await Slow.open(file, now=clock) as slow:
        await slow.begin(started())
        Slow.started.clear()
        Slow.go_on.clear()
        task = asyncio.create_task(slow.mark("run-1", DEVICE, Mark("0", 0, SHA, 1, "", age_s=1.0)))
        await begun(task)
        clock.now_s += 9.0
        Slow.go_on.set()
        await task
        found = await slow.last_mark(DEVICE, "0", 0, SHA)
        assert found is not None
        assert found.age_s == 10.0


# ---------------------------------------------------------------- what can go wrong (P5)


async def test_a_ledger_that_stays_locked_is_a_named_error(file: Path) -> None:
    async with await Ledger.open(file, busy_s=0.05) as ledger:
        with engine_at(file) as other, transaction(other, reads=False):
            with pytest.raises(StorageError, match="is locked by another process"):
                await ledger.begin(started())
            assert await ledger.runs() == []  # to read, nothing is waited for
        await ledger.begin(started())


async def test_a_ledger_that_can_only_be_read_can_be_read(file: Path) -> None:
    async with await Ledger.open(file) as writing, await Ledger.open(f"sqlite:///file:{file}?mode=ro&uri=true") as ro:
        await writing.begin(started())
        assert [row.id for row in await ro.runs()] == ["run-1"]
        with pytest.raises(StorageError, match="can only be read"):
            await ro.write("run-1", [entry(0)])


async def test_a_full_disk_keeps_what_was_written_before(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await Ledger.open(file) as ledger:
        await ledger.begin(started())
    with monkeypatch.context() as patched:
        small = lambda *args, **more: _limited(sqlite3.connect(*args, **more))  # noqa: E731
        patched.setattr("sqlite3.dbapi2.connect", small)
        async with await Ledger.open(file) as ledger:
            with pytest.raises(StorageError, match="disk is full"):
                await ledger.write("run-1", [entry(n, text="x" * 5000) for n in range(9)], Changes(name="Lamp"))
            assert await ledger.events("run-1") == []
    async with await Ledger.open(file) as ledger:
        await ledger.write("run-1", [entry(0)])
        assert await ledger.verify() == []


def _limited(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA max_page_count = 1")  # SQLite takes it as: no larger than it is
    return connection


async def test_damage_found_on_the_way_is_a_named_error(file: Path) -> None:
    async with await Ledger.open(file) as ledger:
        await approved(ledger)
    content = file.read_bytes()
    file.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    with pytest.raises(StorageError, match="is damaged"):
        async with await Ledger.open(file) as ledger:
            await ledger.runs()


# ---------------------------------------------------------------- each method does what its part does


async def test_a_run_from_its_beginning_to_its_end(ledger: Ledger, clock: Clock) -> None:
    await approved(ledger)
    clock.now_s += 12.5
    await ledger.finish("run-1", [entry(1)], ending())
    row = await ledger.run("run-1")
    assert row is not None
    assert (row.ending, row.finished_at_s) == (ending(), clock.now_s)
    assert [e.seq for e in await ledger.events("run-1")] == [0, 1]
    with pytest.raises(ValueError, match="has ended"):
        await ledger.finish("run-1", [], ending("FAIL"))


async def test_what_was_left_is_told_and_carried_on(ledger: Ledger) -> None:
    await approved(ledger)
    left = await ledger.pending(**HERE)
    assert left is not None
    assert [row.id for row in await ledger.unfinished()] == [left.id] == ["run-1"]
    await ledger.begin(started("run-2", carries_on="run-1"))
    await ledger.write("run-2", [], APPROVED)
    await ledger.finish("run-2", [], ending("PASS"))
    assert await ledger.pending(**HERE) is None
    assert await ledger.unfinished() == []


async def test_runs_of_a_device_whose_process_died_are_closed(ledger: Ledger, clock: Clock) -> None:
    await approved(ledger, "mine")
    await approved(ledger, "dead")
    await ledger.begin(started("elsewhere"))
    await ledger.write("elsewhere", [], Changes(product_key="p11", device_key="d2"))
    clock.now_s += 60
    assert [row.id for row in await ledger.open_runs(**HERE)] == ["dead", "mine"]
    assert await ledger.abandon_runs(["dead"]) == ["dead"]
    assert {row.id: row.ending for row in await ledger.runs()} == {"mine": None, "dead": KILLED, "elsewhere": None}
    assert [row.id for row in await ledger.open_runs(**HERE)] == ["mine"]
    left = await ledger.pending(**HERE)
    assert left is not None
    assert left.id == "dead"


async def test_runs_that_died_before_they_knew_their_device_are_closed_by_id(ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        await ledger.begin(started(name))
    assert await ledger.abandon_runs(["c", "a", "nonsense"]) == ["a", "c"]
    assert [row.id for row in await ledger.runs(only_open=True)] == ["b"]


async def test_runs_are_listed_as_asked(ledger: Ledger) -> None:
    await approved(ledger, "a")
    await ledger.begin(started("b"))
    await approved(ledger, "c")
    assert [row.id for row in await ledger.runs(limit=2)] == ["c", "b"]
    assert [row.id for row in await ledger.runs(device=DEVICE, before="c")] == ["a"]
    assert [row.id for row in await ledger.runs(of=ADDRESS.lower())] == ["c", "a"]


async def test_a_mark_grows_old(ledger: Ledger, clock: Clock) -> None:
    mark = Mark("0", 0, SHA, 65_536, "200 next", age_s=1.0)
    await ledger.begin(started())
    await ledger.mark("run-1", DEVICE, mark)
    clock.now_s += 4.0
    assert await ledger.last_mark(DEVICE, "0", 0, SHA) == replace(mark, age_s=5.0)
    assert await ledger.last_mark(DEVICE, "0", 0, "00" * 32) is None


async def test_a_mark_without_a_run_is_a_named_error(ledger: Ledger) -> None:
    with pytest.raises(StorageError, match="does not do what it should"):
        await ledger.mark("no such run", DEVICE, Mark("0", 0, SHA, 1, ""))


async def test_a_report_is_kept_tried_and_settled(ledger: Ledger, clock: Clock) -> None:
    await approved(ledger)
    number = await ledger.keep(report())
    assert not await ledger.confirmed(DEVICE, plan_id="plan-1", fingerprint="f1", component="0")
    clock.now_s += 1.0
    await ledger.tried(number, "no route")
    (kept,) = await ledger.kept("acme", DEVICE)
    assert (kept.id, kept.attempts, kept.why, kept.changed_at_s) == (number, 1, "no route", clock.now_s)
    await ledger.settle(number, "sent")
    assert await ledger.kept() == []
    assert [r.state for r in await ledger.reports()] == ["sent"]
    assert await ledger.confirmed(DEVICE, plan_id="plan-1", fingerprint="f1", component="0")


async def test_an_older_report_is_told_that_a_newer_run_was_confirmed(ledger: Ledger) -> None:
    await approved(ledger, "run-1")
    await approved(ledger, "run-2")
    assert not await ledger.newer_confirmed(report("run-1"))
    await ledger.settle(await ledger.keep(report("run-2")), "sent")
    assert await ledger.newer_confirmed(report("run-1"))


async def test_every_run_is_verified(ledger: Ledger, file: Path) -> None:
    for name in ("a", "b", "c"):
        await approved(ledger, name)
    assert await ledger.verify() == []
    with engine_at(file) as other, transaction(other, reads=False) as connection:
        connection.exec_driver_sql("UPDATE event SET name = 'x' WHERE run IN ('a', 'c')")
    assert [sentence.partition(":")[0] for sentence in await ledger.verify()] == ["run a", "run c"]


async def everything(ledger: Ledger) -> None:
    """Each method once."""
    for name in ("run-1", "run-2", "run-3"):
        await approved(ledger, name)
    await ledger.finish("run-3", [entry(1)], ending("ERROR"))
    await ledger.mark("run-1", DEVICE, Mark("0", 0, SHA, 1, ""))
    await ledger.mark("run-1", DEVICE, Mark("0", 0, SHA, 2, ""))
    await ledger.last_mark(DEVICE, "0", 0, SHA)
    await ledger.tried(await ledger.keep(report()), "no route")
    await ledger.settle(await ledger.keep(report()), "sent")
    await ledger.kept("acme", DEVICE)
    await ledger.reports()
    await ledger.confirmed(DEVICE, plan_id="plan-1", fingerprint="f1", component="0")
    await ledger.newer_confirmed(report())
    await ledger.run("run-1 or another")
    await ledger.runs(device=DEVICE, of="d1", only_open=True, before="run-3")
    await ledger.pending(**HERE)
    await ledger.unfinished()
    await ledger.abandon_runs(["run-2"])
    await ledger.open_runs(**HERE)
    await ledger.verify()


async def test_every_statement_compiles_for_postgresql(ledger: Ledger) -> None:
    said = list[sa.ClauseElement]()

    def hear(_connection: sa.Connection, statement: sa.ClauseElement, *_rest: object) -> None:
        said.append(statement)

    sa.event.listen(sa.Engine, "before_execute", hear)
    try:
        await everything(ledger)
    finally:
        sa.event.remove(sa.Engine, "before_execute", hear)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    texts = {str(statement.compile(dialect=dialect)) for statement in said}
    assert {text.split()[0] for text in texts} == {"SELECT", "INSERT", "UPDATE"}
    assert any("FOR UPDATE" in text for text in texts)
    assert any("FOR SHARE" in text for text in texts)


# ---------------------------------------------------------------- death of the process

CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from ble_ota.ledger import Ledger
from tests.ledger.words import entry, started

class Mortal(Ledger):
    async def transact(self, work, *, reads=False):
        def dying(connection):
            result = work(connection)
            if sys.argv[2] == "inside":
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        result = await super().transact(dying, reads=reads)
        os.kill(os.getpid(), signal.SIGKILL)
        return result

async def main():
    await (await Mortal.open(Path(sys.argv[1]))).write("run-1", [entry(0), entry(1)], {"name": "Lamp"})

asyncio.run(main())
"""


@pytest.mark.parametrize(("edge", "found"), [("inside", ([], "")), ("after", ([0, 1], "Lamp"))])
async def test_a_killed_process_leaves_a_transaction_whole_or_not_at_all(
    edge: str, found: tuple[list[int], str], file: Path
) -> None:
    async with await Ledger.open(file) as ledger:
        await ledger.begin(started())
        child = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", CHILD, str(file), edge], timeout=30)
        assert child.returncode == -9
        row = await ledger.run("run-1")
        assert row is not None
        assert ([e.seq for e in await ledger.events("run-1")], row.name) == found
        await ledger.finish("run-1", [entry(9)], ending())
        assert await ledger.verify() == []

"""The door to the ledger: asynchronous outside, one transaction per call inside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import sqlalchemy as sa

from ble_ota.errors import StorageError
from ble_ota.ledger import audit_log, outbox, runs, schema, seek
from ble_ota.ledger.engine import connect, transaction
from ble_ota.ledger.head import Head
from ble_ota.ledger.migrate import bring_up
from ble_ota.ledger.place import located
from ble_ota.ledger.rows import Changes, DeviceKeys, Ending, Entry, Report, RunRow, Started
from ble_ota.ledger.thread import OneThread
from ble_ota.ledger.verification import Verification
from ble_ota.model import Mark

BUSY_S = 10.0  # for another process's transaction; ours take milliseconds
HUNG_S = 60.0  # our choice: a disk that has not answered by then hangs, and nobody waits for it any more
_NO_CHANGES = Changes()

T = TypeVar("T")


class Ledger:
    """What was done, is being done and must still be reported.

    Every method raises `StorageError` when the database or the disk fails, and has then changed nothing.
    """

    def __init__(self, engine: sa.Engine, thread: Executor, now: Callable[[], float]) -> None:
        """Use `open`."""
        self._engine = engine
        self._thread = thread  # one: calls take place in the order in which they were made
        self._now = now
        self._closed = False
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, place: Path | str, *, busy_s: float = BUSY_S, now: Callable[[], float] = time.time) -> Self:
        """Open the ledger at `place`, and make it or bring it up to date where needed.

        Args:
            place: The path of an SQLite file, or an SQLAlchemy URL.
            busy_s: How long to wait for another process's transaction.
            now: The clock, unix seconds.

        Raises:
            StorageError: The place cannot be used, is on a network, or holds something else or something newer.
        """
        thread = OneThread("ledger")
        try:
            engine = await _whole(thread, lambda: connect(located(place), busy_s=busy_s))
            ledger = cls(engine, thread, now)
            try:
                await _whole(thread, lambda: bring_up(engine))
            except BaseException:
                await ledger.close()
                raise
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return ledger

    async def close(self) -> None:
        """Let go of the database, after what is under way. Once is enough, twice does no harm."""
        if self._closed:
            return
        self._closed = True
        try:
            with suppress(StorageError):  # it hangs, which was said before
                await _whole(self._thread, self._engine.dispose)
        finally:
            self._thread.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    async def transact(self, work: Callable[[sa.Connection], T], *, reads: bool = False) -> T:
        """Do `work` in one transaction; every method goes through here.

        A cancelled call is over when it says so: done whole, or not at all. Cancelled twice, it does not wait for that.
        """

        def worked() -> T:
            with transaction(self._engine, reads=reads) as connection:
                return work(connection)

        async with self._turn:  # a call that is cancelled before its turn does nothing
            return await _whole(self._thread, worked)

    # ---------------------------------------------------------------- runs

    async def begin(self, started: Started) -> None:
        """Write down that a run begins. `ValueError` when there is one of this id."""
        await self.transact(lambda c: runs.begin(c, started, now_s=self._now()))

    async def write(self, run: str, entries: Sequence[Entry], changes: Changes | None = None) -> None:
        """Write events of an open run, and what became known with them, in one transaction.

        A body over 64 KiB is cut, and says so. `StorageError` also when the run has written 100,000 events;
        `ValueError` when there is no such run, it has ended, or a `seq` is not larger than the one before.
        """
        await self.transact(lambda c: runs.write(c, run, entries, changes or _NO_CHANGES))

    async def finish(self, run: str, entries: Sequence[Entry], ending: Ending) -> None:
        """Write the last events and the one verdict of a run. `ValueError` when it has one."""
        await self.transact(lambda c: runs.finish(c, run, entries, ending, now_s=self._now()))

    async def open_runs(self, *, product_key: str, device_key: str, address: str) -> list[RunRow]:
        """Return the runs of this device that have no verdict, newest first: their processes live, or have died."""
        here = seek.belongs(product_key=product_key, device_key=device_key, address=address)
        return await self.transact(lambda c: seek.open_runs(c, here), reads=True)

    async def abandon_runs(self, ids: Sequence[str]) -> list[str]:
        """Close those of these runs that are open, as killed, and return their ids. For runs whose process is gone."""
        return await self.transact(lambda c: runs.abandon(c, schema.run.c.id.in_(ids), now_s=self._now()))

    async def run(self, id_or_prefix: str) -> RunRow | None:
        """The run with this id, or the only one whose id begins with these four or more characters.

        `UsageError` when several do.
        """
        return await self.transact(lambda c: seek.find(c, id_or_prefix), reads=True)

    async def runs(
        self,
        *,
        device: DeviceKeys | None = None,
        of: str = "",
        only_open: bool = False,
        limit: int = 50,
        before: str = "",
    ) -> list[RunRow]:
        """Runs, newest first.

        Args:
            device: Only of the device with these keys.
            of: Only of the device with this device key, address, name, or PRODUCT_KEY/DEVICE_KEY.
            only_open: Only those that have no verdict.
            limit: So many at most.
            before: Only those that began before the run of this id.
        """
        return await self.transact(
            lambda c: seek.listed(c, device=device, of=of, only_open=only_open, limit=limit, before=before), reads=True
        )

    async def events(self, run: str) -> list[Entry]:
        """The events of a run, in their order."""
        return await self.transact(lambda c: seek.entries(c, run), reads=True)

    async def pending(self, *, product_key: str, device_key: str, address: str) -> RunRow | None:
        """The run to carry on for this device: its newest approved one, if nothing final came of it or after it.

        One that is still open may be at work: close first what has died, and leave alone what is then open.
        """
        return await self.transact(
            lambda c: seek.pending(c, product_key=product_key, device_key=device_key, address=address), reads=True
        )

    async def unfinished(self) -> list[RunRow]:
        """What `pending` gives, for every device; newest first. One that is running now is among them."""
        return await self.transact(seek.unfinished, reads=True)

    # ---------------------------------------------------------------- whether it still says what was written

    async def verify(self, heads: Mapping[str, Head] | None = None) -> list[str]:
        """Compare every row with the audit log, and the log with its head.

        Args:
            heads: Heads that the log must have had, by the words for the place where they are kept.

        Returns:
            Sentences of what is wrong, 1000 at most; none when all is as it was written.
        """
        found = Verification(heads or {})
        if not await self.transact(found.missing_tables, reads=True):
            for step in found.steps:
                while await self.transact(step, reads=True):
                    pass
        return found.faults

    async def head(self) -> tuple[str, Head] | None:
        """Return the ledger's random id and the head of its audit log; None where these are lost."""
        return await self.transact(audit_log.head, reads=True)

    async def holds(self, earlier: Head) -> bool:
        """Return True if the audit log had this head once."""
        return await self.transact(lambda c: audit_log.holds(c, earlier), reads=True)

    # ---------------------------------------------------------------- how far a file has come

    async def mark(self, run: str, device: DeviceKeys, mark: Mark) -> None:
        """Keep how far a file has come. A device without keys goes by ("", its address)."""
        now_s = self._now()  # not later: waiting for a lock must not make the mark look younger than it is
        await self.transact(lambda c: runs.put_mark(c, run, device, mark, now_s=now_s))

    async def drop_mark(self, device: DeviceKeys, component: str, file: int) -> None:
        """Forget how far a file has come, because the device will not carry it on; without a mark do nothing."""
        await self.transact(lambda c: runs.drop_mark(c, device, component, file))

    async def last_mark(self, device: DeviceKeys, component: str, file: int, sha256: str) -> Mark | None:
        """How far this very image had come, and how long ago; None when another image, or none, was on its way.

        A mark that lies in the future, because the clock was set back, is given as thirty years old.
        """
        return await self.transact(
            lambda c: seek.last_mark(c, device, component, file, sha256=sha256, now_s=self._now()), reads=True
        )

    # ---------------------------------------------------------------- status reports

    async def keep(self, report: Report) -> int:
        """Put a report into the outbox, unless it has one of this run, component and outcome; its id either way."""
        return await self.transact(lambda c: outbox.keep(c, report, now_s=self._now()))

    async def resolve(self, words: Sequence[Report]) -> None:
        """Keep the reports of a run that a person settles, all of them or none.

        Args:
            words: Reports of one run, each with `resolved_by`.

        Raises:
            UsageError: The end of one of these components was reported before, or is kept to be.
        """
        await self.transact(lambda c: outbox.resolve(c, words, now_s=self._now()))

    async def kept(self, account: str | None = None, device: DeviceKeys | None = None) -> list[Report]:
        """Reports that are neither sent nor settled otherwise, oldest first."""
        return await self.transact(lambda c: outbox.kept(c, account=account, device=device), reads=True)

    async def reports(self, limit: int = 50) -> list[Report]:
        """All reports, newest first."""
        return await self.transact(lambda c: outbox.listed(c, limit=limit), reads=True)

    async def reports_of(self, run: str) -> list[Report]:
        """The reports of a run, oldest first."""
        return await self.transact(lambda c: outbox.of_run(c, run), reads=True)

    async def tried(self, report_id: int, why: str) -> None:
        """Count an attempt that failed; the report stays kept."""
        await self.transact(lambda c: outbox.tried(c, report_id, why, now_s=self._now()))

    async def settle(self, report_id: int, state: str, why: str = "") -> None:
        """End the keeping of a report as "sent", "superseded" or "dropped"; the first such word stands."""
        await self.transact(lambda c: outbox.settle(c, report_id, state, why, now_s=self._now()))

    async def confirmed(self, device: DeviceKeys, *, plan_id: str, fingerprint: str, component: str) -> bool:
        """Whether a confirmation of this very plan and component is in effect, in whichever run.

        It reached the Developer Center, and no success or failure of the component was to be told since.
        """
        return await self.transact(
            lambda c: outbox.confirmed(c, device, plan_id=plan_id, fingerprint=fingerprint, component=component),
            reads=True,
        )

    async def newer_confirmed(self, report: Report) -> bool:
        """Whether a run of the report's device that began later had a confirmation sent, of whichever plan."""
        return await self.transact(lambda c: outbox.newer_confirmed(c, report), reads=True)


async def _whole(thread: Executor, work: Callable[[], T]) -> T:
    """Do `work` in `thread`; when cancelled, wait for its end before saying so, for `HUNG_S` at most.

    Raises:
        StorageError: It took longer.
    """
    waiting = asyncio.get_running_loop().run_in_executor(thread, work)
    # whoever would have heard of its error may be gone
    waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait({waiting}, timeout=HUNG_S)
    except asyncio.CancelledError:
        await asyncio.wait({waiting}, timeout=HUNG_S)
        raise
    if not waiting.done():
        msg = f"the ledger does not answer: what takes milliseconds has not been done in {HUNG_S:g} s"
        raise StorageError(msg, hint="Check the disk that it is on")
    return waiting.result()

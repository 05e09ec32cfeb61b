"""One run, told from its start to its one verdict, which is written down before it is told."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from ble_ota import __version__
from ble_ota.cli import output, process, signals
from ble_ota.cli.common import Common, say_bug
from ble_ota.cli.output import Kind
from ble_ota.cli.render import Screen
from ble_ota.cli.tally import Tally
from ble_ota.cli.verdict import Ended, aborted, of_error, of_outcome
from ble_ota.errors import BleOtaError, DeadlineError, StorageError
from ble_ota.events import DownloadProgress, Event, RunFinished, RunStarted, TransferProgress, Verdict
from ble_ota.model import Outcome

if TYPE_CHECKING:
    from ble_ota.cli.journal import Journal
    from ble_ota.ledger import Ending, Entry

T = TypeVar("T")
_log = logging.getLogger(__name__)
STORED_S = 90.0  # our choice: a verdict that cannot be written down by then never will; the ledger gives up after 60 s
CLOSED_S = 8.0  # our choice: a link, a session and the ledger are closed within 2 s each, or hang
GIVE_UP_S = 0.5  # our choice: between two cancellations of what does not end
AFTERWARDS_S = 10.0  # our choice: how long one waits for reports to arrive before the verdict is told


def as_line(event: Event, *, run: str, device: str, seq: int, at: datetime) -> dict[str, Any]:
    """An event as its JSON line; see `events.schema.json`."""
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"v": 1, "ts": stamp, "seq": seq, "event": event.name, "run": run, "device": device} | _plain(event)


def _plain(event: Event) -> dict[str, Any]:
    plain = asdict(event)
    if isinstance(event, RunFinished):
        plain["verdict"] = event.verdict.value
    return plain


@dataclass(slots=True)
class Run:
    """Tells events as they come, writes down what must not be lost, and ends in one verdict."""

    common: Common
    command: str
    device: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    journal: Journal | None = None
    """Where it is written down, from the moment the settings are known."""
    afterwards: Callable[[], Awaitable[None]] | None = None
    """What is still to be done when the verdict stands; it has `AFTERWARDS_S`, and must not raise."""
    _seq: int = 0
    _screen: Screen = field(init=False)
    _tally: Tally = field(default_factory=Tally)
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)
    _signal: signal.Signals | None = None
    _asked: int = 0  # how many signals have come
    _stoppable: asyncio.Task[Any] | None = None  # what a signal cancels; None while a verdict is written down
    _loop: asyncio.AbstractEventLoop | None = None
    _timeout: asyncio.Timeout | None = None
    _deadline_s: float = 0.0

    def __post_init__(self) -> None:
        self._screen = Screen(quiet=self.common.quiet)

    # ------------------------------------------------------------------ events

    def emit(self, event: Event) -> None:
        """Tell `event`; an `events.Emit`. It is written down with the next one that must be."""
        seq, at = self._count(event)
        if self.journal is not None and not isinstance(event, TransferProgress | DownloadProgress | RunFinished):
            self.journal.note(_entry(event, seq, at))
        self._tell(event, seq, at)

    async def record(self, event: Event) -> None:
        """Write `event` down, then tell it; an `events.Record`. Raises `StorageError`."""
        seq, at = self._count(event)
        if self.journal is not None:
            await self.journal.write(_entry(event, seq, at), event)
        self._tell(event, seq, at)

    def _count(self, event: Event) -> tuple[int, datetime]:
        self._tally.count(event)
        self._seq += 1
        return self._seq, datetime.now(UTC)

    def _tell(self, event: Event, seq: int, at: datetime) -> None:
        line = json.dumps(as_line(event, run=self.id, device=self.device, seq=seq, at=at))
        progress = isinstance(event, TransferProgress | DownloadProgress)
        _log.log(logging.DEBUG if progress else logging.INFO, "%s", line)
        with suppress(OSError, ValueError):  # whoever looked has gone; the run goes on
            self._screen.show(event)
        with suppress(OSError, ValueError):
            if self.common.json:
                output.write(sys.stdout, line + "\n", Kind.PROGRESS if progress else Kind.LINE)

    # ------------------------------------------------------------------ what a job may ask

    async def enter(self, opened: AbstractAsyncContextManager[T]) -> T:
        """Keep something open until the verdict is written down and told."""
        return await self._open.enter_async_context(opened)

    def hold(self, held: AbstractContextManager[T]) -> T:
        """Hold something until the verdict is written down and told."""
        return self._open.enter_context(held)

    def limit(self, deadline_s: float) -> None:
        """Say how long the run may still take, once the settings are known."""
        if self._timeout is not None:
            loop = asyncio.get_running_loop()
            self._timeout.reschedule(loop.time() + deadline_s)
            if deadline_s != self._deadline_s:
                process.unless_blocked(loop.call_soon_threadsafe, DeadlineError.exit_code, after_s=deadline_s)
            self._deadline_s = deadline_s

    # ------------------------------------------------------------------ start to end

    async def tell(self, job: Callable[[], Awaitable[Outcome]]) -> int:
        """Do `job` and tell how it ended, whichever way it ends; give the exit code."""
        self.emit(RunStarted(self.command, __version__))
        self._screen.open()
        self._loop = asyncio.get_running_loop()
        async with self._open:
            with signals.handled(self._stop, self._loop):
                ended = await self._ended(job)
                finished = await self._stored(ended)
                await self._afterwards()
                if self.journal is not None and self._asked < 2:  # who asks twice does not wait for a vault
                    await self.journal.keep_head()
                self._clear()
                with signals.handled(self._hurry):
                    self.emit(finished)
                    await self._close()
        return finished.exit_code

    async def _close(self) -> None:
        """Close what was opened; what takes longer than `CLOSED_S`, or a signal, is given up. The verdict stands."""
        timer = asyncio.get_running_loop().call_later(CLOSED_S, self._give_up)
        try:
            with self._cancellable():
                await self._open.aclose()
        except (asyncio.CancelledError, BleOtaError) as error:
            _log.warning("not everything was closed: %s", str(error) or "it took too long")
        except Exception as bug:  # noqa: BLE001 -- said; the verdict that was told stands
            self._bug(bug)
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        """Cancel what is being closed, again and again: one cancellation ends the closing of one thing only."""
        if self._stoppable is not None:
            self._stoppable.cancel()
            asyncio.get_running_loop().call_later(GIVE_UP_S, self._give_up)

    async def _ended(self, job: Callable[[], Awaitable[Outcome]]) -> Ended:
        try:
            with self._cancellable():
                async with asyncio.timeout(None) as self._timeout:
                    return of_outcome(await job())
        except BleOtaError as error:
            return of_error(error)
        except TimeoutError as error:
            if self._timeout is None or not self._timeout.expired():
                return self._bug(error)  # a time-out that nobody has named
            return of_error(DeadlineError(f"the run took longer than {self._deadline_s:g} s"))
        except asyncio.CancelledError:
            if self._signal is None:
                raise
            return aborted(signals.CODES[self._signal])
        except Exception as bug:  # noqa: BLE001 -- said, and the run still ends in a verdict
            return self._bug(bug)

    def _bug(self, bug: Exception) -> Ended:
        self._clear()
        with suppress(OSError, ValueError):
            say_bug()
        return Ended(Verdict.ERROR, "bug", 1, f"{type(bug).__name__}: {bug}")

    def _clear(self) -> None:
        """Take away what is drawn, where the terminal is still there."""
        with suppress(OSError, ValueError):
            self._screen.close()

    async def _stored(self, ended: Ended) -> RunFinished:
        """Write the verdict down; one that cannot be written is not told."""
        self._tally.enter("end")
        if self.journal is None:
            return self._finished(ended)
        try:
            async with asyncio.timeout(STORED_S):
                await self.journal.finish(_ending(self._finished(ended)))
        except (StorageError, TimeoutError) as error:
            why = error if isinstance(error, StorageError) else StorageError("the ledger does not answer")
            lost = f"{why}; what could not be written down: {ended.verdict}, {ended.message}"
            return self._finished(of_error(StorageError(lost, hint=why.hint)))
        except Exception as bug:  # noqa: BLE001 -- said; the run's next start closes it
            return self._finished(self._bug(bug))
        return self._finished(ended)

    def _finished(self, ended: Ended) -> RunFinished:
        return RunFinished(
            ended.verdict,
            ended.reason,
            ended.exit_code,
            ended.message,
            ended.hint,
            components=self._tally.components(failed=ended.failed, denied=ended.verdict is Verdict.FAIL),
            bytes_sent=self._tally.bytes_sent,
            bytes_resent=self._tally.bytes_resent,
            seconds=self._tally.seconds,
        )

    async def _afterwards(self) -> None:
        """Do what is left for a while; a signal ends it, and who was asked twice does not begin it."""
        if self.afterwards is None or self._asked > 1:
            return
        try:
            with self._cancellable():
                async with asyncio.timeout(AFTERWARDS_S):
                    await self.afterwards()
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if self._signal is None:
                raise
        except Exception as bug:  # noqa: BLE001 -- said; the verdict that is written down stands
            self._bug(bug)

    def _stop(self, number: signal.Signals) -> None:
        """Let a signal end what can be ended politely, a second one at once, and a third one the process.

        A signal handler: it runs at any place of the loop, and where the loop is blocked.
        """
        self._asked += 1
        self._signal = self._signal or number
        if self._asked == 2:
            signals.let_go()
        self._soon(self._cancel)
        if self._loop is not None:
            process.unless_blocked(self._loop.call_soon_threadsafe, signals.CODES[self._signal])

    def _hurry(self, _number: signal.Signals) -> None:
        """Let a signal that comes after the verdict was told do no more than end the closing."""
        self._soon(self._give_up)

    def _soon(self, act: Callable[[], None]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(act)

    def _cancel(self) -> None:
        if self._stoppable is not None:
            self._stoppable.cancel()

    @contextmanager
    def _cancellable(self) -> Generator[None, None, None]:
        """Let a signal cancel the block; afterwards the task is as it was."""
        self._stoppable = task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        try:
            yield
        finally:
            self._stoppable = None
            while task is not None and task.cancelling() > before:
                task.uncancel()


def _entry(event: Event, seq: int, at: datetime) -> Entry:
    from ble_ota.ledger import Entry

    return Entry(seq, at.timestamp(), event.name, _plain(event))


def _ending(finished: RunFinished) -> Ending:
    from ble_ota.ledger import Ending

    return Ending(**_plain(finished))

"""One run, told from its start to its one verdict."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ble_ota import __version__
from ble_ota.cli.common import Common, say_bug
from ble_ota.cli.render import Screen
from ble_ota.errors import BleOtaError, DeadlineError, DeviceError, NotVerifiedError, StopAsked
from ble_ota.events import (
    DeviceRebooting,
    DeviceVerified,
    DownloadProgress,
    DownloadStarted,
    Event,
    ImageVerified,
    LinkConnected,
    PlanDecided,
    PlanShown,
    RunFinished,
    RunStarted,
    StatusReported,
    TransferProgress,
    TransferStarted,
    Verdict,
)
from ble_ota.model import Blocked, Declined, Done, Outcome, UpToDate

# Which phase an event begins; the seconds of each are in run.finished.
PHASES: Mapping[type[Event], str] = {
    PlanShown: "consent",
    PlanDecided: "confirm",
    DownloadStarted: "download",
    ImageVerified: "connect",
    TransferStarted: "transfer",
    DeviceRebooting: "reboot",
    DeviceVerified: "report",
    StatusReported: "report",
}
_log = logging.getLogger(__name__)
SIGNAL_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def as_line(event: Event, *, run: str, device: str, seq: int, at: datetime) -> dict[str, Any]:
    """An event as its JSON line; see `events.schema.json`."""
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    plain = asdict(event)
    if isinstance(event, RunFinished):
        plain["verdict"] = event.verdict.value
    return {"v": 1, "ts": stamp, "seq": seq, "event": event.name, "run": run, "device": device} | plain


@dataclass(slots=True)
class Run:
    """Tells events as they come, counts what `run.finished` sums up, and ends in one verdict."""

    common: Common
    command: str
    device: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    _seq: int = 0
    _screen: Screen = field(init=False)
    _phase: str = "identify"
    _phase_began: float = field(default_factory=time.monotonic)
    _seconds: dict[str, float] = field(default_factory=dict[str, float])
    _components: dict[str, str] = field(default_factory=dict[str, str])
    _sent: list[_Sent] = field(default_factory=list["_Sent"])
    _signal: signal.Signals | None = None
    _timeout: asyncio.Timeout | None = None
    _deadline_s: float = 0.0

    def __post_init__(self) -> None:
        self._screen = Screen(quiet=self.common.quiet)

    def emit(self, event: Event) -> None:
        """Tell `event`; an `events.Emit`."""
        self._count(event)
        self._seq += 1
        line = json.dumps(as_line(event, run=self.id, device=self.device, seq=self._seq, at=datetime.now(UTC)))
        _log.log(logging.DEBUG if isinstance(event, TransferProgress | DownloadProgress) else logging.INFO, "%s", line)
        with suppress(OSError, ValueError):  # whoever looked has gone; the run goes on
            self._screen.show(event)
        with suppress(OSError, ValueError):
            if self.common.json:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()

    def _count(self, event: Event) -> None:
        if type(event) in PHASES or (isinstance(event, LinkConnected) and event.purpose == "verify"):
            self._enter(PHASES.get(type(event), "verify"))
        match event:
            case PlanShown():
                self._components = {c["no"]: "planned" for c in event.components}
            case TransferStarted():
                self._components[event.component] = "transferring"
                self._sent.append(_Sent(event.component))
            case TransferProgress():
                self._sent[-1].count(event)
            case DeviceVerified():
                self._components[event.component] = "verified"
            case _:
                pass

    def _enter(self, phase: str) -> None:
        now = time.monotonic()
        self._seconds[self._phase] = round(self._seconds.get(self._phase, 0) + now - self._phase_began, 3)
        self._phase, self._phase_began = phase, now

    def limit(self, deadline_s: float) -> None:
        """Say how long the run may still take, once the settings are known."""
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time() + deadline_s)
            self._deadline_s = deadline_s

    async def tell(self, job: Callable[[], Awaitable[Outcome]]) -> int:
        """Do `job` and tell how it ended, whichever way it ends; give the exit code."""
        self.emit(RunStarted(self.command, __version__))
        self._screen.open()
        with self._signals():
            try:
                async with asyncio.timeout(None) as self._timeout:
                    finished = self._outcome(await job())
            except BleOtaError as error:
                finished = self._failed(error)
            except TimeoutError as error:
                finished = self._late(error)
            except asyncio.CancelledError:
                if self._signal is None:
                    raise
                finished = self._aborted(SIGNAL_CODES[self._signal])
            except Exception as bug:  # noqa: BLE001 -- said, and the run still ends in a verdict
                finished = self._bug(bug)
        return self._finish(finished)

    def _late(self, error: TimeoutError) -> RunFinished:
        """The deadline, or a time-out that nobody has named."""
        if self._timeout is None or not self._timeout.expired():
            return self._bug(error)
        return self._failed(DeadlineError(f"the run took longer than {self._deadline_s:g} s"))

    def _bug(self, bug: Exception) -> RunFinished:
        self._screen.close()
        say_bug()
        return self._finished(Verdict.ERROR, "bug", 1, f"{type(bug).__name__}: {bug}")

    @contextmanager
    def _signals(self) -> Generator[None, None, None]:
        """Let SIGINT and SIGTERM end the run, not the process."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(number: signal.Signals) -> None:
            self._signal = number
            if task is not None:
                task.cancel()

        for number in SIGNAL_CODES:
            loop.add_signal_handler(number, stop, number)
        try:
            yield
        finally:
            for number in SIGNAL_CODES:
                loop.remove_signal_handler(number)
            if self._signal is not None and task is not None:
                task.uncancel()

    def _finish(self, finished: RunFinished) -> int:
        self._screen.close()
        self.emit(finished)
        return finished.exit_code

    def _outcome(self, outcome: Outcome) -> RunFinished:
        match outcome:
            case Done():
                versions = ", ".join(f"{i.component.no or 'firmware'} {i.version}" for i in outcome.installed)
                return self._finished(Verdict.PASS, "verified", 0, f"the device runs {versions}")
            case UpToDate():
                return self._finished(Verdict.NOTHING_TO_DO, "up_to_date", 10, outcome.why)
            case Declined():
                return self._finished(Verdict.DECLINED, "declined", 11, "you said no; nothing was sent to the device")
            case Blocked():
                return self._finished(Verdict.REFUSED, "policy", 12, outcome.why, outcome.hint)

    def _failed(self, error: BleOtaError) -> RunFinished:
        if isinstance(error, StopAsked):
            return self._aborted(error.exit_code)
        if isinstance(error, DeadlineError):
            verdict = Verdict.TIMEOUT
        else:
            verdict = Verdict.FAIL if isinstance(error, DeviceError | NotVerifiedError) else Verdict.ERROR
        for no, state in self._components.items():
            self._components[no] = "failed" if state == "transferring" else state
        return self._finished(verdict, error.reason, error.exit_code, str(error), error.hint)

    def _aborted(self, exit_code: int) -> RunFinished:
        return self._finished(Verdict.ABORTED, "stopped", exit_code, "stopped", StopAsked.hint)

    def _finished(self, verdict: Verdict, reason: str, exit_code: int, message: str, hint: str = "") -> RunFinished:
        self._enter("end")
        return RunFinished(
            verdict,
            reason,
            exit_code,
            message,
            hint,
            components=[{"component": no, "state": state} for no, state in self._components.items()],
            bytes_sent=sum(s.bytes + s.resent for s in self._sent),
            bytes_resent=self._resent(),
            seconds=self._seconds,
        )

    def _resent(self) -> int:
        """Bytes that went more than once: within a link by the script's word, across links all but the last."""
        last = {s.component: at for at, s in enumerate(self._sent)}
        return sum(s.resent + (0 if last[s.component] == at else s.bytes) for at, s in enumerate(self._sent))


@dataclass(slots=True)
class _Sent:
    """What went of one component over one link."""

    component: str
    bytes: int = 0
    resent: int = 0
    _of_file: int = 0  # bytes of the present file that went more than once: the script counts anew for each

    def count(self, progress: TransferProgress) -> None:
        new = progress.resent if progress.resent < self._of_file else progress.resent - self._of_file
        self.bytes, self.resent, self._of_file = progress.bytes, self.resent + new, progress.resent

"""Events and plans as a person reads them. A bar on a terminal; elsewhere a line every 10 % or 5 s."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ble_ota.cli import output
from ble_ota.cli.output import Kind
from ble_ota.events import (
    ConfirmReported,
    DeviceRebooting,
    DeviceVerified,
    DownloadDone,
    DownloadProgress,
    DownloadStarted,
    Event,
    ImageVerified,
    LinkConnected,
    LinkLost,
    ReportKept,
    RunFinished,
    StatusReported,
    TransferProgress,
    TransferResumed,
    TransferStarted,
    Verdict,
    Warned,
)
from ble_ota.model import Component, DeviceInfo, Plan
from ble_ota.text import clean

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 5.0
LINE_EVERY_PERCENT = 10
PURPOSES = {
    "identify": "connected; asking what it runs",
    "transfer": "connected; logging in for the transfer",
    "verify": "connected again; asking what it runs now",
}

_SENTENCES: Mapping[type[Event], Callable[[Any], str]] = {
    ConfirmReported: lambda e: f"confirmed to the Developer Center: {_part(e.component)}",
    DownloadStarted: lambda e: f"fetching {_part(e.component)}, {size(e.total)}",
    DownloadDone: lambda e: ("in the cache already: " if e.cached else "downloaded: ") + f"sha256 {e.sha256}",
    ImageVerified: lambda e: f"verified: these {e.total} bytes are the plan's ({e.format})",
    LinkConnected: lambda e: f"{e.address} {PURPOSES.get(e.purpose, e.purpose)}",
    LinkLost: lambda e: f"{e.why}; connecting again ({e.attempt} of {e.attempts})",
    TransferStarted: lambda e: f"sending {_part(e.component)}, {size(e.total)}",
    TransferResumed: lambda e: f"going on at byte {e.offset} ({e.evidence})",
    DeviceRebooting: lambda _: "transferred; the device restarts",
    DeviceVerified: lambda e: f"proven: {_part(e.component)} is {e.version} (said by: {e.proof})",
    StatusReported: lambda e: f"reported to the Developer Center: {_part(e.component)} {e.outcome}",
    ReportKept: lambda e: f"not reported: {_part(e.component)} {e.outcome}: {e.why}",
    Warned: lambda e: f"warning: {e.message}",
}


def _part(component: str) -> str:
    return f"component {clean(component, most=64)}" if component else "the firmware"


def size(count: int) -> str:
    """Bytes for people: `65.5 kB` (1 kB is 1000 bytes)."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1000)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def last_words(event: RunFinished) -> str:
    """How the run ended: one line for a success, else what happened and what to do."""
    if event.verdict in (Verdict.PASS, Verdict.NOTHING_TO_DO):
        return f"{event.verdict.value}: {event.message}"
    hint = f"\n\nhint: {event.hint}" if event.hint else ""
    return f"{event.verdict.value}: {event.message}{hint}"


class Screen:
    """Shows events on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet and os.environ.get("TERM") != "dumb"
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._told = (0.0, 0)  # when the last plain progress line was, and at how many percent

    def open(self) -> None:
        """Get ready for progress."""
        self._told = (time.monotonic(), 0)

    def close(self) -> None:
        """Take the bar away."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, RunFinished):
            self._line(last_words(event), always=event.exit_code not in (0, 10))
        elif isinstance(event, TransferProgress | DownloadProgress):
            self._progress(event)
        elif type(event) in _SENTENCES:
            self.close()
            self._told = (time.monotonic(), 0)
            self._line(_SENTENCES[type(event)](event))

    def _line(self, text: str, *, always: bool = False, kind: Kind = Kind.LINE) -> None:
        if always or not self._quiet:
            output.write(sys.stderr, clean(text, keep="\n") + "\n", kind)

    def _progress(self, event: TransferProgress | DownloadProgress) -> None:
        if self._live:
            self._draw(event)
            return
        percent = event.bytes * 100 // event.total if event.total else 100
        at, before = self._told
        step = percent - before >= LINE_EVERY_PERCENT and percent <= 100 - LINE_EVERY_PERCENT  # 100 % comes right after
        if step or before < percent == 100 or (time.monotonic() - at >= LINE_EVERY_S and percent > before):
            self._told = (time.monotonic(), percent)
            rate = f", {size(event.rate_bps)}/s" if isinstance(event, TransferProgress) and event.rate_bps else ""
            self._line(f"  {percent:3d} %  {size(event.bytes)} of {size(event.total)}{rate}", kind=Kind.PROGRESS)

    def _draw(self, event: TransferProgress | DownloadProgress) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

            columns = ("  ", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            above = sys.stdout.isatty()  # else what is written there is for whoever reads it, and not for the screen
            self._bar = Progress(*columns, console=Console(file=output.frames()), transient=True, redirect_stdout=above)
            self._task = self._bar.add_task("", total=event.total)
            self._bar.start()
        if self._task is not None:
            self._bar.update(self._task, completed=event.bytes, total=event.total)


def plan_text(plan: Plan) -> str:
    """A plan as it is put before a person."""
    device = plan.device
    lines = [f"Plan {clean(plan.fetched.id, most=64)} for {_who(device)}"]
    for component in plan.components:
        lines += _component_lines(device, component)
    lines += [f"  ! {doubt}" for doubt in plan.doubts]
    return "\n".join(lines)


def _who(device: DeviceInfo) -> str:
    keys = f"{device.product_key}/{device.device_key}" if device.device_key else ""
    return clean(" ".join(filter(None, (device.name, keys, device.address))), most=160)


def _component_lines(device: DeviceInfo, component: Component) -> list[str]:
    kind = "delta" if component.delta else "full"
    running = device.running(component) or "unknown"
    lines = [
        f"  {component.no or 'firmware'}: {clean(running)} -> {clean(component.target_version)}"
        f" ({kind}, {size(component.size_bytes)}, {component.kind.name.lower()})"
    ]
    for file in component.files:
        digest = str(file.digests[0]) if file.digests else "no digest"
        lines.append(f"    {clean(file.name, most=64) or 'file'}: {file.size_bytes} bytes, {digest}")
    notes = clean(component.notes, keep="\n").strip()
    lines += [f"    | {line}" for line in notes.splitlines()[:20]]
    return lines

"""What `run.finished` sums up: phases, components, bytes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ble_ota.events import (
    DeviceRebooting,
    DeviceVerified,
    DownloadStarted,
    Event,
    ImageVerified,
    LinkConnected,
    PlanDecided,
    PlanShown,
    StatusReported,
    TransferDone,
    TransferProgress,
    TransferResumed,
    TransferStarted,
)

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


@dataclass(slots=True)
class Tally:
    """Counts a run's events as they come."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])
    _states: dict[str, str] = field(default_factory=dict[str, str])
    _stretches: list[_Stretch] = field(default_factory=list["_Stretch"])
    _phase: str = "identify"
    _phase_began: float = field(default_factory=time.monotonic)

    def count(self, event: Event) -> None:
        """Take note of one event."""
        if type(event) in PHASES or (isinstance(event, LinkConnected) and event.purpose == "verify"):
            self.enter(PHASES.get(type(event), "verify"))
        match event:
            case PlanShown():
                proven = {no: state for no, state in self._states.items() if state == "verified"}
                self._states = proven | {c["no"]: "planned" for c in event.components}
            case TransferStarted():
                self._states[event.component] = "transferring"
                self._stretches.append(_Stretch(event.component))
            case TransferResumed():
                self._stretches.append(_Stretch(event.component, event.offset, event.offset))
            case TransferProgress():
                self._stretches[-1].grow(event)
            case TransferDone():
                self._states[event.component] = "sent"
            case DeviceVerified():
                self._states[event.component] = "verified"
            case _:
                pass

    def enter(self, phase: str) -> None:
        """A phase begins, and the one before it ends."""
        now = time.monotonic()
        self.seconds[self._phase] = round(self.seconds.get(self._phase, 0) + now - self._phase_began, 3)
        self._phase, self._phase_began = phase, now

    def components(self, *, failed: bool, denied: bool = False) -> list[Mapping[str, Any]]:
        """Return each component's state; with `failed` the one under way has failed.

        One that was sent whole has failed only if the device `denied` it; else it is unproven.
        """
        word = {"transferring": "failed", "sent": "failed" if denied else "unproven"} if failed else {}
        return [{"component": no, "state": word.get(state, state)} for no, state in self._states.items()]

    @property
    def bytes_sent(self) -> int:
        """Bytes of firmware that went and were acknowledged, each time they went."""
        return sum(s.to - s.start + s.resent for s in self._stretches)

    @property
    def bytes_resent(self) -> int:
        """Of these, bytes that had gone before: all but the first time each byte of a component went."""
        new, reached = 0, dict[str, int]()
        for s in sorted(self._stretches, key=lambda s: s.start):
            at = max(s.start, reached.get(s.component, 0))
            new += max(0, s.to - at)
            reached[s.component] = max(at, s.to)
        return self.bytes_sent - new


@dataclass(slots=True)
class _Stretch:
    """What went of one component over one link; what begins there anew counts as sent again."""

    component: str
    start: int = 0  # bytes of the component
    to: int = 0
    resent: int = 0
    seen: int = 0  # what the script has counted as sent again, of its present file

    def grow(self, event: TransferProgress) -> None:
        self.resent += event.resent if event.resent < self.seen else event.resent - self.seen
        self.to, self.seen = max(self.to, event.bytes), event.resent

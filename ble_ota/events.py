"""What a run tells: small typed events, given to a synchronous `emit` that never raises.

`name` is the event's word in the JSON lines, its fields are the line's fields; `events.schema.json` beside this
file holds both. Sizes are bytes, rates bytes per second, times seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias


class Verdict(StrEnum):
    """How a run ended; one per run."""

    PASS = "PASS"  # noqa: S105 -- the field's word for success
    NOTHING_TO_DO = "NOTHING_TO_DO"
    DECLINED = "DECLINED"
    REFUSED = "REFUSED"
    FAIL = "FAIL"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    ABORTED = "ABORTED"


@dataclass(frozen=True, slots=True)
class Event:
    """What all events have in common: a name."""

    name: ClassVar[str]


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run begins."""

    name: ClassVar[str] = "run.started"
    command: str
    tool: str  # version of this package


@dataclass(frozen=True, slots=True)
class PlanShown(Event):
    """A plan was put before whoever decides."""

    name: ClassVar[str] = "plan.shown"
    plan: str
    components: list[Mapping[str, Any]]
    fingerprint: str = ""  # `FetchPlan.fingerprint`
    ends_at_s: float | None = None  # Unix time


@dataclass(frozen=True, slots=True)
class PlanDecided(Event):
    """What planning, or the user, made of it."""

    name: ClassVar[str] = "plan.decided"
    decision: str  # "approved", "declined", "up-to-date" or "blocked"
    why: str


@dataclass(frozen=True, slots=True)
class ConfirmReported(Event):
    """The Developer Center knows that this component was agreed to."""

    name: ClassVar[str] = "confirm.reported"
    component: str
    status: int


@dataclass(frozen=True, slots=True)
class DownloadStarted(Event):
    """A firmware file is looked for."""

    name: ClassVar[str] = "download.started"
    component: str
    total: int


@dataclass(frozen=True, slots=True)
class DownloadProgress(Event):
    """So much of it is here."""

    name: ClassVar[str] = "download.progress"
    component: str
    bytes: int
    total: int


@dataclass(frozen=True, slots=True)
class DownloadDone(Event):
    """It is in the cache."""

    name: ClassVar[str] = "download.done"
    component: str
    total: int
    sha256: str
    cached: bool  # True: it was there already


@dataclass(frozen=True, slots=True)
class ImageVerified(Event):
    """The bytes that will be sent are those of the plan."""

    name: ClassVar[str] = "image.verified"
    component: str
    total: int
    sha256: str
    format: str


@dataclass(frozen=True, slots=True)
class LinkConnected(Event):
    """A link stands."""

    name: ClassVar[str] = "link.connected"
    address: str
    purpose: str  # "identify", "transfer" or "verify"


@dataclass(frozen=True, slots=True)
class LinkLost(Event):
    """A link went away, or a device fell silent, where it should not have."""

    name: ClassVar[str] = "link.lost"
    why: str
    attempt: int
    attempts: int


@dataclass(frozen=True, slots=True)
class TransferStarted(Event):
    """The first byte of a component is about to go."""

    name: ClassVar[str] = "transfer.started"
    component: str
    total: int


@dataclass(frozen=True, slots=True)
class TransferProgress(Event):
    """So much of it is with the device, by the device's own word."""

    name: ClassVar[str] = "transfer.progress"
    component: str
    bytes: int
    total: int
    rate_bps: int  # bytes per second
    resent: int = 0  # bytes of the present file that went more than once


@dataclass(frozen=True, slots=True)
class TransferResumed(Event):
    """A transfer goes on after a break."""

    name: ClassVar[str] = "transfer.resumed"
    component: str
    offset: int
    evidence: str


@dataclass(frozen=True, slots=True)
class TransferDone(Event):
    """The device says it has the whole component and finds it good."""

    name: ClassVar[str] = "transfer.done"
    component: str
    total: int


@dataclass(frozen=True, slots=True)
class DeviceRebooting(Event):
    """The device is restarting into the new image."""

    name: ClassVar[str] = "device.rebooting"
    component: str
    evidence: str  # "disconnected", or "none": it kept the link and was let go


@dataclass(frozen=True, slots=True)
class DeviceVerified(Event):
    """The device, found again, says what it runs, and it is the target."""

    name: ClassVar[str] = "device.verified"
    component: str
    version: str
    proof: str  # "device", or "device-information" for 0x2A26; never a peer's that has not shown the device's key


@dataclass(frozen=True, slots=True)
class StatusReported(Event):
    """The Developer Center knows how it went."""

    name: ClassVar[str] = "status.reported"
    component: str
    outcome: str  # "succeeded" or "failed"
    status: int


@dataclass(frozen=True, slots=True)
class ReportKept(Event):
    """A status report could not be sent."""

    name: ClassVar[str] = "report.kept"
    component: str
    outcome: str
    why: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something the user should know."""

    name: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """A run ends; always the last event, and always there."""

    name: ClassVar[str] = "run.finished"
    verdict: Verdict
    reason: str
    exit_code: int
    message: str = ""
    hint: str = ""
    components: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    bytes_sent: int = 0
    bytes_resent: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])  # phase to seconds


Emit: TypeAlias = Callable[[Event], None]
"""Takes an event; returns at once and never raises."""


Record: TypeAlias = Callable[[Event], Awaitable[None]]
"""Writes an event down for good, then tells it: what it announces may be done once this returns.

Raises `StorageError` when it cannot be written; what it announces must not be done then.
"""


def recording(emit: Emit) -> Record:
    """A `Record` that keeps nothing, for whoever has no ledger."""

    async def record(event: Event) -> None:
        emit(event)

    return record


def silent(_event: Event) -> None:
    """An `Emit` for whoever does not listen."""

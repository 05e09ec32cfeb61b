"""What the ledger takes and gives: runs, their events, status reports. Times are unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

from ble_ota.events import Verdict

FINAL = frozenset({Verdict.PASS, Verdict.FAIL, Verdict.DECLINED, Verdict.NOTHING_TO_DO})
"""Verdicts after which there is nothing to carry on."""
CARRIED_ON = frozenset({Verdict.ERROR, Verdict.TIMEOUT, Verdict.ABORTED})
"""Verdicts a later run may carry on from, if this one was approved."""

DeviceKeys: TypeAlias = tuple[str, str]
"""Product key and device key."""
ReportedOutcome: TypeAlias = Literal["confirmed", "succeeded", "failed"]
ReportState: TypeAlias = Literal["kept", "sent", "superseded", "dropped"]


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Started:
    """What is known of a run when it begins, and never changes."""

    id: str
    command: str
    asked: str
    """DEVICE as the command line had it."""
    arguments: Mapping[str, Any]
    settings: Mapping[str, Any]
    """Those in force. No secrets: what is given is stored."""
    radio: str
    cloud: str
    who: str  # "user@host"
    pid: int
    tool: str  # version of this package
    carries_on: str = ""
    """Id of the run it carries on, or "". May also become known later."""


class Changes(TypedDict, total=False):
    """What becomes known of a run while it is open."""

    product_key: str
    device_key: str
    address: str
    name: str
    plan_id: str
    plan: Mapping[str, Any]
    fingerprint: str
    approved_by: str
    versions_before: Mapping[str, str]
    versions_after: Mapping[str, str]
    carries_on: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a run."""

    seq: int
    """Its number in the run: 0 or more, and larger than that of the entry before."""
    at_s: float
    name: str
    body: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    verdict: str  # one of `events.Verdict`
    reason: str
    exit_code: int
    message: str = ""
    hint: str = ""
    components: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    bytes_sent: int = 0
    bytes_resent: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])  # phase to seconds


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the ledger has it."""

    id: str
    command: str
    asked: str
    arguments: Mapping[str, Any]
    settings: Mapping[str, Any]
    radio: str
    cloud: str
    who: str
    pid: int
    tool: str
    carries_on: str
    product_key: str
    device_key: str
    address: str
    name: str
    plan_id: str
    plan: Mapping[str, Any]
    """{} where none was seen."""
    fingerprint: str
    approved_by: str
    """Who agreed to the plan, or "": nobody has."""
    versions_before: Mapping[str, str]
    versions_after: Mapping[str, str]
    started_at_s: float
    finished_at_s: float | None
    ending: Ending | None

    @property
    def open(self) -> bool:
        """Whether it has no verdict: it runs, or its process died."""
        return self.ending is None


@dataclass(frozen=True, slots=True)
class Report:
    """A status report for the Developer Center, kept until it is settled."""

    run: str
    account: str
    product_key: str
    device_key: str
    plan_id: str
    component: str
    outcome: ReportedOutcome
    versions: Mapping[str, str]
    """What ran before, by component."""
    plan_ends_at_s: float | None = None
    """As `FetchPlan.ends_at_s`."""
    id: int | None = None
    """None until the ledger has it."""
    state: ReportState = "kept"
    why: str = ""
    """Why it was not sent, or not needed any more."""
    attempts: int = 0
    created_at_s: float = 0.0  # set by the ledger
    changed_at_s: float = 0.0  # set by the ledger
    resolved_by: str = ""
    """Who settled the unproven run of this report by a word, as "user@host"; "" where the device's word counts."""

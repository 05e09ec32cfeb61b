"""How a run ended, as its one verdict."""

from __future__ import annotations

from dataclasses import dataclass

from ble_ota.errors import (
    BleOtaError,
    DeadlineError,
    DeviceBusyError,
    NotVerifiedError,
    RefusedByDeviceError,
    StopAsked,
)
from ble_ota.events import Verdict
from ble_ota.model import Blocked, Declined, Done, Outcome, UpToDate


@dataclass(frozen=True, slots=True)
class Ended:
    """A verdict, its reason code, and what a person reads."""

    verdict: Verdict
    reason: str
    exit_code: int
    message: str
    hint: str = ""

    @property
    def failed(self) -> bool:
        """Whether something went wrong, rather than being left undone."""
        return self.verdict not in (Verdict.PASS, Verdict.NOTHING_TO_DO, Verdict.DECLINED, Verdict.REFUSED)


def of_outcome(outcome: Outcome) -> Ended:
    """The verdict on what the main path gave."""
    match outcome:
        case Done():
            versions = ", ".join(f"{i.component.no or 'firmware'} {i.version}" for i in outcome.installed)
            return Ended(Verdict.PASS, "verified", 0, f"the device runs {versions}")
        case UpToDate():
            return Ended(Verdict.NOTHING_TO_DO, "up_to_date", 10, outcome.why)
        case Declined():
            return Ended(Verdict.DECLINED, "declined", 11, "you said no; nothing was sent to the device")
        case Blocked():
            return Ended(Verdict.REFUSED, "policy", 12, outcome.why, outcome.hint)


def of_error(error: BleOtaError) -> Ended:
    """The verdict on a named error."""
    match error:
        case StopAsked():
            return aborted(error.exit_code)
        case DeadlineError():
            verdict = Verdict.TIMEOUT
        case RefusedByDeviceError() | NotVerifiedError():  # the device's own word, and nothing else
            verdict = Verdict.FAIL
        case DeviceBusyError():
            verdict = Verdict.REFUSED
        case _:
            verdict = Verdict.ERROR
    return Ended(verdict, error.reason, error.exit_code, str(error), error.hint)


def aborted(exit_code: int) -> Ended:
    """The verdict on a run that was told to stop."""
    return Ended(Verdict.ABORTED, "stopped", exit_code, "stopped", StopAsked.hint)

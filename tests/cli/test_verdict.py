from __future__ import annotations

import pytest

from ble_ota.cli.verdict import aborted, of_error, of_outcome
from ble_ota.errors import (
    AttRefusedError,
    BleOtaError,
    CancelledByDeviceError,
    CloudUnreachableError,
    DeadlineError,
    DeclinedByDeviceError,
    DeviceBusyError,
    DeviceNotFoundError,
    FailedByDeviceError,
    KeyNotShownError,
    LinkLostError,
    LoginFailedError,
    MalformedError,
    NotVerifiedError,
    StopAsked,
    StorageError,
    TrustError,
    UnprovenError,
)
from ble_ota.events import Verdict
from ble_ota.model import (
    Blocked,
    Component,
    ComponentKind,
    Declined,
    DeviceInfo,
    Done,
    FetchPlan,
    Installed,
    Outcome,
    Plan,
    UpToDate,
)

PLAN = Plan(DeviceInfo("", "", "p", "d", {}), FetchPlan("7", "p", "d", ()), ())


def installed(no: str, version: str) -> Installed:
    return Installed(Component(no, ComponentKind.MODULE, version, "1", ()), "1", version, "device")


OUTCOMES: list[tuple[Outcome, Verdict, str, int]] = [
    (Done((installed("A", "2"),)), Verdict.PASS, "verified", 0),
    (UpToDate("it runs it"), Verdict.NOTHING_TO_DO, "up_to_date", 10),
    (Declined(PLAN), Verdict.DECLINED, "declined", 11),
    (Blocked("it would go down", "allow it"), Verdict.REFUSED, "policy", 12),
]


@pytest.mark.parametrize(("outcome", "verdict", "reason", "code"), OUTCOMES)
def test_an_outcome_has_one_verdict_and_is_no_failure(
    outcome: Outcome, verdict: Verdict, reason: str, code: int
) -> None:
    ended = of_outcome(outcome)
    assert (ended.verdict, ended.reason, ended.exit_code, ended.failed) == (verdict, reason, code, False)


def test_a_success_names_what_runs_now() -> None:
    assert of_outcome(Done((installed("A", "2"), installed("", "3")))).message == "the device runs A 2, firmware 3"


def test_a_refusal_says_why_and_what_to_do() -> None:
    ended = of_outcome(Blocked("it would go down", "allow it"))
    assert (ended.message, ended.hint) == ("it would go down", "allow it")


ERRORS: list[tuple[BleOtaError, Verdict, str, int, bool]] = [
    (DeclinedByDeviceError("no"), Verdict.FAIL, "declined_by_device", 32, True),
    (CancelledByDeviceError("no"), Verdict.FAIL, "cancelled_by_device", 32, True),
    (FailedByDeviceError("bad"), Verdict.FAIL, "failed_by_device", 32, True),
    (NotVerifiedError("old"), Verdict.FAIL, "not_verified", 33, True),
    (UnprovenError("not seen"), Verdict.ERROR, "unproven", 35, True),
    (KeyNotShownError("no"), Verdict.ERROR, "key_not_shown", 32, True),
    (LoginFailedError("wrong"), Verdict.ERROR, "login_failed", 32, True),
    (AttRefusedError("writing", 0x0E), Verdict.ERROR, "att_refused", 32, True),
    (MalformedError("odd"), Verdict.ERROR, "malformed", 32, True),
    (DeadlineError("late"), Verdict.TIMEOUT, "deadline", 124, True),
    (DeviceBusyError("busy"), Verdict.REFUSED, "device_busy", 12, False),
    (LinkLostError("gone"), Verdict.ERROR, "link_lost", 31, True),
    (DeviceNotFoundError("nowhere"), Verdict.ERROR, "device_not_found", 30, True),
    (CloudUnreachableError("down"), Verdict.ERROR, "cloud_unreachable", 20, True),
    (TrustError("other"), Verdict.ERROR, "trust", 21, True),
    (StorageError("full"), Verdict.ERROR, "storage", 22, True),
    (StopAsked("stopped"), Verdict.ABORTED, "stopped", 130, True),
]


@pytest.mark.parametrize(("error", "verdict", "reason", "code", "failed"), ERRORS)
def test_an_error_has_one_verdict(error: BleOtaError, verdict: Verdict, reason: str, code: int, failed: bool) -> None:
    ended = of_error(error)
    assert (ended.verdict, ended.reason, ended.exit_code, ended.failed) == (verdict, reason, code, failed)


def test_an_errors_words_are_the_verdicts() -> None:
    ended = of_error(LinkLostError("the link went away", hint="come closer"))
    assert (ended.message, ended.hint) == ("the link went away", "come closer")


def test_who_is_stopped_is_told_how_to_carry_on() -> None:
    ended = aborted(143)
    assert (ended.verdict, ended.exit_code) == (Verdict.ABORTED, 143)
    assert "resume" in ended.hint

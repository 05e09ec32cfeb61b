from __future__ import annotations

import time

import pytest

from ble_ota.cli.tally import Tally
from ble_ota.events import (
    DeviceVerified,
    DownloadStarted,
    Event,
    ImageVerified,
    LinkConnected,
    PlanDecided,
    PlanShown,
    TransferDone,
    TransferProgress,
    TransferResumed,
    TransferStarted,
)


def tally(*events: Event) -> Tally:
    made = Tally()
    for event in events:
        made.count(event)
    return made


def begins(component: str = "A") -> TransferStarted:
    return TransferStarted(component, 100)


def reaches(count: int, resent: int = 0, component: str = "A") -> TransferProgress:
    return TransferProgress(component, count, 100, 1, resent)


BYTES: dict[str, tuple[tuple[Event, ...], tuple[int, int]]] = {
    "nothing went": ((), (0, 0)),
    "one go": ((begins(), reaches(40), reaches(100)), (100, 0)),
    "one packet twice": ((begins(), reaches(40), reaches(100, 20)), (120, 20)),
    "a link that broke, and all of it again": ((begins(), reaches(40), begins(), reaches(100)), (140, 40)),
    "a link that broke, and the rest": (
        (begins(), reaches(40), begins(), TransferResumed("A", 40, ""), reaches(40), reaches(100)),
        (100, 0),
    ),
    "the rest of what an earlier run had sent": ((begins(), TransferResumed("A", 60, ""), reaches(100)), (40, 0)),
    "all over again on the same link": (
        (begins(), reaches(40), reaches(0), reaches(40, 40), reaches(100, 40)),
        (140, 40),
    ),
    "carried on, and all over again on the same link": (
        (begins(), TransferResumed("A", 60, ""), reaches(80), reaches(0), reaches(80, 80), reaches(100, 80)),
        (120, 80),
    ),
    "all over again on the same link, and not so far": (
        (begins(), reaches(40), reaches(0), reaches(20, 20)),
        (60, 20),
    ),
    "two files, and a packet of each twice": (
        (begins(), reaches(50, 20), reaches(50), reaches(100, 10)),
        (130, 30),
    ),
    "a link that came less far than one before": (
        (begins(), reaches(90), TransferResumed("A", 20, ""), reaches(60), TransferResumed("A", 50, ""), reaches(80)),
        (160, 70),
    ),
    "a question in vain, and all of it again": (
        (begins(), reaches(40), begins(), reaches(0, 20), reaches(100, 20)),
        (160, 60),
    ),
    "two components": ((begins(), reaches(100), begins("B"), reaches(50, component="B")), (150, 0)),
}


@pytest.mark.parametrize("what", BYTES)
def test_bytes_are_counted_each_time_they_went(what: str) -> None:
    events, wanted = BYTES[what]
    made = tally(*events)
    assert (made.bytes_sent, made.bytes_resent) == wanted


def test_every_phase_has_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr("ble_ota.cli.tally.time.monotonic", lambda: clock[0])
    made = Tally()
    steps = (
        PlanShown("7", []),
        PlanDecided("approved", "--yes"),
        DownloadStarted("A", 1),
        ImageVerified("A", 1, "0" * 64, "raw"),
        LinkConnected("", "transfer"),
        LinkConnected("", "verify"),
        PlanShown("7", []),
    )
    for seconds, event in enumerate(steps, 1):
        clock[0] += seconds
        made.count(event)
    clock[0] += 0.5
    made.enter("end")
    phases = {"identify": 1, "consent": 2.5, "confirm": 3, "download": 4, "connect": 11, "verify": 7}
    assert made.seconds == pytest.approx(phases, abs=0.2)


def test_time_is_told_to_the_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr("ble_ota.cli.tally.time.monotonic", lambda: clock[0])
    made = Tally()
    made.enter("transfer")
    clock[0] += 1.23456
    made.enter("end")
    assert made.seconds["transfer"] == 1.235


SHOWN = PlanShown("7", [{"no": "A"}, {"no": "B"}])


@pytest.mark.parametrize("failed", [True, False])
def test_only_the_component_under_way_fails(failed: bool) -> None:
    made = tally(SHOWN, begins(), DeviceVerified("A", "2", "device"), begins("B"))
    wanted = [("A", "verified"), ("B", "failed" if failed else "transferring")]
    assert [(c["component"], c["state"]) for c in made.components(failed=failed)] == wanted


def test_what_is_not_begun_is_planned_also_in_a_failure() -> None:
    assert [c["state"] for c in tally(SHOWN).components(failed=True)] == ["planned", "planned"]


def test_what_was_proven_before_the_plan_was_shown_is_not_forgotten() -> None:
    made = tally(DeviceVerified("0", "1", "device"), SHOWN)
    assert [(c["component"], c["state"]) for c in made.components(failed=False)] == [
        ("0", "verified"),
        ("A", "planned"),
        ("B", "planned"),
    ]


def test_what_a_new_plan_has_again_is_planned_again() -> None:
    made = tally(DeviceVerified("A", "1", "device"), SHOWN)
    assert made.components(failed=False)[0] == {"component": "A", "state": "planned"}


@pytest.mark.parametrize(("denied", "state"), [(True, "failed"), (False, "unproven")])
def test_what_was_sent_whole_has_failed_only_by_the_devices_word(denied: bool, state: str) -> None:
    made = tally(SHOWN, begins(), TransferDone("A", 1))
    assert made.components(failed=True, denied=denied)[0] == {"component": "A", "state": state}
    assert made.components(failed=False)[0] == {"component": "A", "state": "sent"}

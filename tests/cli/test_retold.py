from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ble_ota.cli.retold import Retold, brief, device_text, full, line, local, report_data, report_line, text, utc
from ble_ota.ledger import Ending, Entry, Report, RunRow

AT_S = 1_800_000_000.5  # 2027-01-15 08:00:00.5 UTC
ENDING = Ending("FAIL", "not_verified", 33, "it runs 1", "see its log", [], 200, 50, {"transfer": 1.5, "verify": 2.0})
PART = {
    "no": "A",
    "kind": "module",
    "delta": False,
    "running": "1",
    "target_version": "2",
    "files": [{"name": "a.bin", "size": 9, "digests": ["sha256:5a", "md5:a5"]}],
}


@pytest.fixture(autouse=True)
def in_katmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def row(**other: Any) -> RunRow:
    made = RunRow(
        id="cafe01",
        command="update",
        asked="X",
        arguments={},
        settings={},
        radio="bleak",
        cloud="eu",
        who="ada@bench",
        pid=7,
        tool="0.1.0",
        carries_on="",
        product_key="p",
        device_key="d",
        address="AA:BB",
        name="QUEC",
        plan_id="7",
        plan={"components": [PART]},
        fingerprint="f",
        approved_by="terminal",
        versions_before={"A": "1"},
        versions_after={},
        started_at_s=AT_S,
        finished_at_s=AT_S + 12.25,
        ending=ENDING,
    )
    return replace(made, **other)


def retold(run: RunRow | None = None, **other: Any) -> Retold:
    return replace(Retold(run or row(), (), (), ()), **other)


def test_times_are_utc_for_programs_and_local_for_people() -> None:
    assert os.environ["TZ"] == "Asia/Kathmandu"
    assert utc(AT_S) == "2027-01-15T08:00:00.500Z"
    assert utc(None) is None
    assert local(AT_S) == "2027-01-15 13:45:00 +0545"


def test_a_run_in_a_line() -> None:
    wanted = "2027-01-15 13:45:00 +0545  cafe01  update  p/d QUEC AA:BB  A 1 -> 2  FAIL  12.2 s"
    assert line(row()) == wanted


def test_a_run_without_a_verdict_says_so() -> None:
    open_run = row(ending=None, finished_at_s=None)
    assert line(open_run).endswith("A 1 -> 2  no verdict")
    assert brief(open_run)["verdict"] is None
    assert brief(open_run)["duration_s"] is None
    assert "no verdict: it is running, or its process died" in text(retold(open_run), events=False)


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    assert brief(row(finished_at_s=AT_S - 60))["duration_s"] == 0


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ({}, "p/d QUEC AA:BB"),
        ({"device_key": ""}, "QUEC AA:BB"),
        ({"device_key": "", "name": "", "address": ""}, "X"),
    ],
)
def test_a_device_is_told_as_far_as_it_is_known(known: dict[str, str], wanted: str) -> None:
    assert device_text(row(**known)) == wanted


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ({"plan": {"components": [PART | {"no": "", "running": None}]}}, "firmware unknown -> 2"),
        ({"plan": {}, "versions_after": {"A": "2"}}, "A 1 -> 2"),
        ({"plan": {}}, "-"),
    ],
)
def test_versions_are_told_as_far_as_they_are_known(known: dict[str, Any], wanted: str) -> None:
    assert f"  {wanted}  FAIL" in line(row(**known))


def test_a_run_that_needed_no_plan_tells_that_of_the_run_it_carried_on() -> None:
    told = retold(row(id="newer", plan={}, plan_id="", approved_by=""), chain=[row()])
    data = full(told, events=False)
    assert (data["plan"], data["approved_by"]) == ("7", "terminal")
    assert [c["to"] for c in data["components"]] == ["2"]
    assert "plan        7 (agreed to: terminal)" in text(told, events=False)


def test_a_run_that_saw_no_plan_says_so() -> None:
    nothing = retold(row(plan={}, plan_id="", approved_by=""))
    assert full(nothing, events=False)["components"] == []
    assert "  plan        none\n" in text(nothing, events=False)


def test_what_was_sent_is_what_was_verified_of_that_component() -> None:
    events = [
        Entry(1, AT_S, "image.verified", {"component": "A", "sha256": "aa"}),
        Entry(2, AT_S, "image.verified", {"component": "B", "sha256": "bb"}),
        Entry(3, AT_S, "download.done", {"component": "A", "sha256": "cc"}),
    ]
    (component,) = full(retold(events=events), events=False)["components"]
    assert component["sent"] == ["sha256:aa"]
    assert "    sent as   sha256:aa" in text(retold(events=events), events=False)


def test_a_run_in_full_for_people() -> None:
    report = Report("cafe01", "eu", "p", "d", "7", "A", "failed", {}, id=3, why="no network", attempts=2)
    before = row(id="beef02", ending=replace(ENDING, verdict="ABORTED"))
    events = [Entry(5, AT_S, "link.lost", {"why": "gone", "attempt": 1, "list": []})]
    assert text(retold(reports=[report], chain=[before], events=events), events=True).splitlines() == [
        "Run cafe01: update, FAIL (not_verified, exit 33)",
        "  device      p/d QUEC AA:BB",
        "  when        2027-01-15 13:45:00 +0545, took 12.2 s",
        "  by          ada@bench, with ble-ota 0.1.0",
        "  over        radio bleak, cloud eu",
        "  plan        7 (agreed to: terminal)",
        "  component   A 1 -> 2 (full, module)",
        "    file      a.bin: 9 bytes, sha256:5a, md5:a5",
        "  sent        200 bytes, 50 of them again",
        "  seconds     transfer 1.5, verify 2",
        "  ended       it runs 1",
        "  hint        see its log",
        "  carries on  2027-01-15 13:45:00 +0545  beef02  update  p/d QUEC AA:BB  A 1 -> 2  ABORTED  12.2 s",
        "  report      3  A failed  kept after 2 attempts: no network",
        "  2027-01-15 13:45:00 +0545  link.lost  why gone, attempt 1",
    ]


def test_a_proven_component_is_told_with_its_kind_of_proof() -> None:
    words = [
        Entry(1, AT_S, "device.verified", {"component": "B", "version": "3", "proof": "device"}),
        Entry(2, AT_S, "device.verified", {"component": "A", "version": "2", "proof": "device-information"}),
    ]
    told = replace(retold(row(versions_after={"A": "2"})), events=words)
    assert full(told, events=False)["components"][0]["proof"] == "device-information"
    assert "proven: it runs 2, told by: device-information\n" in text(told, events=False)


def test_a_component_is_told_as_proven_once_the_device_has_said_so() -> None:
    assert "A 1 -> 2 (full, module); proven: it runs 2\n" in text(retold(row(versions_after={"A": "2"})), events=False)


def test_events_are_told_on_request_alone() -> None:
    told = retold(events=[Entry(5, AT_S, "link.lost", {"why": "gone"})])
    assert "events" not in full(told, events=False)
    assert full(told, events=True)["events"] == [
        {"seq": 5, "ts": "2027-01-15T08:00:00.500Z", "event": "link.lost", "why": "gone"}
    ]


def test_a_report_in_a_line() -> None:
    report = Report("cafe01", "eu", "p", "d", "7", "", "succeeded", {}, id=4, state="sent")
    assert report_line(report) == "4  firmware succeeded  sent"


def test_the_times_of_a_report_are_told_as_times() -> None:
    data = report_data(Report("r", "eu", "p", "d", "7", "", "succeeded", {}, created_at_s=AT_S, changed_at_s=AT_S))
    assert (data["created_at"], data["plan_ends_at"]) == ("2027-01-15T08:00:00.500Z", None)
    assert not [name for name in data if name.endswith("_s")]

from __future__ import annotations

import sys

import pytest

from ble_ota.cli.render import Screen, last_words, plan_text, size
from ble_ota.events import (
    DownloadDone,
    DownloadProgress,
    DownloadStarted,
    LinkLost,
    RunFinished,
    TransferProgress,
    TransferStarted,
    Verdict,
)
from ble_ota.model import Component, ComponentKind, DeviceInfo, FetchPlan, Plan, PlannedFile
from tests.cli.desk import Person


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB")])
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert size(count) == text


def percents(capsys: pytest.CaptureFixture[str]) -> list[int]:
    return [int(line.split()[0]) for line in capsys.readouterr().err.splitlines() if "%" in line]


def test_off_a_terminal_there_is_a_line_every_ten_percent(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=False)
    screen.open()
    for done in range(201):
        screen.show(TransferProgress("A", done, 200, 1))
    assert percents(capsys) == list(range(10, 101, 10))


def test_the_last_line_before_the_end_is_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=False)
    screen.open()
    for done in (0, 99, 100, 100):
        screen.show(DownloadProgress("A", done, 100))
    assert percents(capsys) == [100]


def test_a_slow_transfer_has_a_line_every_five_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("ble_ota.cli.render.time.monotonic", lambda: clock[0])
    screen = Screen(quiet=False)
    screen.open()
    for clock[0], done in ((4.9, 1), (5.0, 2), (9.9, 3), (10.0, 4), (15.0, 4)):
        screen.show(TransferProgress("A", done, 100, 1))
    assert percents(capsys) == [2, 4]


def test_another_file_starts_from_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=False)
    screen.open()
    for event in (DownloadProgress("A", 9, 9), DownloadStarted("B", 9), DownloadProgress("B", 9, 9)):
        screen.show(event)
    assert percents(capsys) == [100, 100]


def test_an_empty_total_is_all_there(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=False)
    screen.open()
    screen.show(DownloadProgress("A", 0, 0))
    assert percents(capsys) == [100]


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Person())
    screen = Screen(quiet=False)
    screen.open()
    screen.show(TransferStarted("A", 100))
    screen.show(TransferProgress("A", 50, 100, 1))
    screen.show(TransferProgress("A", 70, 100, 1))
    screen.show(LinkLost("gone", 1, 3))
    assert "━" in terminal.getvalue()
    assert terminal.getvalue().endswith("gone; connecting again (1 of 3)\n")


def test_a_bar_leaves_a_stdout_that_is_no_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", Person())
    screen = Screen(quiet=False)
    screen.open()
    screen.show(TransferProgress("A", 50, 100, 1))
    sys.stdout.write("a line\n")
    screen.close()
    assert capsys.readouterr().out == "a line\n"


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stderr", terminal := Person())
    Screen(quiet=False).show(TransferProgress("A", 100, 100, 1))
    assert terminal.getvalue() == "  100 %  100 B of 100 B, 1 B/s\n"


def test_a_quiet_user_hears_of_failures_only(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=True)
    screen.show(DownloadDone("A", 1, "", False))
    screen.show(RunFinished(Verdict.PASS, "verified", 0, "it runs"))
    screen.show(RunFinished(Verdict.FAIL, "declined_by_device", 32, "it does not", "ask it"))
    assert capsys.readouterr().err == "FAIL: it does not\n\nhint: ask it\n"


def test_what_a_device_says_is_shown_without_controls(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(quiet=False).show(LinkLost("gone\x1b[2J", 1, 3))
    assert capsys.readouterr().err == "gone[2J; connecting again (1 of 3)\n"


def test_an_end_without_a_hint_is_one_line() -> None:
    assert last_words(RunFinished(Verdict.ABORTED, "stopped", 130, "stopped")) == "ABORTED: stopped"


def test_a_success_is_one_line() -> None:
    assert last_words(RunFinished(Verdict.PASS, "", 0, "it runs", "never shown")) == "PASS: it runs"


def test_a_plan_shows_what_changes_and_what_is_doubtful() -> None:
    file = PlannedFile("https://secret", 10, (), name="f.bin\x07")
    component = Component("A", ComponentKind.MCU, "2", "", (file,), delta=True, notes="one\x1b\ntwo")
    device = DeviceInfo("00:11", "Name", "p", "d", {})
    plan = Plan(device, FetchPlan("7", "p", "d", (component,)), (component,), ("who knows",))
    assert plan_text(plan).splitlines() == [
        "Plan 7 for Name p/d 00:11",
        "  A: unknown -> 2 (delta, 10 B, mcu)",
        "    f.bin: 10 bytes, no digest",
        "    | one",
        "    | two",
        "  ! who knows",
    ]

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_cache import owner
from firmware_cache.owner import Owner


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def owner_of(pid: int) -> Owner:
    return replace(Owner.here(), pid=pid, started=owner._stat(pid)[1])


def test_this_process_lives() -> None:
    assert not Owner.here().gone


def test_this_process_is_named_exactly() -> None:
    here = Owner.here()
    assert (here.pid, here.started.isdigit(), len(here.boot)) == (os.getpid(), True, 36)


def test_another_process_lives(child: subprocess.Popen[bytes]) -> None:
    assert not owner_of(child.pid).gone


def test_a_killed_process_is_gone(child: subprocess.Popen[bytes]) -> None:
    known = owner_of(child.pid)
    child.kill()
    child.wait()
    assert known.gone


def test_a_killed_process_whose_parent_has_not_heard_of_it_is_gone(child: subprocess.Popen[bytes]) -> None:
    known = owner_of(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert known.gone


def test_another_process_of_the_same_number_is_not_the_owner() -> None:
    assert replace(Owner.here(), started="1").gone


def test_a_process_of_an_earlier_boot_is_gone() -> None:
    assert replace(Owner.here(), boot="earlier").gone


def test_of_another_machine_nothing_is_known() -> None:
    assert not replace(Owner.here(), machine="other", pid=2**22 + 1).gone


@pytest.mark.parametrize("pid", [0, -1, 2**70])
def test_a_number_that_no_process_has_is_asked_after_no_further(pid: int) -> None:
    assert not replace(Owner.here(), pid=pid, started="").gone


def test_a_process_of_another_user_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    assert not Owner.here().gone


def test_where_no_process_can_be_asked_after_all_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_CAN_PROBE", False)
    assert not replace(Owner.here(), pid=2**22 + 1).gone


def test_where_the_system_says_little_a_living_process_lives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = Owner.here()
    monkeypatch.setattr(owner, "_PROC", tmp_path)
    assert not replace(known, machine=owner._machine(), boot="").gone


def test_a_process_may_have_any_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text("7 (a) Z 1 2) S " + " ".join(str(n) for n in range(4, 53)))
    monkeypatch.setattr(owner, "_PROC", tmp_path)
    assert owner._stat(7) == ("S", "22")

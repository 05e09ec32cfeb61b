from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ble_ota.cli import liveness
from ble_ota.cli.claims import device_locked
from ble_ota.cli.journal import who
from ble_ota.cli.liveness import is_dead, lock_names, run_locked
from ble_ota.errors import DeviceBusyError
from ble_ota.ledger import RunRow
from ble_ota.settings import isolated

KNOWN = {"product_key": "p11", "device_key": "d1", "address": "AA"}
WAITS = "import sys; print(flush=True); sys.stdin.read()"
LATER_S = 4e9  # unix time after the start of every process here


@pytest.fixture(params=["knows its device", "early"])
def run(request: pytest.FixtureRequest, known: RunRow) -> RunRow:
    """An open run of this process that holds no lock."""
    return replace(known, product_key="", device_key="", address="") if request.param == "early" else known


@pytest.fixture
def known(tmp_path: Path) -> RunRow:
    text = dict.fromkeys(("command", "asked", "cloud", "tool", "carries_on", "name", "plan_id", "fingerprint"), "")
    none: dict[str, object] = {"arguments": {}, "settings": {}, "plan": {}, "versions_before": {}, "versions_after": {}}
    this = {"id": str(tmp_path), "radio": f"virtual:{tmp_path}", "who": who(), "pid": os.getpid(), "approved_by": "ada"}
    return RunRow(**text, **KNOWN, **none, **this, started_at_s=LATER_S, finished_at_s=None, ending=None)  # type: ignore[arg-type]


@contextmanager
def program() -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds no lock."""
    with subprocess.Popen([sys.executable, "-c", WAITS], stdin=-1, stdout=-1) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_run_whose_locks_are_free_is_dead(run: RunRow) -> None:
    assert is_dead(run)


def test_a_run_is_not_dead_while_it_shows_that_it_lives(run: RunRow) -> None:
    """Also where its process seems to be another one of the same number, as after the clock was set."""
    with run_locked(run.id):
        assert not is_dead(run)
        assert not is_dead(replace(run, started_at_s=1.0))
        assert not is_dead(replace(run, pid=2**22 + 1))  # a process that the system hides
    assert is_dead(run)


def test_a_run_has_one_process(run: RunRow) -> None:
    with run_locked(run.id), pytest.raises(DeviceBusyError), run_locked(run.id):
        pass


@pytest.mark.parametrize("name", lock_names(**KNOWN))
def test_a_run_is_not_dead_while_one_lock_of_its_device_is_held(known: RunRow, name: str, tmp_path: Path) -> None:
    with device_locked(isolated(state_dir=tmp_path), [known.radio], [name], command="update", run="r") as held:
        assert held == {(known.radio, name)}
        assert not is_dead(known)
        assert is_dead(known, held)  # that is ours


def test_a_lock_at_another_place_says_nothing(known: RunRow, tmp_path: Path) -> None:
    elsewhere = f"{known.radio}2"
    with device_locked(
        isolated(state_dir=tmp_path), [elsewhere], lock_names(**KNOWN), command="update", run="r"
    ) as held:
        assert is_dead(known, held)
        assert not is_dead(replace(known, radio=elsewhere))


def test_a_run_of_several_controllers_is_not_dead_while_one_is_held(known: RunRow, tmp_path: Path) -> None:
    row = replace(known, address=str(tmp_path), radio="bumble:tcp-client:h.invalid:1,tcp-client:h.invalid:2")
    names = lock_names(product_key="p11", device_key="d1", address=row.address)
    with device_locked(
        isolated(state_dir=tmp_path), ["bumble:tcp-client:h.invalid:2"], names[:1], command="update", run="r"
    ):
        assert not is_dead(row)


def test_a_run_whose_process_lives_is_not_dead_though_its_lock_is_not_seen(run: RunRow) -> None:
    """It is in another network namespace, or of a version that did not have this lock."""
    with program() as process:
        row = replace(run, pid=process.pid)
        assert not is_dead(row)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie: it has ended
        assert is_dead(row)
    assert is_dead(row)


def test_a_younger_process_of_the_same_number_is_another_one(run: RunRow) -> None:
    with program() as process:
        began_s = psutil.Process(process.pid).create_time()
        assert is_dead(replace(run, pid=process.pid, started_at_s=began_s - 3600))
        assert not is_dead(replace(run, pid=process.pid, started_at_s=began_s - 30))  # the clock was set back a little


def test_a_process_that_may_not_be_looked_at_lives(run: RunRow, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(pid: int) -> None:
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(psutil, "Process", denied)
    assert not is_dead(replace(run, pid=1))


def test_a_run_of_another_host_is_never_dead(run: RunRow) -> None:
    for by in (f"ada@not-{platform.node()}", "ada", "ada@", f"{platform.node()}@x"):
        assert not is_dead(replace(run, who=by))


def test_where_a_lock_leaves_a_file_only_its_process_tells_of_an_early_run(
    run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "LEAVES_NOTHING", False)
    with run_locked(run.id), run_locked(run.id):
        assert is_dead(run) == bool(run.address)
    assert is_dead(replace(run, started_at_s=1.0))


def test_a_device_is_locked_as_its_address_and_its_keys() -> None:
    assert lock_names(product_key="p", device_key="d", address="aa:bb") == ["address AA:BB", "device p/d"]
    assert lock_names(product_key="p", device_key="", address="AA") == ["address AA"]
    assert lock_names(product_key="p", device_key="d") == ["device p/d"]

"""P3 and P5 to P10 of the fault matrix: what a process may meet in its own ledger, clock, and neighbours.

P1 is `test_kill_anywhere.py`, P2 `test_error_anywhere.py`, more of P3 `test_hang_anywhere.py`, P4 and P8
`test_signals.py`.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ble_ota.cloud import DeveloperCenter
from ble_ota.ledger import Ledger, RunRow
from ble_ota.virtual.peripherals.quecthing import Pause
from tests.faults.afterwards import wrong
from tests.faults.host import QUICK, Host
from tests.faults.trouble import DEADLINE_S, Came, Stage, Trouble

pytestmark = pytest.mark.looptime

YEAR_S = 365 * 86400.0
GOOD = (0, "PASS", "verified")
UNUSABLE = (22, "ERROR", "storage")
KEEPS = replace(QUICK, keeps_session_over_disconnect=True, keeps_session_over_power=True, page_bytes=200)
LINKS = 1 + (1 + 3) + 2  # to identify; a first one, and `Patience.stuck_links`; a look or two whether it runs after all
STUCK = replace(KEEPS, pauses=(Pause(at=300, delay_s=1, lasts_s=None),))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


async def runs(host: Host) -> list[RunRow]:
    """Newest first."""
    async with await Ledger.open(host.state / "ledger.db") as ledger:
        return await ledger.runs()


def default(stage: Stage, function: Any, name: str, value: object) -> None:
    """Let an argument be `value` where it is left out."""
    stage.monkeypatch.setitem(function.__kwdefaults__, name, value)


def heard(host: Host) -> list[str]:
    """What the Developer Center has heard of."""
    file = host.world.folder / "cloud" / "records.jsonl"
    return [json.loads(line)["what"] for line in file.read_text().splitlines()] if file.exists() else []


# ------------------------------------------------------------------ P3: a disk that hangs

HANGS_AT_THE_END = """
import sys, threading
from pathlib import Path

import ble_ota.ledger.ledger
import ble_ota.ledger.runs
from tests.faults.host import Host

ble_ota.ledger.ledger.HUNG_S = 0.5
ble_ota.ledger.runs.finish = lambda *given, **named: threading.Event().wait()
sys.exit(Host.made(Path(sys.argv[1])).update())
"""


def test_a_disk_that_hangs_at_the_last_word_does_not_keep_the_process(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HANGS_AT_THE_END, str(tmp_path)], timeout=50, check=False)
    last = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[-1])
    assert (done.returncode, last["verdict"], last["reason"]) == UNUSABLE
    assert "what could not be written down: PASS" in last["message"]


# ------------------------------------------------------------------ P5: a ledger that cannot be used


async def refused(stage: Stage, host: Host) -> Came:
    """A run that ends with the ledger's word, before anybody has heard of it."""
    trouble = Trouble()
    came = await stage.run(host, trouble)
    assert came.how == UNUSABLE
    assert [c for c in trouble.calls if not c.startswith("ledger.")] == []
    assert heard(host) == []
    return came


async def test_a_damaged_ledger_is_refused_before_anything_is_sent(stage: Stage) -> None:
    host = stage.host("damaged")
    await stage.run(host)
    file = host.state / "ledger.db"
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)  # the first page says what there is; the rest is gone
    fresh = stage.host("fresh")
    fresh.state.mkdir(parents=True)
    (fresh.state / "ledger.db").write_bytes(content)
    assert "is damaged" in (await refused(stage, fresh)).last["message"]


async def test_a_file_that_is_no_ledger_is_refused_before_anything_is_sent(stage: Stage) -> None:
    host = stage.host("other")
    host.state.mkdir(parents=True)
    (host.state / "ledger.db").write_bytes(b"\x7fELF" * 4096)
    assert "is not a ledger" in (await refused(stage, host)).last["message"]


async def test_a_ledger_that_can_only_be_read_is_refused_before_anything_is_sent(stage: Stage) -> None:
    host = stage.host("read-only")
    async with await Ledger.open(host.state / "ledger.db"):
        pass
    stage.monkeypatch.setenv("BLE_OTA_LEDGER", f"sqlite:///file:{host.state / 'ledger.db'}?mode=ro&uri=true")
    assert "can only be read" in (await refused(stage, host)).last["message"]


async def test_a_ledger_that_is_locked_is_refused_before_anything_is_sent(stage: Stage) -> None:
    host = stage.host("locked")
    async with await Ledger.open(host.state / "ledger.db"):
        pass
    default(stage, Ledger.open, "busy_s", 0.1)
    with closing(sqlite3.connect(host.state / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "is locked by another process" in (await refused(stage, host)).last["message"]
    assert (await stage.run(host)).how == GOOD


async def test_a_ledger_that_is_locked_in_the_middle_ends_the_run_and_the_next_carries_on(stage: Stage) -> None:
    at = (await stage.good()).index("fetch")
    host = stage.host("locked later")
    default(stage, Ledger.open, "busy_s", 0.1)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as other:

        async def lock(_call: str) -> None:
            other.execute("ATTACH DATABASE ? AS ledger", (str(host.state / "ledger.db"),))
            other.execute("BEGIN IMMEDIATE")
            other.execute("DELETE FROM ledger.run WHERE 0")

        assert (await stage.run(host, Trouble(at, lock))).how == UNUSABLE
    assert (await stage.run(host)).how == GOOD
    assert await wrong(host.world, host.state) == []


# ------------------------------------------------------------------ P6: a resume that never comes forward


async def test_a_resume_that_never_comes_forward_ends_every_time(stage: Stage) -> None:
    host = stage.host("stuck", STUCK)
    for _ in range(3):
        trouble = Trouble()
        came = await stage.run(host, trouble)
        assert (came.code, came.last["verdict"]) == (31, "ERROR")
        assert trouble.calls.count("connect") <= LINKS
        assert came.seconds < DEADLINE_S
    assert heard(host).count("status.reported") == 1
    assert [bool(row.carries_on) for row in await runs(host)] == [True, True, False]
    assert (await stage.run(stage.host("stuck", KEEPS))).how == GOOD
    assert await wrong(host.world, host.state) == []


# ------------------------------------------------------------------ P7: clocks


def clock(stage: Stage, ahead_s: Callable[[], float]) -> None:
    """Set the wall clock of the ledger, which is that of marks, and of tokens; `ahead_s` is asked each time."""

    def now() -> float:
        return time.time() + ahead_s()

    default(stage, Ledger.open, "now", now)
    default(stage, DeveloperCenter.__init__, "clock", now)


@pytest.mark.parametrize("ahead_s", [-YEAR_S, YEAR_S], ids=["back", "forward"])
async def test_a_clock_that_was_set_in_between_does_not_keep_it_from_being_carried_on(
    stage: Stage, ahead_s: float
) -> None:
    assert (await stage.run(stage.host("set", STUCK))).code == 31
    clock(stage, lambda: ahead_s)
    host = stage.host("set", KEEPS)
    assert (await stage.run(host)).how == GOOD
    assert await wrong(host.world, host.state) == []
    assert heard(host).count("status.reported") == 2


@pytest.mark.parametrize("seed", range(3))
async def test_a_clock_that_jumps_about_does_not_matter_to_a_run(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)
    clock(stage, lambda: chance.choice((-YEAR_S, 0.0, YEAR_S)))
    host = stage.host("jumps")
    assert (await stage.run(host)).how == GOOD
    assert await wrong(host.world, host.state) == []


# ------------------------------------------------------------------ P9: somebody else is at it

OWNER = """
import os, sys
from pathlib import Path
from ble_ota.ledger import Owner, claimed

folder, place, *names = sys.argv[1:]
with claimed(Path(folder), [place], names, Owner(os.getpid(), "update", "a1b2c3", "ada@line-4", 1.7e9)):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner(host: Host, *names: str) -> Generator[int, None, None]:
    """Another process that has the device; gives its number."""
    words = [sys.executable, "-c", OWNER, str(host.state / "claims"), host.radio, *names]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize("by", ["address", "device"])
async def test_a_second_process_is_told_who_has_the_device(stage: Stage, by: str) -> None:
    host = stage.host("busy")
    device = host.world.devices[0]
    name = {"address": device.address, "device": f"{host.world.product_key}/{device.device_key}"}[by]
    with owner(host, f"{by} {name}") as number:
        came = await stage.run(host)
        assert came.how == (12, "REFUSED", "device_busy")
        for word in (f"{by} {name}", "`ble-ota update`", f"process {number}", "ada@line-4", "run a1b2c3"):
            assert word in came.last["message"]
        assert "status.reported" not in heard(host)
        assert "link.connected" not in [line["event"] for line in came.said]
    assert (await stage.run(host)).how == GOOD
    assert await wrong(host.world, host.state) == []


# ------------------------------------------------------------------ P10: another version of this program


async def test_a_run_of_an_older_version_is_carried_on(stage: Stage) -> None:
    with stage.monkeypatch.context() as older:
        older.setattr("ble_ota.cli.journal.__version__", "0.0.1")
        assert (await stage.run(stage.host("upgraded", STUCK))).code == 31
    host = stage.host("upgraded", KEEPS)
    assert (await stage.run(host)).how == GOOD
    newest, before = await runs(host)
    assert (newest.carries_on, before.tool) == (before.id, "0.0.1")
    assert await wrong(host.world, host.state) == []


async def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(stage: Stage) -> None:
    host = stage.host("downgraded")
    async with await Ledger.open(host.state / "ledger.db"):
        pass
    with closing(sqlite3.connect(host.state / "ledger.db")) as other, other:
        other.execute("UPDATE ledger_version SET version_num = 'r9999'")
    assert "was written by a newer version" in (await refused(stage, host)).last["message"]
    with closing(sqlite3.connect(host.state / "ledger.db")) as other:
        assert other.execute("SELECT version_num FROM ledger_version").fetchall() == [("r9999",)]

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import product
from pathlib import Path

import pytest

from ble_ota.cli.claims import device_locked, is_dead, lock_names
from ble_ota.cli.common import Common
from ble_ota.cli.journal import place_of, who
from ble_ota.cli.outbox import account_of
from ble_ota.cli.reports import send
from ble_ota.cli.resume import resume
from ble_ota.cli.wiring import MACHINE
from ble_ota.errors import DeviceBusyError
from ble_ota.ledger import Changes, Ledger, Report, RunRow, Started
from ble_ota.settings import isolated
from ble_ota.virtual.peripherals.quecthing import Habits
from ble_ota.virtual.world import World
from tests.cli.desk import Desk, started
from tests.cli.left import FORGETS, at, given_up, reported, rows, settings, until

# ------------------------------------------------------------------ whole commands


@asynccontextmanager
async def at_work(desk: Desk) -> AsyncGenerator[tuple[int, str], None]:
    """A run in a process of its own, in the middle of its transfer; gives process and run. Killed at the end."""
    desk.behaves(Habits(silent_after=1000))
    process = await started("update", desk.name, "--yes", "--json")
    line = await until(process, at("transfer.progress", bytes=1000))
    try:
        yield process.pid, line["run"]
    finally:
        process.kill()
        await process.communicate()
        desk.behaves(FORGETS)


async def endings() -> dict[str, str | None]:
    """How the runs ended, oldest first; None: open."""
    return {row.id: None if row.ending is None else row.ending.reason for row in (await rows())[::-1]}


async def test_two_state_folders_on_one_ledger_exclude_each_other(desk: Desk, tmp_path: Path) -> None:
    desk.set(ledger=f"sqlite:///{tmp_path / 'shared.db'}")
    async with at_work(desk) as (process, run):
        desk.set(state_dir=tmp_path / "other-state")
        assert await desk.update() == 12
        second = desk.told()
        assert f"process {process} " in second.last["message"]
        assert "link.connected" not in second.names
        assert await endings() == {run: None, second.last["run"]: "device_busy"}
        assert await resume(Common("resume", no_input=True), run) == 12
        assert (await endings())[run] is None
    assert await desk.update(yes=False) == 0  # killed, it is closed and carried on from the other state folder
    assert list((await endings()).values()) == ["killed", "device_busy", "device_busy", "verified"]
    assert reported(desk) == [2, 9]


async def test_two_ledgers_exclude_each_other_too(desk: Desk, tmp_path: Path) -> None:
    async with at_work(desk) as (process, _):
        desk.set(state_dir=tmp_path / "other-state")
        assert await desk.update() == 12
        assert f"process {process} " in desk.told().last["message"]


async def test_reports_of_a_device_that_is_being_updated_wait_for_that_run(desk: Desk, tmp_path: Path) -> None:
    desk.set(ledger=f"sqlite:///{tmp_path / 'shared.db'}")
    common = Common("reports send", no_input=True)
    async with at_work(desk) as (_, run):
        desk.set(state_dir=tmp_path / "other-state")
        device, account = (desk.world.product_key, desk.device.device_key), account_of(settings())
        async with await Ledger.open(place_of(settings())) as ledger:
            await ledger.keep(Report(run, account, *device, "", "MAIN", "failed", {}))
        assert await send(common, settings()) == 20
        assert reported(desk) == [2]
    assert await send(common, settings()) == 0
    assert reported(desk) == [2, 8]


async def test_a_path_to_the_same_world_is_the_same_place(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(desk.world.folder)
    async with at_work(desk):
        desk.set(state_dir=tmp_path / "other-state", radio=f"virtual:{tmp_path / 'link'}")
        assert await desk.update() == 12
        desk.monkeypatch.chdir(desk.world.folder.parent)
        desk.set(radio=f"virtual:{desk.world.folder.name}")
        assert await desk.update() == 12


async def test_a_relative_path_to_a_world_is_judged_by_the_folder_it_was_given_in(desk: Desk, tmp_path: Path) -> None:
    desk.set(ledger=f"sqlite:///{tmp_path / 'shared.db'}")
    desk.monkeypatch.chdir(desk.world.folder.parent)
    desk.set(radio=f"virtual:{desk.world.folder.name}")
    run = (await given_up(desk)).last["run"]
    desk.monkeypatch.chdir("/")
    assert await resume(Common("resume", no_input=True), run) == 0
    assert {row.radio for row in await rows()} == {f"virtual:{desk.world.folder}"}


async def test_virtual_worlds_in_two_folders_do_not_meet(desk: Desk, tmp_path: Path) -> None:
    desk.set(ledger=f"sqlite:///{tmp_path / 'shared.db'}")
    other = World.create(tmp_path / "other", size_bytes=600)
    assert other.devices[0].address == desk.device.address
    async with at_work(desk) as (_, run):
        desk.set(state_dir=tmp_path / "other-state", radio=f"virtual:{other.folder}", cloud=f"virtual:{other.folder}")
        assert await desk.update() == 0
        assert await endings() == {run: None, (await rows())[0].id: "verified"}  # it is open, and alive at its place


async def test_a_run_of_another_host_is_neither_closed_nor_carried_on(desk: Desk) -> None:
    async with at_work(desk) as (_, run):
        pass
    desk.monkeypatch.setattr(platform, "node", lambda: "another-host")
    assert await desk.update(yes=False) == 2  # so it is asked for anew
    told = desk.told()
    (warning,) = [line["message"] for line in told.lines if line["event"] == "warning"]
    assert warning.startswith(f"run {run} of ")
    assert await desk.update() == 0
    assert [(r.id == run, r.ending is None, r.carries_on) for r in await rows()] == [
        (False, False, ""),
        (False, False, ""),
        (True, True, ""),
    ]


async def test_a_run_of_another_host_is_not_resumed(desk: Desk) -> None:
    async with at_work(desk) as (_, run):
        pass
    desk.monkeypatch.setattr(platform, "node", lambda: "another-host")
    desk.told()
    assert await resume(Common("resume", json=True, no_input=True), run) == 12
    told = desk.told()
    assert (told.last["reason"], run in told.last["message"]) == ("device_busy", True)
    assert await resume(Common("resume", json=True, no_input=True), None) == 10
    told = desk.told()
    assert "nothing to resume" in told.last["message"]
    assert run in told.last["message"]
    assert await endings() == {run: None}


async def test_of_several_the_newest_of_this_host_is_resumed(desk: Desk) -> None:
    run = (await given_up(desk)).last["run"]
    async with await Ledger.open(place_of(settings())) as ledger:
        await ledger.begin(Started("newer", "update", "", {}, {}, "bleak", "eu", "ada@another-host", 1, "1"))
        await ledger.write("newer", [], Changes(product_key="p", device_key="d", approved_by="ada"))
    assert await resume(Common("resume", no_input=True), None) == 0
    assert (await rows())[0].carries_on == run
    assert (await endings())["newer"] is None


# ------------------------------------------------------------------ which runs are dead

KEYS = ("p11", "d1")
WAITS = "import sys; print(flush=True); sys.stdin.read()"


def row(place: str, *, by: str = "", pid: int = 0, address: str = "AA") -> RunRow:
    """An open run that began long after every process of this machine."""
    text = {"id": "r", "command": "update", "asked": "", "radio": place, "cloud": "eu", "tool": "1", "carries_on": ""}
    known = {"product_key": KEYS[0], "device_key": KEYS[1], "address": address, "name": "", "plan_id": ""}
    more = {"fingerprint": "", "approved_by": "ada", "who": by or who(), "pid": pid or os.getpid()}
    none: dict[str, object] = {"arguments": {}, "settings": {}, "plan": {}, "versions_before": {}, "versions_after": {}}
    return RunRow(**text, **known, **more, **none, started_at_s=4e9, finished_at_s=None, ending=None)  # type: ignore[arg-type]


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


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"virtual:{tmp_path / 'world'}"


def test_a_run_whose_locks_are_free_is_dead(place: str) -> None:
    assert is_dead(row(place), frozenset())


@pytest.mark.parametrize("name", lock_names(product_key="p11", device_key="d1", address="AA"))
def test_a_run_is_not_dead_while_one_of_its_locks_is_held(place: str, name: str, tmp_path: Path) -> None:
    with device_locked(isolated(state_dir=tmp_path), [place], [name], command="update", run="r") as held:
        assert held == {(place, name)}
        assert not is_dead(row(place), frozenset())
        assert is_dead(row(place), held)  # that is ours


def test_a_lock_at_another_place_says_nothing(place: str, tmp_path: Path) -> None:
    names = lock_names(product_key="p11", device_key="d1", address="AA")
    with device_locked(isolated(state_dir=tmp_path), [f"{place}2"], names, command="update", run="r") as held:
        assert is_dead(row(place), held)
        assert not is_dead(row(f"{place}2"), frozenset())


def test_a_run_of_several_controllers_is_not_dead_while_one_is_held(tmp_path: Path) -> None:
    radio, one = "bumble:tcp-client:h.invalid:1,tcp-client:h.invalid:2", "bumble:tcp-client:h.invalid:2"
    names = lock_names(product_key="p11", device_key="d1", address=str(tmp_path))
    with device_locked(isolated(state_dir=tmp_path), [one], names, command="update", run="r"):
        assert not is_dead(row(radio, address=str(tmp_path)), frozenset())


def test_a_run_whose_process_lives_is_not_dead_though_its_lock_is_not_seen(place: str) -> None:
    """It is in another network namespace, or of a version that did not have this lock."""
    with program() as process:
        assert not is_dead(row(place, pid=process.pid), frozenset())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie: it has ended
        assert is_dead(row(place, pid=process.pid), frozenset())
    assert is_dead(row(place, pid=process.pid), frozenset())


def test_a_run_of_another_host_is_never_dead(place: str) -> None:
    for by in (f"ada@not-{platform.node()}", "ada", "ada@", f"{platform.node()}@x"):
        assert not is_dead(row(place, by=by), frozenset())


# ------------------------------------------------------------------ the door


def test_a_device_is_locked_as_its_address_and_its_keys() -> None:
    assert lock_names(product_key="p", device_key="d", address="aa:bb") == ["address AA:BB", "device p/d"]
    assert lock_names(product_key="p", device_key="", address="AA") == ["address AA"]
    assert lock_names(product_key="p", device_key="d") == ["device p/d"]


def test_every_place_of_every_radio_is_locked(tmp_path: Path) -> None:
    radios = [f"bumble:tcp-client:H.invalid:1,serial:/dev/{tmp_path.name},115200", f"virtual:{tmp_path}"]
    names = [f"address {tmp_path}", f"device {tmp_path}"]
    places = [MACHINE, "tcp-client:h.invalid:1", f"virtual:{tmp_path}"]
    with device_locked(isolated(state_dir=tmp_path / "a"), radios, names, command="update", run="r") as held:
        assert held == set(product(places, names))
        for radio in ("bleak", "bumble:usb:1", "bumble:tcp-client:h.invalid:1", f"virtual:{tmp_path}"):
            with (
                pytest.raises(DeviceBusyError, match=f"by process {os.getpid()} "),
                device_locked(isolated(state_dir=tmp_path / "b"), [radio], names[:1], command="update", run="r"),
            ):
                pass

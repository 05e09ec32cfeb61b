from __future__ import annotations

import os
import platform
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path

import pytest

from ble_ota.cli.claims import device_locked
from ble_ota.cli.common import Common
from ble_ota.cli.journal import place_of
from ble_ota.cli.outbox import account_of
from ble_ota.cli.reports import send
from ble_ota.cli.resume import resume
from ble_ota.cli.wiring import MACHINE
from ble_ota.errors import DeviceBusyError
from ble_ota.ledger import Changes, Ledger, Report, Started
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


async def test_a_run_is_carried_on_by_another_path_to_its_world(desk: Desk) -> None:
    first = (await given_up(desk)).last["run"]
    desk.monkeypatch.chdir(desk.world.folder.parent)
    desk.set(radio=f"virtual:{desk.world.folder.name}")
    assert await desk.update(yes=False) == 0
    assert (await rows())[0].carries_on == first


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


# ------------------------------------------------------------------ the door


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

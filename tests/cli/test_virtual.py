from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.virtual import cloud, device, radio
from ble_ota.errors import AdapterError, UsageError
from ble_ota.settings import isolated
from ble_ota.virtual.hci_server import controllers
from ble_ota.virtual.world import World

JSON, TEXT = Common("virtual", json=True), Common("virtual")


@asynccontextmanager
async def running(job: Awaitable[int], capsys: pytest.CaptureFixture[str]) -> AsyncGenerator[Any, None]:
    """Run a process's job for the block; give its ready line. A signal ends it, with exit 0."""
    task = asyncio.ensure_future(job)
    async with asyncio.timeout(20):
        while not (out := capsys.readouterr().out) and not task.done():
            await asyncio.wait([task], timeout=0.01)
    try:
        yield json.loads(out)["data"] if out.startswith("{") else out
    finally:
        signal.raise_signal(signal.SIGTERM)
        assert await task == 0


async def test_the_cloud_says_where_it_is_and_what_its_user_needs(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(cloud(JSON, isolated(), world.folder, 0), capsys) as ready, httpx.AsyncClient() as client:
        assert (await client.get(ready["url"])).status_code == 404
        assert ready["environment"]["BLE_OTA_CLOUD"] == ready["url"]
        assert ready["world"] == str(world.folder)


async def test_the_cloud_for_people_is_one_line(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(cloud(TEXT, isolated(), world.folder, 0), capsys) as ready:
        assert ready.startswith("Developer Center at http://127.0.0.1:")


async def test_a_new_world_has_devices_online_and_the_first_ten_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for count, shown in ((None, 3), (12, 10), (0, 0)):
        async with running(cloud(JSON, isolated(), tmp_path / f"{count}", 0, count), capsys) as ready:
            assert len(ready["online"]) == shown
            made = World.open(tmp_path / f"{count}")
            assert ready["online"] == [f"{made.online_product}/{d.device_key}" for d in made.online[:10]]
            assert len(made.online) == (3 if count is None else count)


async def test_a_world_that_is_there_keeps_its_devices_and_that_is_told(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Common, "tell", lambda _common, text: told.append(text))
    async with running(cloud(JSON, isolated(), world.folder, 0, 5), capsys) as ready:
        assert ready["online"] == []
    assert told == ["warning: this world was made before, with 0 devices online; it keeps them"]


@pytest.mark.parametrize("name", ["faults.json", "spelling.json", "online.json"])
async def test_the_files_of_the_worlds_cloud_are_read(world: World, name: str) -> None:
    (world.folder / "cloud").mkdir(exist_ok=True)
    (world.folder / "cloud" / name).write_text('{"no such thing": 1}')
    with pytest.raises(UsageError, match=name):
        await cloud(JSON, isolated(), world.folder, 0)


async def test_the_built_in_world_lies_in_the_state_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(cloud(JSON, isolated(state_dir=tmp_path), None, 0), capsys) as ready:
        assert Path(ready["world"]).parent == tmp_path


async def test_a_port_that_is_taken_is_named(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for job in (cloud(JSON, isolated(), world.folder, port), radio(JSON, 2, port)):
            with pytest.raises(UsageError, match=str(port)):
                await job


async def test_the_radio_names_a_controller_per_client(capsys: pytest.CaptureFixture[str]) -> None:
    async with running(radio(JSON, 3, 0), capsys) as ready:
        assert ready["radios"] == [f"bumble:tcp-client:127.0.0.1:{p}" for p in ready["ports"]]
        assert len(set(ready["ports"])) == 3


async def test_a_device_lives_on_a_controller(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    made = world.devices[0]
    async with controllers(2) as (port, _):
        job = device(JSON, isolated(), f"bumble:tcp-client:127.0.0.1:{port}", world.folder, made.device_key)
        async with running(job, capsys) as ready:
            assert (ready["address"], ready["device_key"]) == (made.address, made.device_key)


@pytest.mark.parametrize("where", ["bleak", "bumble:", "virtual:x"])
async def test_a_device_lives_on_a_controller_only(world: World, where: str) -> None:
    with pytest.raises(UsageError, match="cannot live on"):
        await device(JSON, isolated(), where, world.folder, None)


async def test_a_device_the_world_does_not_have_is_refused_and_the_others_named(world: World) -> None:
    with pytest.raises(UsageError, match="no device NOBODY") as caught:
        await device(JSON, isolated(), "bumble:tcp-client:127.0.0.1:1", world.folder, "NOBODY")
    assert world.devices[0].device_key in caught.value.hint


async def test_a_controller_that_is_not_there_is_the_adapters_fault(world: World) -> None:
    with pytest.raises(AdapterError, match="cannot be opened"):
        await device(JSON, isolated(), "bumble:tcp-client:127.0.0.1:1", world.folder, None)


async def test_a_folder_that_holds_no_world_is_refused(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text('{"format": 99}')
    with pytest.raises(UsageError, match="format 99"):
        await cloud(JSON, isolated(), tmp_path, 0)


async def test_a_device_ends_when_its_controller_goes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    async with controllers(1) as (port,):
        job = device(JSON, isolated(), f"bumble:tcp-client:127.0.0.1:{port}", world.folder, None)
        running_job = asyncio.create_task(job)
        while not capsys.readouterr().out:
            await asyncio.wait({running_job}, timeout=0.01)
    async with asyncio.timeout(10):
        with pytest.raises(AdapterError, match="is gone"):
            await running_job


async def test_a_device_on_a_controller_that_says_nothing_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.virtual.POWER_ON_S", 0.05)
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(AdapterError, match="does not answer"):
            await device(JSON, isolated(), f"bumble:tcp-client:127.0.0.1:{port}", world.folder, None)


@pytest.mark.parametrize(("where", "hint"), [("nothing:0", "usb:0"), ("serial:/nowhere/tty", "by-id")])
async def test_a_controller_that_cannot_be_had_is_told_what_to_do(world: World, where: str, hint: str) -> None:
    with pytest.raises(AdapterError, match="cannot be opened") as caught:
        await device(JSON, isolated(), f"bumble:{where}", world.folder, None)
    assert hint in caught.value.hint

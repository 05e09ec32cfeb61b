from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.demo import FOLDER, demo, unfinished_demo, values_of
from ble_ota.errors import StorageError
from ble_ota.settings import isolated
from ble_ota.virtual.developer_center import DeveloperCenter
from ble_ota.virtual.peripherals.quecthing import Boot, Flash
from ble_ota.virtual.world import World
from tests.cli.desk import started, told
from tests.cli.inline import without_thread

DONE_S = 30.0


@pytest.fixture(autouse=True)
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    without_thread(monkeypatch)


@pytest.fixture
def where(tmp_path: Path) -> Path:
    """The user's state folder; see `own_folders`."""
    return tmp_path / "state"


@pytest.mark.looptime
async def test_one_device_is_updated(capsys: pytest.CaptureFixture[str]) -> None:
    assert await demo(Common("demo", json=True), size=1000, devices=1) == 0
    assert told(*capsys.readouterr()).last["verdict"] == "PASS"


@pytest.mark.looptime
async def test_each_of_several_devices_has_a_run_and_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert await demo(Common("demo", json=True), size=500, devices=2) == 0
    ends = [line for line in told(*capsys.readouterr()).lines if line["event"] == "run.finished"]
    assert [e["verdict"] for e in ends] == ["PASS", "PASS"]
    assert len({e["run"] for e in ends}) == 2


@pytest.mark.looptime
async def test_one_of_several_that_fails_does_not_stop_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create = World.create

    def with_a_grumpy_one(folder: Path, *, devices: int, size_bytes: int) -> World:
        world = create(folder, devices=devices, size_bytes=size_bytes)
        (world.home(world.devices[0]) / "habits.json").write_text('{"declines": true}')
        return world

    monkeypatch.setattr(World, "create", with_a_grumpy_one)
    assert await demo(Common("demo", json=True), size=500, devices=2) == 40
    ends = [line for line in told(*capsys.readouterr()).lines if line["event"] == "run.finished"]
    assert [(e["verdict"], e["exit_code"]) for e in ends] == [("FAIL", 32), ("PASS", 0)]


@pytest.mark.looptime
async def test_nothing_of_the_users_is_touched(where: Path, tmp_path: Path) -> None:
    await demo(Common("demo", quiet=True), size=500, devices=1)
    assert not (tmp_path / "cache").exists()
    assert not where.exists()


@pytest.mark.looptime
async def test_nothing_of_it_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    await demo(Common("demo", quiet=True), size=500, devices=1, fault="declined")
    assert list(tmp_path.glob("ble-ota-demo-*")) == []


def test_settings_of_the_user_are_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLE_OTA_LINKS", "99")
    assert isolated(**values_of(world)).links == 20


def test_the_keyring_of_the_user_is_left_alone(world: World) -> None:
    assert not isolated(**values_of(world)).keyring


# ------------------------------------------------------------------ a demo that is killed


async def killed(*more: str) -> tuple[int | None, list[str], str]:
    """A demo that kills itself: exit code, names of its events, and what it said."""
    process = await started("demo", "--fault", "kill@70%", "--size", "20000", "--json", *more)
    async with asyncio.timeout(DONE_S):
        out, err = await process.communicate()
    return process.returncode, told(out.decode(), "").names, err.decode()


async def test_a_kill_ends_the_process_in_the_middle_and_resume_carries_on(where: Path) -> None:
    code, names, said = await killed()
    assert code == -9  # for a shell 137
    assert names[-1] == "transfer.started"
    assert said.endswith("\nkilled, as you wished; carry on with `ble-ota resume`\n")

    process = await started("resume", "--json", "--no-input")
    async with asyncio.timeout(DONE_S):
        out, _ = await process.communicate()
    resumed = told(out.decode(), "")
    assert (process.returncode, resumed.last["verdict"]) == (0, "PASS")
    world = World.open(where / FOLDER / "world")
    in_flash = Boot(world, Flash(world.home(world.devices[0]))).image("MAIN")
    assert in_flash == (world.firmware(world.components[0].files[0]),)
    reports = [r["meaning"] for r in DeveloperCenter(world).records() if r["what"] == "status.reported"]
    assert reports == ["confirmed", "succeeded"]


async def test_a_demo_that_was_killed_is_found(where: Path) -> None:
    await killed("--quiet")
    found = unfinished_demo(where)
    assert found is not None
    assert found.cloud == found.radio == f"virtual:{where / FOLDER / 'world'}"
    assert found.state_dir == where / FOLDER / "state"
    assert {"ledger.db", "secrets.json"} <= {file.name for file in found.state_dir.iterdir()}
    assert [file.name for file in where.iterdir()] == [FOLDER]
    assert found.ledger_head is False  # what goes away needs no witness


@pytest.mark.looptime
async def test_the_folder_is_made_anew(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.kill", lambda *_: None)  # it lives on
    (where / FOLDER / "world").mkdir(parents=True)
    (where / FOLDER / "world" / "world.json").write_text("not this one")
    assert await demo(Common("demo", quiet=True), size=500, devices=1, fault="kill") == 0
    assert World.open(where / FOLDER / "world").components[0].files[0].size_bytes == 500


async def test_a_folder_that_cannot_be_made_is_a_sentence(where: Path) -> None:
    where.write_text("a file")
    with pytest.raises(StorageError, match="Not a directory"):
        await demo(Common("demo", quiet=True), size=500, devices=1, fault="kill")


def test_without_a_demo_none_is_unfinished(where: Path) -> None:
    assert unfinished_demo(where) is None


@pytest.mark.parametrize("text", ["", "[]", '{"moods": 3}', '{"links": "many"}'])
def test_a_demo_of_another_version_is_none(where: Path, text: str) -> None:
    (where / FOLDER).mkdir(parents=True)
    (where / FOLDER / "settings.json").write_text(text)
    assert unfinished_demo(where) is None


def test_the_settings_that_are_kept_are_those_of_the_demo(where: Path, world: World) -> None:
    (where / FOLDER).mkdir(parents=True)
    (where / FOLDER / "settings.json").write_text(json.dumps(values_of(world)))
    found = unfinished_demo(where)
    assert found is not None
    assert found.model_dump() == isolated(**values_of(world)).model_dump()

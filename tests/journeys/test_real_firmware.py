"""A firmware file that another tool made goes through `update` and `flash`, and lies in the flash byte for byte."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli.virtual import environment
from ble_ota.virtual.developer_center import DeveloperCenter, serve
from ble_ota.virtual.world import World
from tests.journeys.processes import process
from tests.journeys.test_four_processes import host, in_flash

VERSION = "2.7.1"


@pytest.fixture
def mcuboot_image(tmp_path: Path) -> Path:
    """An image that imgtool made and put its header and trailer around."""
    payload, image = tmp_path / "app.bin", tmp_path / "app.signed.bin"
    payload.write_bytes(random.Random(7).randbytes(20_000))
    words = ["sign", "--version", VERSION, "--header-size", "0x200", "--pad-header", "--slot-size", "0x20000"]
    command = [sys.executable, "-m", "imgtool.main", *words, "--align", "4", str(payload), str(image)]
    subprocess.run(command, check=True, capture_output=True)
    assert image.read_bytes()[:4] == bytes.fromhex("3db8f396")
    return image


async def run(home: Path, *words: str, **env: str) -> tuple[int | None, dict[str, Any]]:
    async with process(home, *words, **env) as started:
        out, err = await started.communicate()
    assert out, err
    last: dict[str, Any] = json.loads(out.splitlines()[-1])
    return started.returncode, last


async def test_it_goes_through_update(tmp_path: Path, mcuboot_image: Path) -> None:
    world = World.create(tmp_path / "world", packages={"MAIN": (mcuboot_image.read_bytes(),)})
    async with serve(DeveloperCenter(world)) as url:
        env = environment(world, url)
        code, lines = await host(tmp_path, f"virtual:{world.folder}", env)
    assert (code, lines[-1]["verdict"]) == (0, "PASS"), lines[-1]
    assert in_flash(world) == mcuboot_image.read_bytes()


async def test_it_goes_through_flash(tmp_path: Path, mcuboot_image: Path) -> None:
    world = World.create(tmp_path / "world")
    device = world.devices[0]
    words = ("flash", str(mcuboot_image), device.name, "--to", VERSION, "--yes", "--radio", f"virtual:{world.folder}")
    env = {"BLE_OTA_DEVICE_SECRET": device.binding_code}
    code, finished = await run(tmp_path, *words, **env)
    assert (code, finished["verdict"]) == (0, "PASS"), finished
    assert in_flash(world) == mcuboot_image.read_bytes()

    code, finished = await run(tmp_path, *words, **env)
    assert (code, finished["verdict"]) == (10, "NOTHING_TO_DO"), finished

    code, finished = await run(tmp_path, *words, "--reinstall", **env)
    assert (code, finished["verdict"]) == (0, "PASS"), finished


async def test_it_is_told_what_it_is(tmp_path: Path, mcuboot_image: Path) -> None:
    code, told = await run(tmp_path, "inspect", str(mcuboot_image))
    assert code == 0
    assert told["data"]["size_bytes"] == len(mcuboot_image.read_bytes())
    assert "MCUboot" in told["data"]["note"]

"""Cloud, radio, device and host, each a process of its own, wired by what each prints when it is ready."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ble_ota.virtual.world import World
from tests.journeys.processes import DONE_S, process, ready, run

pytestmark = pytest.mark.timeout(240)  # whole processes, one after another


async def host(home: Path, radio: str, env: dict[str, str]) -> tuple[int | None, list[dict[str, Any]]]:
    """One `update`, to its end."""
    ran = await run(home, "update", "--yes", "--radio", radio, **env)
    return ran.code, ran.lines


@asynccontextmanager
async def the_other_three(home: Path, world: World) -> AsyncGenerator[tuple[str, dict[str, str]]]:
    """Cloud, radio and device; gives the host's radio, and its environment."""
    where = ("--world", str(world.folder))
    async with process(home, "virtual", "cloud", *where) as cloud, process(home, "virtual", "radio") as air:
        environment: dict[str, str] = (await ready(cloud))["environment"]
        radios: list[str] = (await ready(air))["radios"]
        async with process(home, "virtual", "device", *where, "--radio", radios[0]) as device:
            await ready(device)
            yield radios[1], environment


def in_flash(world: World) -> bytes:
    return (world.home(world.devices[0]) / "flash-MAIN-0.bin").read_bytes()


async def test_an_update_over_four_processes(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", size_bytes=10_000)
    async with the_other_three(tmp_path, world) as (radio, environment):
        environment["BLE_OTA_REPORT_STATUS__SUCCEEDED"] = "9"
        code, lines = await host(tmp_path, radio, environment)
        assert (code, lines[-1]["verdict"]) == (0, "PASS"), lines[-1]
        code, lines = await host(tmp_path, radio, environment)
        assert (code, lines[-1]["verdict"]) == (10, "NOTHING_TO_DO"), lines[-1]
    assert in_flash(world) == world.firmware(world.components[0].files[0])


async def test_a_host_that_is_killed_frees_the_link(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", size_bytes=150_000)
    async with the_other_three(tmp_path, world) as (radio, environment):
        async with process(tmp_path, "update", "--yes", "--radio", radio, **environment) as killed:
            assert killed.stdout is not None
            async with asyncio.timeout(DONE_S):
                while json.loads(await killed.stdout.readline())["event"] != "transfer.progress":
                    pass
            killed.kill()
        code, lines = await host(tmp_path, radio, environment)
        assert (code, lines[-1]["verdict"]) == (0, "PASS"), lines[-1]
    assert in_flash(world) == world.firmware(world.components[0].files[0])

"""The vendor's flow for MQTT devices, step by step from the shell, against a Developer Center in another process."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ble_ota.virtual.world import World
from tests.journeys.processes import Ran, process, ready, run

Shell: TypeAlias = Callable[..., Awaitable[Ran]]

pytestmark = pytest.mark.timeout(240)  # whole processes, one after another

HABITS = {"*": {"download_s": 0.3, "upgrade_s": 0.3}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Four devices: the second one fails at its first attempt."""
    world = World.create(tmp_path / "world", online=4, size_bytes=2000)
    habits = HABITS | {world.online[1].device_key: HABITS["*"] | {"fails": 1}}
    (world.folder / "cloud").mkdir()
    (world.folder / "cloud" / "online.json").write_text(json.dumps({"habits": habits}))
    return world


@pytest.fixture
async def shell(world: World, tmp_path: Path) -> AsyncGenerator[Shell, None]:
    """A shell beside a Developer Center that runs."""
    async with process(tmp_path, "virtual", "cloud", "--world", str(world.folder)) as cloud:
        environment: dict[str, str] = (await ready(cloud))["environment"] | {"BLE_OTA_POLL_S": "0.2"}

        async def typed(*words: str, **env: str) -> Ran:
            return await run(tmp_path, *words, **{**environment, **env})

        yield typed


def keys(world: World, at: int) -> str:
    return f"{world.online_product}/{world.online[at].device_key}"


def records(world: World, what: str) -> list[dict[str, Any]]:
    lines = (world.folder / "cloud" / "records.jsonl").read_text().splitlines()
    return [record for line in lines if (record := json.loads(line))["what"] == what]


def stage(ran: Ran) -> str:
    [device] = ran.data["devices"]
    found: str = device["stage"]
    return found


async def test_a_plan_is_shown_confirmed_and_watched_to_its_success(world: World, shell: Shell) -> None:
    device = keys(world, 0)
    shown = await shell("mqtt", "plan", device)
    assert (shown.code, stage(shown)) == (0, "waiting"), shown
    confirmed = await shell("mqtt", "confirm", device, "--yes")
    assert (confirmed.code, confirmed.data["taken"]) == (0, 1), confirmed
    watched = await shell("mqtt", "watch", device)
    assert (watched.code, watched.data["succeeded"]) == (0, 1), watched
    stages = [line["stage"] for line in watched.lines if line["event"] == "upgrade.changed"]
    assert stages[-1] == "succeeded"
    again = await shell("mqtt", "confirm", device, "--yes")
    assert again.code == 10, again
    assert len(records(world, "order.given")) == 1


async def test_a_failed_device_is_retried(world: World, shell: Shell) -> None:
    device = keys(world, 1)
    assert (await shell("mqtt", "confirm", device, "--yes")).code == 0
    failed = await shell("mqtt", "watch", device)
    assert (failed.code, stage(failed)) == (40, "failed"), failed
    retried = await shell("mqtt", "retry", device, "--yes")
    assert retried.code == 0, retried
    assert (await shell("mqtt", "watch", device)).code == 0
    assert stage(await shell("mqtt", "status", device)) == "succeeded"


async def test_an_appointment_is_made_changed_and_cancelled(world: World, shell: Shell) -> None:
    device = keys(world, 2)
    too_short = await shell("mqtt", "appoint", device, "--start", "tomorrow 02:00", "--end", "+30min", "--yes")
    assert (too_short.code, too_short.data["event"]) == (2, "error"), too_short
    assert "shorter than one hour" in too_short.data["message"]
    assert "--start" in too_short.data["hint"]
    assert records(world, "order.given") == []
    for hours in ("02:00\N{EN DASH}04:00", "03:00-05:00"):
        appointed = await shell("mqtt", "appoint", device, "--start", f"tomorrow {hours}", "--yes")
        assert appointed.code == 0, appointed
        assert stage(await shell("mqtt", "status", device)) == "appointed"
    assert (await shell("mqtt", "cancel", device)).code == 2  # nobody to ask
    assert (await shell("mqtt", "cancel", device, "--yes")).code == 0
    assert stage(await shell("mqtt", "status", device)) == "cancelled"
    assert [record["operType"] for record in records(world, "order.given")] == [2, 2, 3]


async def test_automatic_confirmation_is_switched(world: World, shell: Shell) -> None:
    device = keys(world, 3)
    for words, on in ((("on", "--yes"), True), (("off",), False)):
        switched = await shell("auto", words[0], device, *words[1:])
        assert switched.code == 0, switched
        status = await shell("auto", "status", device)
        assert [one["auto"] for one in status.data["devices"]] == [on], status
    assert (await shell("mqtt", "watch", device)).code == 0  # it was pushed while the switch was on


async def test_all_devices_of_the_account_are_confirmed_and_watched_together(world: World, shell: Shell) -> None:
    shown = await shell("mqtt", "plan", "--all")
    assert [one["device"] for one in shown.data["devices"]] == [keys(world, at) for at in range(4)]
    assert (await shell("mqtt", "confirm", "--all", "--yes", BLE_OTA_BATCH="3")).code == 0
    watched = await shell("mqtt", "watch", "--all")
    assert (watched.code, watched.data["succeeded"], watched.data["failed"]) == (40, 3, 1), watched


async def test_a_stranger_is_named_and_the_others_are_served(world: World, shell: Shell) -> None:
    alone = await shell("mqtt", "plan", "p9/NOBODY")
    assert (alone.code, alone.data["event"]) == (20, "error"), alone
    assert "5052" in alone.data["message"]
    several = await shell("mqtt", "confirm", keys(world, 0), "p9/NOBODY", "--yes")
    assert (several.code, several.data["taken"]) == (40, 1), several


async def test_a_token_of_another_region_is_named(world: World, shell: Shell, tmp_path: Path) -> None:
    assert (await shell("whoami")).code == 0
    (world.folder / "cloud" / "signing.key").write_bytes(b"another region has another key..")
    other = World.open(world.folder)
    async with process(tmp_path, "virtual", "cloud", "--world", str(other.folder)) as elsewhere:
        url = (await ready(elsewhere))["url"]
        vault = next(tmp_path.rglob("secrets.json"))
        port = url.rpartition(":")[2]
        kept = json.loads(vault.read_text())
        moved = {_at_port(name, port): secret for name, secret in kept.items()}
        vault.write_text(json.dumps(kept | moved))
        refused = await shell("mqtt", "plan", keys(world, 0), BLE_OTA_CLOUD=url)
    assert refused.code == 20, refused
    assert "ble-ota login" in refused.data["hint"]
    assert "--cloud" in refused.data["hint"]


def _at_port(name: str, port: str) -> str:
    """The name of the same session at another port of this machine."""
    head, _, told = name.partition(" ")
    url, *rest = json.loads(told)
    return f"{head} {json.dumps([url.rpartition(':')[0] + ':' + port, *rest])}"

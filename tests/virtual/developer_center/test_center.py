from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ble_ota.virtual.developer_center import REPORT_STATUS, DeveloperCenter, Faults, Terms
from ble_ota.virtual.world import World
from tests.virtual.developer_center.conftest import ENDUSER, USER, Caller, Clock, Online, by_email


async def test_an_unknown_path_is_not_found(caller: Caller) -> None:
    assert (await caller.http.get("/v2/quecota/enduserapi/v2/getUpgradePlan")).status_code == 404


async def test_a_wrong_method_is_not_allowed(stranger: Caller) -> None:
    assert (await stranger.http.get(f"{ENDUSER}/emailPwdLogin")).status_code == 405


async def test_a_whole_update_leaves_its_trace(
    caller: Caller, center: DeveloperCenter, device_key: str, link: str
) -> None:
    await caller.report(device_key, REPORT_STATUS["confirmed"])
    await caller.http.get(link)
    await caller.report(device_key, REPORT_STATUS["succeeded"])
    assert [r["what"] for r in center.records()] == [
        "login",
        "plan.queried",
        "status.reported",
        "firmware.fetched",
        "status.reported",
    ]


async def test_records_carry_no_secret(
    caller: Caller, center: DeveloperCenter, world: World, device_key: str, link: str
) -> None:
    await caller.login(by_email("wrong-one"))
    await caller.report(device_key, 2)
    await caller.http.get(link)
    await caller.call("PUT", f"{ENDUSER}/refreshToken", params={"refreshToken": caller.tokens["refreshToken"]["token"]})
    await caller.call("DELETE", f"{ENDUSER}/userLogout")
    written = (world.folder / "cloud" / "records.jsonl").read_text("utf-8")
    secrets = [USER.password, "wrong-one", USER.user_domain_secret, world.devices[0].binding_code, by_email()["pwd"]]
    secrets += [token["token"].removeprefix("Bearer ") for token in caller.tokens.values()]
    secrets += [link.split("/")[4], by_email()["signature"]]
    assert len(center.records()) == 7
    assert [secret for secret in secrets if secret in written] == []


async def test_everything_survives_a_restart(caller: Caller, world: World, clock: Clock, device_key: str) -> None:
    await caller.report(device_key, 9)
    again = DeveloperCenter(world, clock=clock)
    assert (again.status(device_key, "MAIN"), again.version(device_key, "MAIN")) == (9, "1.1.0")


async def test_a_link_survives_a_restart(
    link: str, world: World, clock: Clock, caller_of: Callable[[DeveloperCenter], Caller]
) -> None:
    assert (await caller_of(DeveloperCenter(world, clock=clock)).http.get(link)).status_code == 200


async def test_the_cloud_writes_only_into_its_own_folder(caller: Caller, world: World, device_key: str) -> None:
    await caller.report(device_key, 2)
    assert sorted(path.name for path in (world.folder / "cloud").iterdir()) == ["records.jsonl", "signing.key"]
    assert sorted(path.name for path in world.folder.iterdir()) == ["cloud", "firmware", "world.json"]


async def test_the_terms_of_plans_can_be_set(
    world: World, clock: Clock, device_key: str, caller_of: Callable[[DeveloperCenter], Caller]
) -> None:
    caller = caller_of(DeveloperCenter(world, clock=clock, terms=Terms(battery_percent=77)))
    await caller.login()
    assert (await caller.plan(device_key))["data"]["planInfo"]["batteryLevelLimit"] == 77


async def test_faults_can_be_there_from_the_start(world: World, caller_of: Callable[[DeveloperCenter], Caller]) -> None:
    center = DeveloperCenter(world, faults=Faults(status=503))
    assert (await caller_of(center).http.get("/")).status_code == 503


def test_nothing_was_reported_to_begin_with(center: DeveloperCenter, device_key: str) -> None:
    assert (center.status(device_key, "MAIN"), center.version(device_key, "MAIN")) == (None, None)


@pytest.mark.looptime
async def test_virtual_time_stands_still_while_it_answers(caller: Caller, link: str) -> None:
    before = asyncio.get_running_loop().time()
    await caller.http.get(link)
    assert asyncio.get_running_loop().time() == before


def test_an_online_device_can_be_looked_at(online_world: World, clock: Clock) -> None:
    seen = DeveloperCenter(online_world, clock=clock).online(online_world.online[0].device_key)
    assert (seen.phase, seen.attempts, seen.pushed_at, seen.appointment, seen.auto) == ("waiting", 0, None, None, False)


def test_a_device_that_is_not_online_cannot_be_looked_at(center: DeveloperCenter, device_key: str) -> None:
    with pytest.raises(KeyError):
        center.online(device_key)


async def test_orders_survive_a_restart(online: Online, key: str, online_world: World, clock: Clock) -> None:
    await online.order(key, 1)
    assert DeveloperCenter(online_world, clock=clock).online(key).phase == "downloading"


async def test_records_carry_no_auth_key(online: Online, key: str, online_world: World) -> None:
    await online.order(key, 1)
    await online.auto(key, on=True)
    await online.caller.call("GET", "/v2/binding/enduserapi/userDeviceList")
    written = (online_world.folder / "cloud" / "records.jsonl").read_text("utf-8")
    assert [device for device in online_world.online if device.auth_key in written] == []

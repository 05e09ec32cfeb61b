"""The client and the virtual Developer Center, over a real socket: two readings of one specification, met."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ble_ota.cloud import DeveloperCenter
from ble_ota.errors import CloudAnswerError, CloudUnreachableError, LoginRefusedError, TokenRejectedError
from ble_ota.model import ComponentKind, DeviceInfo, Secret
from ble_ota.virtual import developer_center as virtual
from ble_ota.virtual.world import World, WorldDevice

PACKAGES = {"MAIN": (bytes(range(256)) * 8,), "MCU": (b"ab", b"c")}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.create(tmp_path / "world", devices=60, packages=PACKAGES)


@pytest.fixture
def device(world: World) -> WorldDevice:
    return world.devices[0]


@pytest.fixture(params=["components", "comVerList"])
def center(request: pytest.FixtureRequest, world: World, clock: Clock) -> virtual.DeveloperCenter:
    return virtual.DeveloperCenter(world, clock=clock, plan_shape=request.param)


def client_of(world: World, url: str, clock: Callable[[], float]) -> DeveloperCenter:
    return DeveloperCenter(
        url,
        user_domain=world.user.user_domain,
        user_domain_secret=Secret(world.user.user_domain_secret),
        report_status=virtual.REPORT_STATUS,
        clock=clock,
    )


@pytest.fixture
async def stranger(center: virtual.DeveloperCenter, world: World, clock: Clock) -> AsyncIterator[DeveloperCenter]:
    async with virtual.serve(center) as url, client_of(world, url, clock) as client:
        yield client


@pytest.fixture
async def client(stranger: DeveloperCenter, world: World) -> DeveloperCenter:
    await stranger.login_by_email(world.user.email, Secret(world.user.password))
    return stranger


def info(world: World, device: WorldDevice) -> DeviceInfo:
    return DeviceInfo(device.address, device.name, world.product_key, device.device_key, {})


async def test_a_login_by_email_is_taken(client: DeveloperCenter, world: World) -> None:
    assert (await client.who_am_i()).email == world.user.email


async def test_a_login_by_phone_is_taken(stranger: DeveloperCenter, world: World) -> None:
    await stranger.login_by_phone(world.user.country_code, world.user.phone, Secret(world.user.password))
    assert (await stranger.who_am_i()).phone == world.user.phone


async def test_a_wrong_password_is_refused(stranger: DeveloperCenter, world: World) -> None:
    with pytest.raises(LoginRefusedError):
        await stranger.login_by_email(world.user.email, Secret("wrong-1"))


async def test_an_expired_token_is_renewed(client: DeveloperCenter, clock: Clock) -> None:
    before = client.tokens
    clock.now_s += 3 * 3600
    await client.who_am_i()
    assert client.tokens != before


async def test_an_expired_token_is_renewed_although_our_clock_stands_still(
    center: virtual.DeveloperCenter, world: World, clock: Clock
) -> None:
    still = clock()
    async with virtual.serve(center) as url, client_of(world, url, lambda: still) as client:
        await client.login_by_email(world.user.email, Secret(world.user.password))
        clock.now_s += 3 * 3600
        assert (await client.who_am_i()).email == world.user.email


async def test_a_session_that_is_too_old_is_over(client: DeveloperCenter, clock: Clock) -> None:
    clock.now_s += 31 * 86400
    with pytest.raises(TokenRejectedError):
        await client.who_am_i()


async def test_after_logging_out_nothing_is_answered(client: DeveloperCenter) -> None:
    await client.logout()
    with pytest.raises(TokenRejectedError):
        await client.who_am_i()


async def test_all_devices_are_listed(client: DeveloperCenter, world: World) -> None:
    assert [d.device_key async for d in client.devices()] == [d.device_key for d in world.devices]


async def test_a_device_comes_with_its_binding_code(client: DeveloperCenter, world: World, device: WorldDevice) -> None:
    found = await client.device(world.product_key, device.device_key)
    assert (found.name, found.secret) == (device.name, Secret(device.binding_code))


async def test_the_versions_are_those_of_the_factory(
    client: DeveloperCenter, world: World, device: WorldDevice
) -> None:
    assert await client.versions(world.product_key, device.device_key) == {"": "1.0.0", "MCU": "1.0.0"}


async def test_a_plan_is_read_whole(client: DeveloperCenter, world: World, device: WorldDevice) -> None:
    plan = await client.fetch_plan(info(world, device))
    assert plan is not None
    files = [[(f.size_bytes, f.digests[0].hex) for f in c.files] for c in plan.components]
    assert [(c.no, c.kind, c.source_version, c.target_version) for c in plan.components] == [
        ("MAIN", ComponentKind.MODULE, "1.0.0", "1.1.0"),
        ("MCU", ComponentKind.MCU, "1.0.0", "1.1.0"),
    ]
    assert files == [[(f.size_bytes, f.sha256) for f in c.files] for c in world.components]


async def test_after_both_are_reported_as_succeeded_there_is_no_plan(
    client: DeveloperCenter, world: World, device: WorldDevice
) -> None:
    for component in ("MAIN", "MCU"):
        await client.report(world.product_key, device.device_key, component, "confirmed")
        await client.report(world.product_key, device.device_key, component, "succeeded")
    assert await client.fetch_plan(info(world, device)) is None


async def test_a_report_arrives(
    client: DeveloperCenter, center: virtual.DeveloperCenter, world: World, device: WorldDevice
) -> None:
    number = await client.report(world.product_key, device.device_key, "MAIN", "confirmed")
    assert center.status(device.device_key, "MAIN") == number


@pytest.mark.parametrize(
    "fault",
    [
        virtual.Faults(html=True),
        virtual.Faults(redirect_to="http://127.0.0.1:1/"),
        virtual.Faults(huge_json_bytes=6_000_000),
        virtual.Faults(nested_json_levels=100_000),
    ],
)
async def test_an_answer_that_is_none_is_named(
    client: DeveloperCenter, center: virtual.DeveloperCenter, fault: virtual.Faults
) -> None:
    center.faults = fault
    with pytest.raises(CloudAnswerError):
        await client.who_am_i()


async def test_a_plan_comes_after_two_faults_of_the_server(
    client: DeveloperCenter, center: virtual.DeveloperCenter, world: World, device: WorldDevice
) -> None:
    center.faults = virtual.Faults(status=503, retry_after_s=0, times=2)
    assert await client.fetch_plan(info(world, device)) is not None


async def test_a_report_whose_answer_is_lost_is_not_sent_again(
    client: DeveloperCenter, center: virtual.DeveloperCenter, world: World, device: WorldDevice
) -> None:
    center.faults = virtual.Faults(lost_answer=True, times=1)
    with pytest.raises(CloudUnreachableError):
        await client.report(world.product_key, device.device_key, "MAIN", "confirmed")


async def test_a_plan_without_a_digest_is_left_to_planning(
    client: DeveloperCenter, center: virtual.DeveloperCenter, world: World, device: WorldDevice
) -> None:
    center.faults = virtual.Faults(plan_without_digest=True)
    plan = await client.fetch_plan(info(world, device))
    assert plan is not None
    assert {f.digests for c in plan.components for f in c.files} == {()}


async def test_a_plan_for_another_product_says_so(
    client: DeveloperCenter, center: virtual.DeveloperCenter, world: World, device: WorldDevice
) -> None:
    center.faults = virtual.Faults(plan_for_other_product=True)
    plan = await client.fetch_plan(info(world, device))
    assert plan is not None
    assert plan.product_key != world.product_key

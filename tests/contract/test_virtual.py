"""The virtual Developer Center is held to the contract file: by requests made up from it, and by a whole session.

What is made up is made up alike each time. Requests use the keys of the world and sealed logins, so that every call
succeeds at least once; the others use what the file does not allow.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ble_ota import cloud
from ble_ota.cloud import auth
from ble_ota.cloud.contract import Node, document, operations
from ble_ota.model import DeviceInfo, Secret
from ble_ota.mqtt import Action, Keys, Order, Period, Ref, Stage
from ble_ota.virtual.developer_center import DeveloperCenter, OnlineTerms, Spelling
from ble_ota.virtual.developer_center.spelling import Call
from ble_ota.virtual.world import World
from tests.contract.held import answer_faults, request_faults
from tests.contract.variants import CALLS, lived_in, respelled

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning")  # of schemathesis and what comes with it

NOW_S = 1_800_000_000.0
NAMES = [operation["operationId"] for _, _, operation in operations(document())]
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EACH = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
FORM = Call("POST", "form", ("pk", "dk"))
SPELLINGS = {
    "other names, wrapped": Spelling(
        ota_prefix="/v2/ota",
        plan=Call("POST", "json", ("pk", "dk")),
        confirm=Call("PUT", "json", wrapped_in="deviceList"),
        details=Call("POST", "json", wrapped_in="list"),
        auto_set=replace(FORM, switch_field="autoUpgrade"),
        auto_delete=FORM,
        auto_get=FORM,
        plan_answer="list",
        details_answer="wrapped",
        auto_answer="isAuto",
        lists_left_out=True,
    ),
    "all in the query": Spelling(
        auto_set=Call("POST", "query", switch_field="autoUpgrade"),
        auto_delete=Call("POST", "query"),
        plan_answer="wrapped",
        auto_answer="text",
    ),
    "numbers": Spelling(auto_answer="number"),
    "an object": Spelling(auto_answer="autoUpgrade"),
}
OTHERWISE = [
    *(("other names, wrapped", name) for name in CALLS),
    *(
        ("all in the query", name)
        for name in CALLS
        if name not in ("userBatchConfirmUpgrade", "getBatchUpgradeDetails")
    ),
    ("numbers", "getAutoUpgradeSwitch"),
    ("an object", "getAutoUpgradeSwitch"),
]


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


class Held(httpx.ASGITransport):
    """Notes every fault on both sides of a conversation."""

    def __init__(self, app: Any, contract: Node) -> None:
        super().__init__(app)
        self.contract = contract
        self.faults: list[str] = []
        self.times: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        answer = await super().handle_async_request(request)
        whole = httpx.Response(answer.status_code, content=await answer.aread())
        self.times[request.url.path.rsplit("/", 1)[-1]] += 1
        self.faults += request_faults(self.contract, request)
        self.faults += answer_faults(self.contract, request, whole)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(whole.content))


@pytest.fixture
def world(tmp_path: Path) -> World:
    packages = {"MAIN": (b"module" * 50,), "MCU1": (b"mcu" * 50, b"more" * 50)}
    return World.create(tmp_path / "world", packages=packages, online=3)


def client(world: World, transport: httpx.AsyncBaseTransport, clock: Clock) -> cloud.DeveloperCenter:
    return cloud.DeveloperCenter(
        "https://cloud.example",
        user_domain=world.user.user_domain,
        user_domain_secret=Secret(world.user.user_domain_secret),
        report_status={"confirmed": 2, "succeeded": 9},
        transport=transport,
        clock=clock,
        calls_per_s=1000,
    )


async def known(world: World, center: DeveloperCenter) -> dict[str, list[object]]:
    """What a request needs to get somewhere, by our words."""
    async with client(world, httpx.ASGITransport(center.app), Clock()) as entered:
        tokens = await entered.login_by_email(world.user.email, Secret(world.user.password))
        listed = [device async for device in entered.devices() if not device.ble_only]
    user, secret, random = world.user, Secret(world.user.user_domain_secret), "abcdefghijklmnop"
    pwd = auth.encrypt_password(Secret(user.password), random)
    by_phone = auth.phone_signature(user.country_code, user.phone, pwd, random, secret=secret)
    ts_ms = int(NOW_S * 1000)
    return {
        "access": [tokens.access.reveal()],
        "refresh_token": [tokens.refresh.reveal(), "x"],
        "product_key": [world.online_product, world.product_key, "p0"],
        "device_key": [*(device.device_key for device in world.online), world.devices[0].device_key],
        "plan_id": [int(listed[0].plan_id), listed[0].plan_id, 1],
        "component_no": ["MAIN", "MCU1", "other"],
        "email": [user.email, "x"],
        "phone": [user.phone, "1"],
        "country_code": [user.country_code],
        "pwd": [pwd],
        "random": [random],
        "user_domain": [user.user_domain],
        "code_type": ["3"],
        "ts_ms": [ts_ms],
        "emailPwdLogin.signature": [auth.email_signature(user.email, pwd, random, secret=secret)],
        "phonePwdLogin.signature": [by_phone],
        "sendPhoneSmsCode.signature": [auth.sms_signature(user.phone, 3, random, ts_ms, secret=secret)],
        "deviceInfo.product_key": [world.online_product],
    }


def made_up(contract: Node, center: DeveloperCenter, name: str, token: str, mode: GenerationMode) -> Counter[int]:
    """Send made-up requests for one operation, check each answer, and count the codes."""
    schema = schemathesis.openapi.from_dict(contract)
    schema.app = center.app
    operation = schema.find_operation_by_id(name)
    codes: Counter[int] = Counter()

    @EACH
    @given(operation.as_strategy(generation_mode=mode))
    def each(case: Any) -> None:
        answer = case.call(headers={"Authorization": token})
        case.validate_response(answer, checks=CHECKS)
        codes[answer.json()["code"] if answer.status_code == 200 else answer.status_code] += 1

    each()
    return codes


@pytest.mark.parametrize("name", NAMES)
async def test_an_answer_to_a_made_up_request_is_as_the_file_has_it(world: World, name: str) -> None:
    center = DeveloperCenter(world, clock=Clock())
    values = await known(world, center)
    codes = made_up(lived_in(document(), values), center, name, str(values["access"][0]), GenerationMode.POSITIVE)
    assert codes[200]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("userLogout", "userInfo")])
async def test_a_request_that_the_file_forbids_is_answered_as_the_file_has_it(world: World, name: str) -> None:
    center = DeveloperCenter(world, clock=Clock())
    values = await known(world, center)
    codes = made_up(lived_in(document(), values), center, name, str(values["access"][0]), GenerationMode.NEGATIVE)
    assert codes.total() > codes[200]


@pytest.mark.parametrize(("variant", "name"), OTHERWISE)
async def test_another_spelling_is_answered_as_the_file_would_have_it(world: World, variant: str, name: str) -> None:
    spelling = SPELLINGS[variant]
    center = DeveloperCenter(world, clock=Clock(), spelling=spelling)
    values = await known(world, center)
    contract = lived_in(respelled(spelling), values)
    assert made_up(contract, center, name, str(values["access"][0]), GenerationMode.POSITIVE)[200]


@pytest.mark.parametrize("shape", ["components", "comVerList"])
async def test_a_whole_session_keeps_to_the_file(world: World, shape: Any) -> None:
    clock = Clock()
    center = DeveloperCenter(world, clock=clock, plan_shape=shape, online=OnlineTerms(plan_shape=shape))
    held = Held(center.app, document())
    async with client(world, held, clock) as entered:
        await entered.login_by_email(world.user.email, Secret(world.user.password))
        await _over_bluetooth(world, entered)
        await _online(world, entered, clock)
        clock.now_s += 7200
        await entered.who_am_i()
        await entered.logout()
    assert held.faults == []
    assert held.times["getBatchUpgradeDetails"] == 9


async def _over_bluetooth(world: World, entered: cloud.DeveloperCenter) -> None:
    keys = world.product_key, world.devices[0].device_key
    lamp = DeviceInfo("C0:FF:EE:00:00:01", "lamp", *keys, {}, battery_percent=90)
    assert await entered.fetch_plan(lamp)
    for component in world.components:
        await entered.report(*keys, component.no, "confirmed")
        await entered.report(*keys, component.no, "succeeded")
    assert await entered.fetch_plan(lamp) is None
    assert await entered.versions(*keys)


async def _online(world: World, entered: cloud.DeveloperCenter, clock: Clock) -> None:
    first, second, third = (Keys(world.online_product, device.device_key) for device in world.online)
    plan_id = await entered.last_plan_id(first)
    assert await entered.mqtt_plan(first)
    soon = Period(clock.now_s + 60, clock.now_s + 3660)
    refs = [Ref(keys, plan_id) for keys in (first, second)]
    stages = [Order(refs[0], Action.CONFIRM), Order(refs[1], Action.APPOINT, soon), Order(refs[1], Action.CANCEL)]
    stages += [Order(refs[1], Action.RETRY), Order(Ref(Keys("p0", "d0"), "1"), Action.CONFIRM)]
    for order in stages:
        await entered.order([order])
        await entered.standings(refs)
    for _ in range(3):
        clock.now_s += 3
        await entered.standings(refs)
    ended = [plan.stage(clock.now_s) for plan in await entered.standings(refs)]
    assert ended == [Stage.SUCCEEDED, Stage.SUCCEEDED]
    await entered.set_auto_upgrade(third)
    assert await entered.auto_upgrade(third)
    await entered.drop_auto_upgrade(third)


def test_a_variant_differs_from_the_file_in_the_six_calls_alone() -> None:
    def others(contract: Node) -> list[tuple[str, str, Node]]:
        return [found for found in operations(contract) if found[2]["operationId"] not in CALLS]

    assert others(respelled(SPELLINGS["other names, wrapped"])) == others(document())


def test_the_default_spelling_is_the_files() -> None:
    def sent(contract: Node) -> dict[str, tuple[str, str]]:
        return {operation["operationId"]: (path, method) for path, method, operation in operations(contract)}

    assert sent(respelled(Spelling())) == sent(document())

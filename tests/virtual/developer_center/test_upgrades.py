from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ble_ota.virtual.developer_center import DeveloperCenter, Faults
from ble_ota.virtual.world import World
from tests.virtual.developer_center.conftest import BINDING, Caller, Clock

UNKNOWN = "B0E0C0DE9999"


async def pending(caller: Caller, device_key: str, **body: Any) -> list[tuple[str, str]]:
    """Component numbers of the plan, each with its source version."""
    data = (await caller.plan(device_key, **body))["data"]
    return [(c["componentNo"], c["sourceVersion"]) for c in data["components"]] if data else []


@pytest.mark.parametrize("call", ["getFetchPlan", "reportUpgradeStatus"])
async def test_a_call_needs_a_token(stranger: Caller, call: str) -> None:
    assert (await stranger.call("POST", f"{BINDING}/{call}", json={}))["code"] == 5106


async def test_a_new_device_gets_everything(caller: Caller, device_key: str) -> None:
    assert await pending(caller, device_key) == [("MAIN", "1.0.0"), ("MCU", "1.0.0")]


async def test_a_component_reported_as_done_is_left_out(caller: Caller, device_key: str) -> None:
    await caller.report(device_key, 9, "MAIN")
    assert await pending(caller, device_key) == [("MCU", "1.0.0")]


async def test_there_is_no_plan_when_all_is_done(caller: Caller, device_key: str) -> None:
    await caller.report(device_key, 9, "MAIN")
    await caller.report(device_key, 9, "MCU")
    assert (await caller.plan(device_key))["data"] is None


async def test_a_failed_component_stays_in_the_plan(caller: Caller, device_key: str) -> None:
    await caller.report(device_key, 8, "MAIN")
    assert len(await pending(caller, device_key)) == 2


async def test_the_stated_module_version_counts(caller: Caller, device_key: str) -> None:
    assert await pending(caller, device_key, moduleVersion="1.1.0") == [("MCU", "1.0.0")]


async def test_the_stated_mcu_version_counts(caller: Caller, device_key: str) -> None:
    stated = [{"componentNo": "MCU", "version": "1.1.0"}]
    assert await pending(caller, device_key, mcuVersions=stated) == [("MAIN", "1.0.0")]


async def test_a_stated_version_is_the_source(caller: Caller, device_key: str) -> None:
    assert (await pending(caller, device_key, moduleVersion="0.9.0"))[0] == ("MAIN", "0.9.0")


async def test_a_stated_version_outweighs_the_reported_one(caller: Caller, device_key: str) -> None:
    await caller.report(device_key, 9, "MAIN")
    assert (await pending(caller, device_key, moduleVersion="1.0.0"))[0] == ("MAIN", "1.0.0")


async def test_a_stated_version_is_not_remembered(caller: Caller, device_key: str) -> None:
    await caller.plan(device_key, moduleVersion="1.1.0")
    assert (await pending(caller, device_key))[0] == ("MAIN", "1.0.0")


async def test_the_newer_shape_can_be_chosen(
    world: World, clock: Clock, device_key: str, caller_of: Callable[[DeveloperCenter], Caller]
) -> None:
    caller = caller_of(DeveloperCenter(world, clock=clock, plan_shape="comVerList"))
    await caller.login()
    assert len((await caller.plan(device_key))["data"]["comVerList"]) == 2


async def test_the_sign_type_asked_for_is_used(caller: Caller, device_key: str, firmware: bytes) -> None:
    plan = await caller.plan(device_key, signType="MD5")
    sign = plan["data"]["components"][0]["componentVersions"][0]["fileSign"]
    assert sign == hashlib.md5(firmware, usedforsecurity=False).hexdigest()


async def test_device_state_and_unknown_fields_are_taken(caller: Caller, device_key: str) -> None:
    state = {"batteryLevelLimit": 50, "minSignalIntensity": -70, "useSpace": 4000, "upgradeTime": 1, "new": {}}
    assert (await caller.plan(device_key, **state))["code"] == 200


async def test_null_is_as_good_as_left_out(caller: Caller, device_key: str) -> None:
    assert (await caller.plan(device_key, moduleVersion=None, mcuVersions=None))["code"] == 200


@pytest.mark.parametrize(
    "odd",
    [
        {"signType": "SHA1"},
        {"moduleVersion": 1},
        {"moduleVersion": "1" * 65},
        {"mcuVersions": {"MCU": "1"}},
        {"mcuVersions": [{"componentNo": "MCU"}]},
        {"mcuVersions": [{"componentNo": "MCU", "version": "1"}] * 21},
        {"useSpace": "4000"},
        {"productKey": 5},
    ],
)
async def test_a_malformed_query_is_refused(caller: Caller, device_key: str, odd: dict[str, Any]) -> None:
    assert (await caller.plan(device_key, **odd))["code"] == 5011


@pytest.mark.parametrize(
    ("keys", "code"), [({"productKey": ""}, 5066), ({"deviceKey": None}, 5067), ({"productKey": "p22"}, 5052)]
)
async def test_a_query_needs_a_device_of_the_account(
    caller: Caller, device_key: str, keys: dict[str, Any], code: int
) -> None:
    assert (await caller.plan(device_key, **keys))["code"] == code


async def test_a_query_is_recorded(caller: Caller, center: DeveloperCenter, device_key: str) -> None:
    plan = await caller.plan(device_key, moduleVersion="1.1.0")
    record = center.records()[-1]
    assert (record["what"], record["deviceKey"]) == ("plan.queried", device_key)
    assert record["planId"] == plan["data"]["planInfo"]["planId"]
    assert record["versions"] == {"MAIN": "1.1.0", "MCU": "1.0.0"}


async def test_a_query_without_a_plan_is_recorded_so(caller: Caller, center: DeveloperCenter, device_key: str) -> None:
    await caller.plan(device_key, moduleVersion="1.1.0", mcuVersions=[{"componentNo": "MCU", "version": "1.1.0"}])
    assert center.records()[-1]["planId"] is None


async def test_a_fault_reaches_the_plan(caller: Caller, center: DeveloperCenter, device_key: str) -> None:
    center.faults = Faults(plan_downgrade=True)
    assert (await caller.plan(device_key))["data"]["components"][0]["targetVersion"] == "0.0.1"


async def test_a_fault_in_plans_strikes_as_often_as_told(
    caller: Caller, center: DeveloperCenter, device_key: str
) -> None:
    center.faults = Faults(plan_downgrade=True, times=1)
    targets = [(await caller.plan(device_key))["data"]["components"][0]["targetVersion"] for _ in range(2)]
    assert targets == ["0.0.1", "1.1.0"]


async def test_a_report_is_recorded(caller: Caller, center: DeveloperCenter, device_key: str) -> None:
    await caller.report(device_key, 2)
    record = center.records()[-1]
    assert {name: record[name] for name in ("what", "deviceKey", "componentNo", "reportStatus", "meaning")} == {
        "what": "status.reported",
        "deviceKey": device_key,
        "componentNo": "MAIN",
        "reportStatus": 2,
        "meaning": "confirmed",
    }


async def test_a_report_has_no_data_in_its_answer(caller: Caller, device_key: str) -> None:
    assert (await caller.report(device_key, 2))["data"] is None


@pytest.mark.parametrize("status", [0, 12])
async def test_a_number_without_a_meaning_is_taken(
    caller: Caller, center: DeveloperCenter, device_key: str, status: int
) -> None:
    await caller.report(device_key, status)
    assert (center.status(device_key, "MAIN"), center.records()[-1]["meaning"]) == (status, None)


@pytest.mark.parametrize("status", [-1, 13, 2.0, "2", True, None, [2]])
async def test_a_status_that_is_none_is_refused(caller: Caller, device_key: str, status: Any) -> None:
    assert (await caller.report(device_key, status))["code"] == 5011


@pytest.mark.parametrize("component", ["main", "", None])
async def test_an_unknown_component_is_refused(caller: Caller, device_key: str, component: Any) -> None:
    assert (await caller.report(device_key, 2, component))["code"] == 5011


async def test_a_report_on_a_foreign_device_is_refused(caller: Caller) -> None:
    assert (await caller.report(UNKNOWN, 2))["code"] == 5052


async def test_a_refused_report_is_not_recorded(caller: Caller, center: DeveloperCenter, device_key: str) -> None:
    await caller.report(device_key, 13)
    assert [r["what"] for r in center.records()] == ["login"]


async def test_the_numbers_of_reports_can_be_chosen(
    world: World, clock: Clock, device_key: str, caller_of: Callable[[DeveloperCenter], Caller]
) -> None:
    center = DeveloperCenter(world, clock=clock, report_status={"succeeded": 4})
    caller = caller_of(center)
    await caller.login()
    await caller.report(device_key, 4)
    assert center.version(device_key, "MAIN") == "1.1.0"


def _recipe(body: Mapping[str, Any]) -> str:
    return f"signed-{body['deviceKey']}"


@pytest.fixture
async def signing(world: World, clock: Clock, caller_of: Callable[[DeveloperCenter], Caller]) -> Caller:
    """Speaks to a Developer Center that asks for signatures."""
    caller = caller_of(DeveloperCenter(world, clock=clock, body_signature=_recipe))
    await caller.login()
    return caller


@pytest.mark.parametrize(("signature", "code"), [(None, 5550), ("", 5550), ("signed", 5420), (7, 5420)])
async def test_a_signature_that_is_asked_for_is_checked(
    signing: Caller, device_key: str, signature: Any, code: int
) -> None:
    assert (await signing.report(device_key, 2, signature=signature))["code"] == code


async def test_the_right_signature_is_accepted(signing: Caller, device_key: str) -> None:
    assert (await signing.plan(device_key, signature=f"signed-{device_key}"))["code"] == 200

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import replace
from typing import Any

import pytest

from ble_ota.virtual.developer_center.faults import Faults
from ble_ota.virtual.developer_center.plans import Offer, PlanShape, SignType, Terms, plan_id, written
from ble_ota.virtual.world import World, WorldFile
from tests.virtual.developer_center.conftest import NOW

SHAPES: list[PlanShape] = ["components", "comVerList"]


@pytest.fixture
def offer(world: World) -> Offer:
    pending = [(at, component, "1.0.0") for at, component in enumerate(world.components)]
    return Offer(world, world.devices[0], pending, Terms(20, -90, "Fixes"), _link)


def _link(file: WorldFile) -> str:
    return f"https://oss/{file.name}"


def first_component(offer: Offer) -> dict[str, Any]:
    component: dict[str, Any] = written(offer, "components")["components"][0]
    return component


def first_com_ver(offer: Offer) -> dict[str, Any]:
    com_ver: dict[str, Any] = written(offer, "comVerList")["comVerList"][0]
    return com_ver


def first_file(offer: Offer, shape: PlanShape) -> dict[str, Any]:
    if shape == "components":
        return dict(first_component(offer)["componentVersions"][0])
    return dict(first_com_ver(offer)["fileList"][0])


def test_the_components_shape_has_the_published_fields(offer: Offer, firmware: bytes) -> None:
    assert first_component(offer) == {
        "componentNo": "MAIN",
        "componentType": 0,
        "componentVersions": [
            {
                "fileUrl": "https://oss/MAIN-0.bin",
                "fileSize": 2048,
                "fileSign": hashlib.sha256(firmware).hexdigest(),
                "sort": 0,
            }
        ],
        "dataType": 0,
        "info": "Fixes",
        "sort": 0,
        "sourceVersion": "1.0.0",
        "targetVersion": "1.1.0",
    }


def test_the_components_shape_tells_the_conditions(offer: Offer) -> None:
    assert written(offer, "components")["planInfo"] == {
        "planId": offer.plan_id,
        "batteryLevelLimit": 20,
        "minSignalIntensity": -90,
        "useSpace": 3,  # KB for 2048 + 2 + 1 bytes
    }


def test_the_com_ver_list_shape_has_the_published_fields(offer: Offer) -> None:
    com_ver = first_com_ver(offer)
    del com_ver["fileList"]
    assert com_ver == {
        "sort": 0,
        "comNo": "MAIN",
        "comType": 0,
        "dataType": 0,
        "cver": "1.0.0",
        "tver": "1.1.0",
        "versionInfo": "Fixes",
        "versionMatch": True,
        "battery": 20,
        "signal": -90,
        "space": 2048,
        "downloadStatus": 0,
        "upgradeStatus": 0,
    }


def test_the_com_ver_list_shape_has_three_checksums_per_file(offer: Offer, firmware: bytes) -> None:
    assert first_file(offer, "comVerList") == {
        "updIndex": 0,
        "fileName": "MAIN-0.bin",
        "filePath": "https://oss/MAIN-0.bin",
        "fileSize": 2048,
        "fileSha256": hashlib.sha256(firmware).hexdigest(),
        "fileMd5": hashlib.md5(firmware, usedforsecurity=False).hexdigest(),
        "fileCrc": f"{zlib.crc32(firmware):08x}",
    }


def test_the_com_ver_list_shape_names_product_and_device(offer: Offer, world: World) -> None:
    plan = written(offer, "comVerList")
    assert (plan["productKey"], plan["deviceKey"]) == ("p11vWQ", world.devices[0].device_key)


def test_the_com_ver_list_shape_tells_the_upgrade_status(offer: Offer) -> None:
    assert written(replace(offer, upgrade_status=1), "comVerList")["deviceStatus"] == 1


def test_a_plan_is_in_force_now(offer: Offer) -> None:
    plan = written(offer, "comVerList")
    assert plan["planStartTime"] < NOW * 1000 < plan["planEndTime"]


@pytest.mark.parametrize(("sign_type", "digits"), [("SHA256", 64), ("MD5", 32), ("CRC32", 8)])
def test_a_file_is_signed_by_the_type_asked_for(offer: Offer, sign_type: SignType, digits: int) -> None:
    assert len(first_file(replace(offer, sign_type=sign_type), "components")["fileSign"]) == digits


def test_a_weak_sum_follows_the_file(offer: Offer, world: World) -> None:
    before = first_file(offer, "comVerList")["fileMd5"]
    path = world.folder / "firmware" / "MAIN-0.bin"
    path.write_bytes(b"other")
    os.utime(path, ns=(1, 1))
    assert first_file(offer, "comVerList")["fileMd5"] != before


def test_files_keep_their_order(offer: Offer) -> None:
    files = written(offer, "components")["components"][1]["componentVersions"]
    assert [(file["sort"], file["fileUrl"][-9:]) for file in files] == [(0, "MCU-0.bin"), (1, "MCU-1.bin")]


@pytest.mark.parametrize("shape", SHAPES)
def test_only_what_is_pending_is_in_the_plan(offer: Offer, shape: PlanShape) -> None:
    assert len(written(replace(offer, pending=offer.pending[1:]), shape)[shape]) == 1


def test_a_plan_done_in_part_keeps_its_id(offer: Offer) -> None:
    assert replace(offer, pending=offer.pending[1:]).plan_id == offer.plan_id


def test_another_target_is_another_plan(offer: Offer, world: World) -> None:
    components = (replace(world.components[0], target="2.0.0"), *world.components[1:])
    assert replace(offer, world=replace(world, components=components)).plan_id != offer.plan_id


def test_a_delta_is_told_as_one(offer: Offer, world: World) -> None:
    delta = replace(offer, pending=[(0, replace(world.components[0], delta=True), "1.0.0")])
    assert (first_component(delta)["dataType"], written(delta, "comVerList")["dataType"]) == (1, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_plan_without_digest_has_none_of_any_kind(offer: Offer, shape: PlanShape) -> None:
    file = first_file(replace(offer, faults=Faults(plan_without_digest=True)), shape)
    assert not {"fileSign", "fileSha256", "fileMd5", "fileCrc"} & set(file)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wrong_size_is_one_more(offer: Offer, shape: PlanShape) -> None:
    assert first_file(replace(offer, faults=Faults(plan_wrong_size=True)), shape)["fileSize"] == 2049


@pytest.mark.parametrize("shape", SHAPES)
def test_a_plan_for_another_product_says_so(offer: Offer, shape: PlanShape) -> None:
    assert written(replace(offer, faults=Faults(plan_for_other_product=True)), shape)["productKey"] == "p99XYZ"


def test_a_downgrade_goes_below_what_runs(offer: Offer) -> None:
    down = replace(offer, faults=Faults(plan_downgrade=True))
    assert (first_component(down)["targetVersion"], first_com_ver(down)["tver"]) == ("0.0.1", "0.0.1")


def test_control_characters_get_into_the_notes(offer: Offer) -> None:
    evil = replace(offer, faults=Faults(plan_control_characters=True))
    assert "\x1b" in first_component(evil)["info"]
    assert "\u202e" in first_com_ver(evil)["versionInfo"]


def test_products_have_plans_of_their_own(world: World) -> None:
    assert plan_id(world, world.product_key) != plan_id(world, world.online_product)


def test_a_device_that_is_online_has_a_plan_of_its_product(offer: Offer, online_world: World) -> None:
    other = replace(offer, world=online_world, device=online_world.online[0], pending=[])
    plan = written(other, "comVerList")
    assert (plan["planId"], plan["productKey"]) == (plan_id(online_world, "p22cLd"), "p22cLd")

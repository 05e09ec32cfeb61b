from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ble_ota.virtual.developer_center.fleet import OnlineDevice
from ble_ota.virtual.developer_center.online import Habits, standing
from ble_ota.virtual.developer_center.online_plans import told
from ble_ota.virtual.developer_center.orders import InEffect, Period
from ble_ota.virtual.developer_center.plans import Offer, Terms, plan_id, written
from ble_ota.virtual.world import World
from tests.virtual.developer_center.conftest import NOW, NOW_MS

PERIOD = Period(NOW_MS - 5, NOW_MS + 5)
EFFECT = InEffect((NOW_MS,), Period(NOW_MS, NOW_MS + 3), confirm_status=2)


@pytest.fixture
def offer(online_world: World) -> Offer:
    pending = [(at, component, "1.0.0") for at, component in enumerate(online_world.components)]
    return Offer(online_world, online_world.online[0], pending, Terms(notes="Fixes"), lambda file: file.name)


def seen(offer: Offer, after_s: float | None = None, effect: InEffect = EFFECT, **habits: Any) -> OnlineDevice:
    """A device so long after the push; None is before it."""
    device = offer.world.online[0]
    how = Habits(**habits)
    pushed_at = None if after_s is None else NOW
    return OnlineDevice(device, how, standing(pushed_at, NOW + (after_s or 0), how, components=2), effect)


def plan(offer: Offer, after_s: float | None = None, effect: InEffect = EFFECT, **habits: Any) -> dict[str, Any]:
    return told(offer, seen(offer, after_s, effect, **habits), PERIOD, "comVerList")


def test_a_plan_has_the_published_fields(offer: Offer, online_world: World) -> None:
    written_down = plan(offer, 2)
    del written_down["comVerList"]
    assert written_down == {
        "planId": plan_id(online_world, "p22cLd"),
        "planName": "Virtual plan",
        "versionInfo": "Fixes",
        "upgradeVersionInfo": "Fixes",
        "dataType": 0,
        "planStartTime": NOW_MS - 5,
        "planEndTime": NOW_MS + 5,
        "appointStartTime": NOW_MS,
        "appointEndTime": NOW_MS + 3,
        "deviceStatus": 1,
        "deviceStatusDesc": "Upgrading",
        "userConfirmStatus": 2,
        "userConfirmStatusDesc": "Upgrade by appointment",
        "upgradeProgress": 0.25,
        "upgradeFinishTips": 0,
        "autoUpgrade": 0,
        "productKey": "p22cLd",
        "deviceKey": online_world.online[0].device_key,
        "deviceName": online_world.online[0].name,
        "productIcon": "",
    }


def test_components_tell_how_far_they_are(offer: Offer) -> None:
    assert [
        (c["comNo"], c["downloadStatus"], c["downloadProgress"], c["upgradeStatus"])
        for c in plan(offer, 3)["comVerList"]
    ] == [("MAIN", 2, 1.0, 0), ("MCU", 1, 0.5, 0)]


def test_components_keep_what_a_plan_says_of_them(offer: Offer) -> None:
    (main, _) = plan(offer)["comVerList"]
    assert {"cver": "1.0.0", "tver": "1.1.0", "comType": 0, "space": 2048}.items() <= main.items()
    assert main["fileList"][0]["filePath"] == "MAIN-0.bin"


@pytest.mark.parametrize(
    ("after_s", "habits", "status", "words", "tips"),
    [
        (None, {}, 0, "Not upgraded", 0),
        (1, {}, 1, "Upgrading", 0),
        (99, {}, 2, "Upgrade succeeded", 1),
        (99, {"fails": 1}, 3, "Upgrade failed", 1),
        (1, {"status": 7}, 7, "Upgrading", 0),
        (99, {"status": 7}, 2, "Upgrade succeeded", 1),
        (99, {"success_as": -1}, -1, "Upgrade succeeded", 1),
        (1, {"success_as": -1}, 1, "Upgrading", 0),
        (1, {"status": 0}, 0, "Upgrading", 0),
    ],
)
def test_the_status_is_told_by_number_and_word(
    offer: Offer, after_s: float | None, habits: dict[str, Any], status: int, words: str, tips: int
) -> None:
    told_ = plan(offer, after_s, **habits)
    assert (told_["deviceStatus"], told_["deviceStatusDesc"], told_["upgradeFinishTips"]) == (status, words, tips)


@pytest.mark.parametrize(("status", "words"), [(0, "Not confirmed"), (1, "Upgrade now"), (3, "Canceled")])
def test_the_word_of_the_user_is_told(offer: Offer, status: int, words: str) -> None:
    told_ = plan(offer, effect=InEffect(confirm_status=status))
    assert (told_["userConfirmStatus"], told_["userConfirmStatusDesc"]) == (status, words)


def test_without_an_appointment_its_times_are_null(offer: Offer) -> None:
    told_ = plan(offer, effect=InEffect())
    assert (told_["appointStartTime"], told_["appointEndTime"]) == (None, None)


def test_automatic_confirmation_is_told(offer: Offer) -> None:
    assert plan(offer, effect=InEffect(auto_since_ms=0))["autoUpgrade"] == 1


def test_numbers_may_be_text(offer: Offer) -> None:
    told_ = plan(offer, 3, status_as_text=True)
    (_, mcu) = told_["comVerList"]
    assert (told_["deviceStatus"], told_["upgradeProgress"], told_["planEndTime"]) == ("1", "0.375", str(NOW_MS + 5))
    assert (mcu["downloadStatus"], mcu["versionMatch"], mcu["fileList"][0]["fileSize"]) == ("1", True, "2")


def test_null_is_no_text(offer: Offer) -> None:
    assert plan(offer, effect=InEffect(), status_as_text=True)["appointStartTime"] is None


def test_the_older_shape_has_no_place_for_progress(offer: Offer) -> None:
    assert told(offer, seen(offer, 3), PERIOD, "components") == written(offer, "components")


def test_the_older_shape_may_have_text_too(offer: Offer) -> None:
    older = told(offer, seen(offer, 3, status_as_text=True), PERIOD, "components")
    assert older["planInfo"]["planId"] == str(offer.plan_id)


def test_a_plan_of_one_component_is_told(offer: Offer) -> None:
    one = replace(offer, pending=offer.pending[1:])
    device = replace(seen(one), standing=standing(NOW, NOW + 2, Habits()))
    (mcu,) = told(one, device, PERIOD, "comVerList")["comVerList"]
    assert (mcu["comNo"], mcu["downloadProgress"]) == ("MCU", 0.5)

from __future__ import annotations

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.plan import plan
from ble_ota.errors import TrustError
from ble_ota.virtual.developer_center import Faults
from tests.cli.desk import Desk

JSON, TEXT = Common("plan", json=True, no_input=True), Common("plan", no_input=True)


def keys(desk: Desk) -> str:
    return f"{desk.world.product_key}/{desk.device.device_key}"


async def test_a_plan_is_shown_by_the_devices_own_word(desk: Desk) -> None:
    assert await plan(JSON, JSON.settings(), desk.name, allow_downgrade=False) == 0
    data = desk.told().last["data"]
    assert (data["device"], data["decision"]) == (keys(desk), "install")
    (component,) = data["components"]
    assert (component["component"], component["running"], component["to"]) == ("MAIN", "1.0.0", "1.1.0")
    assert component["files"][0]["digests"] == [f"sha256:{desk.world.components[0].files[0].sha256}"]


async def test_a_device_named_by_its_keys_needs_no_radio(desk: Desk) -> None:
    desk.set(radio="bumble:tcp-client:127.0.0.1:1")
    assert await plan(JSON, JSON.settings(), keys(desk), allow_downgrade=False) == 0


async def test_the_text_tells_conditions_and_decision(desk: Desk) -> None:
    await plan(TEXT, TEXT.settings(), keys(desk), allow_downgrade=False)
    lines = desk.capsys.readouterr().out.splitlines()
    assert "  conditions: battery at least 20 %, signal at least -100 dBm, free space at least 2048 bytes" in lines
    assert lines[-1] == "Would be installed, once you agree"


async def test_a_download_address_is_not_shown(desk: Desk) -> None:
    await plan(JSON, JSON.settings(), keys(desk), allow_downgrade=False)
    assert "/oss/" not in str(desk.told())


async def test_no_plan_is_nothing_to_do(desk: Desk) -> None:
    await desk.update()
    desk.told()
    assert await plan(JSON, JSON.settings(), keys(desk), allow_downgrade=False) == 10
    assert desk.told().last["data"] == {"plan": None}


async def test_a_downgrade_would_be_refused_and_says_how_to_allow_it(desk: Desk) -> None:
    desk.center.faults = Faults(plan_downgrade=True)
    assert await plan(TEXT, TEXT.settings(), keys(desk), allow_downgrade=False) == 12
    assert "hint: Pass `--allow-downgrade`" in desk.capsys.readouterr().out


async def test_a_downgrade_that_is_allowed_is_shown_as_one(desk: Desk) -> None:
    desk.center.faults = Faults(plan_downgrade=True)
    assert await plan(TEXT, TEXT.settings(), keys(desk), allow_downgrade=True) == 0
    assert "goes DOWN from 1.0.0 to 0.0.1" in desk.capsys.readouterr().out


async def test_a_plan_for_another_product_is_not_trusted(desk: Desk) -> None:
    desk.center.faults = Faults(plan_for_other_product=True)
    with pytest.raises(TrustError):
        await plan(JSON, JSON.settings(), keys(desk), allow_downgrade=False)

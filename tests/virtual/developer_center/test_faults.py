from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from ble_ota.virtual.developer_center import DeveloperCenter, Faults, said_faults
from ble_ota.virtual.world import World, WorldError
from tests.virtual.developer_center.conftest import BINDING, ENDUSER, Caller

INFO = f"{ENDUSER}/userInfo"
LIST = f"{BINDING}/userDeviceList"


def test_nothing_goes_wrong_to_begin_with(center: DeveloperCenter) -> None:
    assert center.faults == Faults()


async def test_a_status_replaces_every_answer(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(status=500)
    assert [(await caller.http.get(path)).status_code for path in (INFO, LIST, INFO)] == [500, 500, 500]


async def test_a_struck_request_does_nothing(caller: Caller, center: DeveloperCenter, device_key: str) -> None:
    center.faults = Faults(code=5000)
    await caller.report(device_key, 2)
    assert center.status(device_key, "MAIN") is None


async def test_a_fault_can_be_taken_away(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(status=500)
    center.faults = Faults()
    assert (await caller.http.get(INFO)).status_code == 200


async def test_only_the_paths_named_are_struck(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(status=500, only="userInfo")
    assert [(await caller.http.get(path)).status_code for path in (INFO, LIST)] == [500, 200]


async def test_a_fault_strikes_as_often_as_told(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(status=500, times=2)
    assert [(await caller.http.get(INFO)).status_code for _ in range(3)] == [500, 500, 200]


async def test_other_paths_do_not_use_up_the_times(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(status=500, only="userInfo", times=1)
    assert [(await caller.http.get(path)).status_code for path in (LIST, INFO, INFO)] == [200, 500, 200]


async def test_the_same_fault_again_strikes_again(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(status=500, times=1)
    await caller.http.get(INFO)
    center.faults = Faults(status=500, times=1)
    assert (await caller.http.get(INFO)).status_code == 500


async def test_a_status_may_say_when_to_come_again(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(status=429, retry_after_s=7)
    assert (await caller.http.get(INFO)).headers["retry-after"] == "7"


async def test_a_redirect_goes_where_told(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(redirect_to="http://169.254.0.1/")
    answer = await caller.http.get(INFO)
    assert (answer.status_code, answer.headers["location"]) == (302, "http://169.254.0.1/")


async def test_an_error_code_comes_in_the_envelope(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(code=5325)
    assert (await caller.call("GET", INFO))["code"] == 5325


async def test_a_portal_answers_with_a_page(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(html=True)
    answer = await caller.http.get(INFO)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


async def test_json_may_be_huge(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(huge_json_bytes=1_000_000)
    answer = await caller.http.get(INFO)
    assert answer.json()["code"] == 200
    assert 1_000_000 <= len(answer.content) < 1_100_000


async def test_json_may_be_nested(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(nested_json_levels=3)
    assert (await caller.call("GET", INFO))["data"] == [[[]]]


async def test_a_lost_answer_was_acted_on(caller: Caller, center: DeveloperCenter, device_key: str) -> None:
    center.faults = Faults(lost_answer=True)
    with pytest.raises(ConnectionResetError):
        await caller.report(device_key, 2)
    assert center.status(device_key, "MAIN") == 2


@pytest.mark.looptime
async def test_a_late_answer_takes_its_time(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(delay_s=12.5)
    before = asyncio.get_running_loop().time()
    await caller.http.get(INFO)
    assert asyncio.get_running_loop().time() - before == pytest.approx(12.5)


@pytest.mark.looptime
async def test_a_late_answer_still_gets_its_body(caller: Caller, center: DeveloperCenter, device_key: str) -> None:
    center.faults = Faults(delay_s=1)
    assert (await caller.report(device_key, 2))["code"] == 200


@pytest.mark.looptime
@pytest.mark.parametrize(("rate", "last"), [(1_000_000.0, 2047), (640.0, 2047), (4.0, 9)])
async def test_firmware_drips_as_fast_as_told(
    caller: Caller, center: DeveloperCenter, link: str, firmware: bytes, rate: float, last: int
) -> None:
    center.faults = Faults(drip_bytes_per_s=rate)
    before = asyncio.get_running_loop().time()
    assert (await caller.http.get(link, headers={"Range": f"bytes=0-{last}"})).content == firmware[: last + 1]
    assert asyncio.get_running_loop().time() - before == pytest.approx((last + 1) / rate, rel=0.01)


@pytest.mark.looptime
async def test_a_request_is_struck_by_what_held_when_it_came(
    caller: Caller, center: DeveloperCenter, link: str
) -> None:
    center.faults = Faults(drip_bytes_per_s=100)
    download: asyncio.Task[httpx.Response] = asyncio.create_task(caller.http.get(link))
    await asyncio.sleep(1)
    center.faults = Faults()
    before = asyncio.get_running_loop().time()
    await download
    assert asyncio.get_running_loop().time() - before > 15


async def test_the_first_requests_may_be_spared(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(status=500, only="userInfo", spares=2, times=1)
    asked = (INFO, LIST, INFO, LIST, INFO, INFO)
    assert [(await caller.http.get(path)).status_code for path in asked] == [200, 200, 200, 200, 500, 200]


async def test_setting_faults_spares_anew(caller: Caller, center: DeveloperCenter) -> None:
    center.faults = Faults(status=500, spares=1)
    await caller.http.get(INFO)
    center.faults = Faults(status=500, spares=1)
    assert [(await caller.http.get(INFO)).status_code for _ in range(2)] == [200, 500]


# ------------------------------------------------------------------ from a file


def said(folder: Path, text: str) -> Faults:
    """What `said_faults` makes of a file with this text."""
    world = World.create(folder)
    (folder / "cloud").mkdir()
    (folder / "cloud" / "faults.json").write_text(text, "utf-8")
    return said_faults(world)


def test_a_world_without_a_file_has_no_faults(tmp_path: Path) -> None:
    assert said_faults(World.create(tmp_path)) == Faults()


def test_a_file_says_what_goes_wrong(tmp_path: Path) -> None:
    assert said(tmp_path, '{"status": 500, "only": "x", "delay_s": 2}') == Faults(status=500, only="x", delay_s=2)


def test_what_may_be_none_may_be_null(tmp_path: Path) -> None:
    assert said(tmp_path, '{"times": null, "drip_bytes_per_s": 5}') == Faults(drip_bytes_per_s=5)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "[1]", '{"mood": 1}', '{"status": "500"}', '{"only": 1}', '{"html": 1}', '{"truncate_at": 1.5}'],
)
def test_a_file_that_is_not_right_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(WorldError, match=r"faults\.json is not right"):
        said(tmp_path, text)

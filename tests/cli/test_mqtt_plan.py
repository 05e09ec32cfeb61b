from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.mqtt_plan import plan as job
from ble_ota.cli.mqtt_plan import planned
from ble_ota.cli.mqtt_shown import Here
from ble_ota.cli.named import Named, Wish
from ble_ota.errors import ApiError, CloudUnreachableError, TokenRejectedError
from ble_ota.mqtt import Ref
from tests.cli.desk import told
from tests.cli.online import NOW, Center, keys, names, online, plan

JSON, TEXT = Common("mqtt plan", json=True, no_input=True), Common("mqtt plan", no_input=True)
HERE = Here(NOW)
UNBOUND = ApiError(5052, "Device is not bound", doing="asking", hint="Bind it")


async def shows(center: Center, *asked: Named, common: Common = TEXT) -> int:
    return await planned(common, center, asked, HERE)


def data(capsys: pytest.CaptureFixture[str]) -> Any:
    return told(*capsys.readouterr()).last["data"]


async def test_one_device_is_shown_in_full_with_its_actions(capsys: pytest.CaptureFixture[str]) -> None:
    assert await shows(Center.of(plan(1)), keys(1)) == 0
    said = capsys.readouterr().out
    assert said.startswith("Plan 7 for p22cLd/D0001\n")
    assert "  cancel: ends the plan for good\n" in said


async def test_many_are_a_table_of_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert await shows(Center.of(plan(1), plan(2, status=1)), keys(1), keys(2), keys(3)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[:3]] == ["DEVICE", "p22cLd/D0001", "p22cLd/D0002"]
    assert lines[3:] == ["p22cLd/D0003: no plan", "2 plans for 3 devices"]


async def test_verbose_shows_many_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    await shows(Center.of(plan(1), plan(2)), keys(1), keys(2), common=Common("mqtt plan", verbose=1))
    assert capsys.readouterr().out.count("  retry: ") == 2


@pytest.mark.parametrize("count", [1, 2])
async def test_none_with_a_plan_is_nothing_to_do(count: int) -> None:
    assert await shows(Center(), *map(keys, range(count))) == 10


async def test_some_that_cannot_be_asked_for_are_told_with_their_code(capsys: pytest.CaptureFixture[str]) -> None:
    center = Center({keys(1): plan(1), keys(2): UNBOUND})
    assert await shows(center, keys(1), keys(2), common=JSON) == 40
    said = data(capsys)
    assert (said["with_plan"], said["without"], said["failed"]) == (1, 0, 1)
    assert {k: said["devices"][1][k] for k in ("outcome", "code", "hint")} == {
        "outcome": "failed",
        "code": 5052,
        "hint": "Bind it",
    }


async def test_one_device_alone_has_its_own_error() -> None:
    with pytest.raises(ApiError) as caught:
        await shows(Center({keys(1): UNBOUND}), keys(1))
    assert caught.value is UNBOUND


@pytest.mark.parametrize("error", [CloudUnreachableError("gone"), TokenRejectedError(5032, "no", doing="asking")])
async def test_what_concerns_all_is_one_error(error: ApiError) -> None:
    with pytest.raises(type(error)):
        await shows(Center({keys(1): error, keys(2): error}), keys(1), keys(2))


async def test_what_ended_the_asking_is_the_error_when_none_was_answered() -> None:
    center = Center({keys(1): UNBOUND, keys(2): CloudUnreachableError("gone")})
    with pytest.raises(CloudUnreachableError):
        await shows(center, keys(1), keys(2))


async def test_errors_of_each_device_are_told_for_each() -> None:
    assert await shows(Center({keys(1): UNBOUND, keys(2): UNBOUND}), keys(1), keys(2)) == 40


async def test_another_plan_than_the_one_that_is_named_is_none() -> None:
    center = Center.of(plan(1))
    assert [await shows(center, Ref(keys(1), no)) for no in ("7", "8")] == [0, 10]


async def test_many_devices_are_announced(capsys: pytest.CaptureFixture[str]) -> None:
    await shows(Center(), *map(keys, range(20)))
    assert capsys.readouterr().err == "Asking for 20 devices …\n"


async def test_the_plans_of_an_account_are_those_of_the_developer_center(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with online(tmp_path, capsys, monkeypatch) as desk:
        assert await job(JSON, JSON.settings(), Wish(everything=True)) == 0
        said = desk.told().last["data"]["devices"]
        assert [one["device"] for one in said] == names(desk)
        assert {(one["stage"], one["components"][0]["to"]) for one in said} == {("waiting", "1.1.0")}

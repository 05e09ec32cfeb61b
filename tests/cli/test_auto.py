from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli.auto import Turn, auto, turned
from ble_ota.cli.common import Common
from ble_ota.cli.named import Wish
from ble_ota.errors import ApiError, TokenRejectedError, UsageError
from ble_ota.mqtt import Ref
from tests.cli.desk import person, told
from tests.cli.online import Center, keys, online

JSON, TEXT = Common("auto on", json=True, no_input=True), Common("auto on", no_input=True)
UNBOUND = ApiError(5052, "Not bound", doing="asking")


async def turns(center: Center, turn: Turn, *numbers: int, common: Common = JSON, yes: bool = True) -> int:
    return await turned(common, center, list(map(keys, numbers)), turn, yes=yes)


def data(capsys: pytest.CaptureFixture[str]) -> Any:
    return told(*capsys.readouterr()).last["data"]


@pytest.mark.parametrize(("turn", "on"), [(Turn.ON, True), (Turn.OFF, False)])
async def test_the_switch_is_turned(turn: Turn, on: bool, capsys: pytest.CaptureFixture[str]) -> None:
    center = Center(switches={keys(1): not on})
    assert await turns(center, turn, 1, 2) == 0
    assert center.switches == {keys(1): on, keys(2): on}
    assert [d["auto"] for d in data(capsys)["devices"]] == [on, on]


async def test_status_only_asks(capsys: pytest.CaptureFixture[str]) -> None:
    center = Center(switches={keys(1): True})
    assert await turns(center, Turn.ASK, 1, 2, common=TEXT) == 0
    assert center.switches == {keys(1): True}
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["p22cLd/D0001", "on"],
        ["p22cLd/D0002", "off"],
    ]


@pytest.mark.parametrize("turn", list(Turn))
async def test_an_error_of_one_device_does_not_stop_the_others(turn: Turn, capsys: pytest.CaptureFixture[str]) -> None:
    center = Center(switches={keys(1): UNBOUND})
    assert await turns(center, turn, 1, 2) == 40
    said = data(capsys)
    assert ([d["outcome"] for d in said["devices"]], said["devices"][0]["code"]) == (["failed", "taken"], 5052)
    assert said["failed"] == 1


async def test_one_device_alone_has_its_own_error() -> None:
    with pytest.raises(ApiError):
        await turns(Center(switches={keys(1): UNBOUND}), Turn.ASK, 1)


async def test_a_session_that_is_over_is_asked_about_once() -> None:
    class Counting(Center):
        asked = 0

        async def auto_upgrade(self, keys: object) -> bool:
            Counting.asked += 1
            raise TokenRejectedError(5032, "over", doing="asking")

    center = Counting(calls_at_once=1)
    with pytest.raises(TokenRejectedError):
        await turns(center, Turn.ASK, *range(9))
    assert Counting.asked == 1


@pytest.mark.parametrize(("word", "code", "on"), [("y\n", 0, True), ("n\n", 11, False)])
async def test_to_switch_it_on_a_person_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str, code: int, on: bool
) -> None:
    person(monkeypatch, word)
    center = Center()
    assert await turns(center, Turn.ON, 1, common=Common("auto on"), yes=False) == code
    assert center.switches.get(keys(1), False) is on
    assert "Later plans of p22cLd/D0001 will be installed without a question" in capsys.readouterr().err


async def test_where_nobody_can_be_asked_the_flag_is_named() -> None:
    center = Center()
    with pytest.raises(UsageError) as caught:
        await turns(center, Turn.ON, 1, yes=False)
    assert ("--yes" in caught.value.hint, center.switches) == (True, {})


@pytest.mark.parametrize("turn", [Turn.OFF, Turn.ASK])
async def test_nothing_else_is_asked_about(turn: Turn) -> None:
    assert await turns(Center(), turn, 1, yes=False) == 0


async def test_no_device_is_nothing_to_do() -> None:
    assert await turns(Center(), Turn.ASK) == 10


async def test_a_plan_is_no_device() -> None:
    with pytest.raises(UsageError, match="a plan of it was named"):
        await auto(JSON, JSON.settings(), Wish((Ref(keys(1), "7"),)), Turn.ON, yes=True)


async def test_the_developer_center_keeps_the_switch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with online(tmp_path, capsys, monkeypatch) as desk:
        seen: list[int] = []
        for turn in (Turn.ASK, Turn.ON, Turn.ASK, Turn.OFF, Turn.ASK):
            assert await auto(JSON, JSON.settings(), Wish(everything=True), turn, yes=True) == 0
            seen.append(desk.told().last["data"]["on"])
        assert seen == [0, 3, 3, 0, 0]

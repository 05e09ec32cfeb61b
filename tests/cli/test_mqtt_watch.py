from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.mqtt_orders import Word, say
from ble_ota.cli.mqtt_watch import Pace, status, stood, watch, watched
from ble_ota.cli.named import Named, Wish
from ble_ota.errors import ApiError, CloudError, CloudUnreachableError, DeadlineError
from ble_ota.mqtt import Action, Ref
from ble_ota.virtual.developer_center import Habits, OnlineTerms
from tests.cli.desk import started, told
from tests.cli.online import NOW, QUICK, Center, keys, names, online, plan
from tests.cli.terminal import Terminal, at_terminal

JSON, TEXT = Common("mqtt watch", json=True, no_input=True), Common("mqtt watch", no_input=True)
SECOND: dict[str, Any] = {"status": 1, "word": 1, "progress": 0.5}
DONE: dict[str, Any] = {"status": 2, "word": 1, "progress": 1.0}


async def watches(center: Center, *asked: Named, common: Common = JSON, for_s: float | None = None) -> int:
    return await watched(common, center, asked, Pace(50, 3.0, for_s), clock=lambda: NOW)


async def stands(center: Center, *asked: Named, common: Common = JSON) -> int:
    return await stood(common, center, asked, batch=50, now_s=NOW)


# ---------------------------------------------------------------- status


async def test_status_is_a_line_per_device(capsys: pytest.CaptureFixture[str]) -> None:
    center = Center.of(plan(1), plan(2, **SECOND))
    assert await stands(center, keys(1), keys(2), keys(3), common=TEXT) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["DEVICE", "PLAN", "STAGE", "PROGRESS"],
        ["p22cLd/D0001", "7", "waiting", "0", "%"],
        ["p22cLd/D0002", "7", "upgrading", "50", "%"],
        ["p22cLd/D0003:", "no", "plan"],
    ]


@pytest.mark.parametrize(("asked", "code"), [([1], 0), ([2], 10), ([1, 2], 0), ([1, 3], 40), ([2, 4], 10)])
async def test_the_exit_code_of_status(asked: list[int], code: int) -> None:
    center = Center.of(plan(1))
    center.plans[keys(3)] = ApiError(5052, "Not bound", doing="asking")
    assert await stands(center, *map(keys, asked)) == code


async def test_a_plan_that_ended_is_found_by_its_last_id(capsys: pytest.CaptureFixture[str]) -> None:
    center = Center({keys(1): None}, {keys(1): "7"}, [[plan(1, **DONE)]])
    assert await stands(center, keys(1)) == 0
    assert told(*capsys.readouterr()).last["data"]["devices"][0]["stage"] == "succeeded"


async def test_a_plan_the_platform_does_not_know_is_not_found() -> None:
    assert await stands(Center.of(plan(1)), keys(1), Ref(keys(1), "8")) == 40
    with pytest.raises(CloudError, match="knows no plan 8"):
        await stands(Center.of(plan(1)), Ref(keys(1), "8"))


# ---------------------------------------------------------------- watch


@pytest.mark.looptime
async def test_each_change_is_a_line_and_the_end_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    rounds = [[plan(1)], [plan(1, **SECOND)], [plan(1, **SECOND)], [plan(1, **DONE)]]
    assert await watches(Center({keys(1): plan(1)}, rounds=[*rounds]), keys(1)) == 0
    said = told(*capsys.readouterr())
    assert [(line["stage"], line["progress"]) for line in said.lines[:-1]] == [
        ("waiting", 0.0),
        ("upgrading", 0.5),
        ("succeeded", 1.0),
    ]
    assert (said.last["data"]["succeeded"], said.last["data"]["failed"]) == (1, 0)


@pytest.mark.looptime
async def test_off_a_terminal_each_change_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    center = Center({keys(1): plan(1)}, rounds=[[plan(1, **SECOND)], [plan(1, **DONE)]])
    assert await watches(center, keys(1), common=TEXT) == 0
    out, err = capsys.readouterr()
    assert err == "p22cLd/D0001  7  upgrading  50 %\np22cLd/D0001  7  succeeded  100 %\n"
    assert out.endswith("1 of 1 device succeeded\n")


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([DONE, DONE], 0),
        ([DONE, {"status": 3}], 40),
        ([{"status": 3}], 40),
        ([{"word": 3}], 40),
        ([{"status": -1}], 0),
        ([DONE, None], 0),
        ([None], 10),
    ],
)
async def test_the_exit_code_says_whether_all_succeeded(ends: list[dict[str, Any] | None], code: int) -> None:
    center = Center.of(*(plan(n, **end) for n, end in enumerate(ends) if end is not None))
    assert await watches(center, *map(keys, range(len(ends)))) == code


@pytest.mark.looptime
async def test_a_device_that_is_not_listed_any_more_has_not_succeeded(capsys: pytest.CaptureFixture[str]) -> None:
    assert await watches(Center({keys(1): plan(1)}, rounds=[[]]), keys(1)) == 40
    said = told(*capsys.readouterr())
    assert ([line["stage"] for line in said.lines[:-1]], said.last["data"]["failed"]) == (["gone"], 1)


@pytest.mark.looptime
async def test_a_device_that_could_not_be_asked_for_counts_as_failed() -> None:
    center = Center({keys(1): plan(1, **DONE), keys(2): ApiError(5052, "no", doing="asking")})
    assert await watches(center, keys(1), keys(2)) == 40


@pytest.mark.looptime
async def test_with_the_time_over_the_sentence_says_how_many_are_left() -> None:
    center = Center.of(plan(1), plan(2, **DONE))
    with pytest.raises(DeadlineError, match=r"after 60 s 1 of 2 devices has not ended") as caught:
        await watches(center, keys(1), keys(2), for_s=60)
    assert (caught.value.exit_code, "--for" in caught.value.hint) == (124, True)


@pytest.mark.looptime
async def test_devices_that_wait_for_a_word_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    rounds = [[plan(1), plan(2)], [plan(1, **DONE), plan(2, **SECOND)], [plan(2)], [plan(2, **DONE)]]
    center = Center({keys(1): plan(1), keys(2): plan(2)}, rounds=[*rounds])
    await watches(center, keys(1), keys(2), common=TEXT)
    said = capsys.readouterr().err
    assert "2 devices wait for a word: `ble-ota mqtt confirm` says it" in said
    assert said.count("for a word") == 1


@pytest.mark.looptime
async def test_a_round_that_fails_is_told_and_the_watch_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    center = Center({keys(1): plan(1)}, rounds=[CloudUnreachableError("no\x1bthing"), [plan(1, **DONE)]])
    assert await watches(center, keys(1)) == 0
    assert capsys.readouterr().err == "warning: nothing; asking again\n"


async def test_of_many_devices_the_end_shows_those_that_did_not_succeed(capsys: pytest.CaptureFixture[str]) -> None:
    center = Center.of(*(plan(n, status=3 if n == 5 else 2) for n in range(30)))
    assert await watches(center, *map(keys, range(30)), common=TEXT) == 40
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), "D0005" in lines[1], lines[2]) == (3, True, "29 of 30 devices succeeded")


async def test_a_watch_of_many_sees_all_of_them_to_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = OnlineTerms({"D0E0C0DE1002": Habits(fails=1, download_s=0.05), "*": QUICK})
    async with online(tmp_path, capsys, monkeypatch, terms=terms) as desk:
        desk.set(batch=2)
        await say(JSON, JSON.settings(), Wish(everything=True), Word(Action.CONFIRM, True))
        desk.told()
        assert await watch(JSON, JSON.settings(), Wish(everything=True), for_s=None) == 40
        assert {d["stage"] for d in desk.told().last["data"]["devices"]} == {"succeeded", "failed"}
        assert await status(JSON, JSON.settings(), Wish(everything=True)) == 0
        stages = [d["stage"] for d in desk.told().last["data"]["devices"]]
        assert stages == ["succeeded", "failed", "succeeded"]


# ---------------------------------------------------------------- as a process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_a_watch_in_a_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    async with online(tmp_path, capsys, monkeypatch) as desk:
        process = await started("mqtt", "watch", "--all", "--json")
        assert process.stdout is not None
        seen = await process.stdout.readline()
        process.send_signal(number)
        out, err = await process.communicate()
        said = told((seen + out).decode(), err.decode())
        assert (process.returncode, said.last["event"], said.last["exit_code"]) == (code, "error", code)
        assert len(desk.world.online) == 3


def _interrupts(terminal: Terminal) -> None:
    terminal.process.send_signal(signal.SIGINT)


def _terminates(terminal: Terminal) -> None:
    terminal.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(("act", "code"), [(_interrupts, 130), (_terminates, 143)])
async def test_a_live_table_leaves_the_terminal_as_it_was(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Terminal], None],
    code: int,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    async with online(tmp_path, capsys, monkeypatch, devices=60) as desk:
        last = names(desk)[0]
        async with asyncio.timeout(30):
            ended, said = await at_terminal("mqtt", "watch", "--all", at=last, act=act)
        assert ended == code
        assert said.words.count("\x1b[?25l") == said.words.count("\x1b[?25h") == 1
        assert said.words.index("\x1b[?25h") > said.words.index("\x1b[?25l")

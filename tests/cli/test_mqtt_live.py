from __future__ import annotations

import asyncio
import io
import sys
from typing import Any

import pytest
from rich.console import Console

from ble_ota.cli.common import Common
from ble_ota.cli.mqtt_live import changed_line, screen, short, table
from ble_ota.cli.mqtt_shown import Here
from ble_ota.mqtt import MqttPlan, Period, Ref
from tests.cli.online import NOW, plan

HERE = Here(NOW)
UPGRADING: dict[str, Any] = {"status": 1, "progress": 0.5}
DONE: dict[str, Any] = {"status": 2, "progress": 1.0}
FAILED: dict[str, Any] = {"status": 3}


def drawn(seen: dict[Ref, MqttPlan | None], *, rows: int = 100, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=24)
    with console.capture() as capture:
        console.print(table(seen, HERE, rows=rows))
    return [line.rstrip() for line in capture.get().splitlines()]


def by_ref(*plans: MqttPlan) -> dict[Ref, MqttPlan | None]:
    return {p.ref: p for p in plans}


def test_those_that_have_not_ended_come_first() -> None:
    lines = drawn(by_ref(plan(1, **DONE), plan(4, **UPGRADING), plan(2, **FAILED), plan(3)))
    assert [line.split()[0][-1] for line in lines[1:5]] == ["3", "4", "1", "2"]
    assert lines[5] == "1 succeeded, 1 upgrading, 1 failed, 1 waiting"


@pytest.mark.parametrize("width", [100, 30, 10])
def test_five_hundred_devices_stay_within_the_rows_and_the_others_are_counted(width: int) -> None:
    lines = drawn(by_ref(*map(plan, range(500))), rows=10, width=width)
    assert len(lines) == 12
    assert (lines[-1] == "500 waiting; 490 not shown") is (width > 25)


def test_text_of_the_server_is_no_markup() -> None:
    odd = plan(1)
    lines = drawn({Ref(odd.keys, "[red]7"): odd})
    assert "[red]7" in lines[1]


def test_a_device_that_is_not_listed_any_more_is_shown_as_gone() -> None:
    assert short(plan(1).ref, None, HERE) == ("p22cLd/D0001", "7", "gone", "-")
    assert drawn({plan(1).ref: None})[-1] == "1 gone"


def test_an_appointment_says_when() -> None:
    said = short(plan(1).ref, plan(1, word=2, appointment=Period(NOW, NOW + 3600)), HERE)[2]
    assert said.startswith("appointed for 2026-11-18 ")


def test_a_line_has_the_number_as_it_came() -> None:
    line = changed_line(plan(1).ref, plan(1, status=17, progress=None), NOW)
    assert (line["ts"], line["stage"], line["status"], line["progress"]) == (
        "2026-11-18T11:06:40.000Z",
        "unknown",
        17,
        None,
    )


def drawn_on(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Put a terminal in the place of stderr; give how many devices each drawing of the table has had."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    made: list[int] = []

    def draw(seen: dict[Ref, MqttPlan | None], _here: Here, *, rows: int) -> str:
        made.append(len(seen))
        return str(rows)

    monkeypatch.setattr("ble_ota.cli.mqtt_live.table", draw)
    return made


async def drawing() -> None:
    """Wait until what is due now has been drawn."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(done.set_result, None)
    await done


async def test_many_changes_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = drawn_on(monkeypatch)
    plans = [plan(n) for n in range(500)]
    with screen(Common("mqtt watch"), [p.ref for p in plans], lambda: NOW) as shown:
        for one in plans:
            shown.change(one.ref, one)
        await drawing()
    assert draws == [500]


async def test_each_round_of_changes_is_drawn_and_the_hint_is_given_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draws = drawn_on(monkeypatch)
    plans = [plan(n) for n in range(3)]
    with screen(Common("mqtt watch"), [p.ref for p in plans], lambda: NOW) as shown:
        for one in plans:
            shown.change(one.ref, one)
            await drawing()
    assert draws == [1, 2, 3]
    assert capsys.readouterr().err.count("mqtt confirm") == 1


@pytest.mark.parametrize("ended", [0, 1, 2])
async def test_those_that_are_still_going_are_counted(ended: int) -> None:
    plans = [plan(n, **(DONE if n < ended else UPGRADING)) for n in range(3)]
    with screen(Common("mqtt watch", quiet=True), [p.ref for p in plans], lambda: NOW) as shown:
        for one in plans[:2]:  # of the third nothing has been heard
            shown.change(one.ref, one)
        assert shown.going == 3 - ended


@pytest.mark.parametrize(("tty", "term", "quiet", "json"), [(0, "xterm", 0, 0), (1, "dumb", 0, 0), (1, "xterm", 1, 0)])
async def test_there_is_no_table_where_nobody_could_look_at_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tty: int, term: str, quiet: int, json: int
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: bool(tty))
    monkeypatch.setenv("TERM", term)
    with screen(Common("mqtt watch", quiet=bool(quiet), json=bool(json)), [plan(1).ref], lambda: NOW) as shown:
        shown.change(plan(1).ref, plan(1))
    assert "\x1b" not in capsys.readouterr().err

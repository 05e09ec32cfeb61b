from __future__ import annotations

import signal

import pytest

from ble_ota.cli.ask import consent
from ble_ota.cli.common import Common
from ble_ota.errors import UsageError
from ble_ota.model import Approved, DeviceInfo, FetchPlan, Plan
from tests.cli.desk import Desk, told
from tests.cli.terminal import Terminal, at_terminal

PLAN = Plan(DeviceInfo("", "A device", "p", "d", {}), FetchPlan("7", "p", "d", ()), ())
QUESTION = "Install this? [y/N]: "


async def test_a_flag_gives_the_word_and_still_shows_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert await consent(Common("update"), yes=True)(PLAN) == Approved(PLAN, "--yes")
    assert "Plan 7 for A device p/d" in capsys.readouterr().err


async def test_nobody_to_ask_is_a_usage_error_that_names_the_flag() -> None:
    with pytest.raises(UsageError) as caught:
        await consent(Common("update", no_input=True), yes=False)(PLAN)
    assert "--yes" in caught.value.hint


async def test_a_no_at_the_terminal_leaves_the_device_alone(desk: Desk) -> None:
    code, said = await at_terminal("update", desk.name, "--json", at=QUESTION, act=lambda t: t.type("n\n"))
    assert (code, said.last["verdict"], said.last["reason"]) == (11, "DECLINED", "declined")
    assert desk.records("status.reported") == []


async def test_a_yes_at_the_terminal_updates(desk: Desk) -> None:
    code, said = await at_terminal("update", desk.name, "--json", at=QUESTION, act=lambda t: t.type("y\n"))
    assert code == 0
    assert [line["why"] for line in said.lines if line["event"] == "plan.decided"] == ["terminal"]


async def test_the_plan_is_on_the_terminal_before_the_question(desk: Desk) -> None:
    _, said = await at_terminal("update", desk.name, at=QUESTION, act=lambda t: t.type("n\n"))
    assert 0 < said.words.index("MAIN: 1.0.0 -> 1.1.0") < said.words.index(QUESTION)


async def test_the_plan_is_shown_before_the_question_to_a_quiet_user_too(desk: Desk) -> None:
    _, said = await at_terminal("update", desk.name, "-q", at=QUESTION, act=lambda t: t.type("n\n"))
    assert "MAIN: 1.0.0 -> 1.1.0" in said.words


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_a_signal_ends_the_question_and_the_run(desk: Desk, number: signal.Signals, code: int) -> None:
    def act(terminal: object) -> None:
        terminal.process.send_signal(number)  # type: ignore[attr-defined]

    got, said = await at_terminal("update", desk.name, "--json", at=QUESTION, act=act)
    assert (got, said.last["verdict"], said.last["exit_code"]) == (code, "ABORTED", code)


@pytest.mark.parametrize("ahead", ["y\n", "y\ny\ny\n", "y"])
async def test_what_is_typed_before_the_question_does_not_answer_it(desk: Desk, ahead: str) -> None:
    """A user who is ahead of the program has not seen the plan."""
    terminal = await Terminal.of("update", desk.name, "--json")
    await terminal.until("connected")
    terminal.type(ahead)
    await terminal.until(QUESTION)
    terminal.type("n\n")
    code, said = await terminal.end()
    assert (code, said.last["verdict"]) == (11, "DECLINED")
    assert desk.records("status.reported") == []


async def test_the_end_of_the_input_is_no_consent(desk: Desk) -> None:
    code, said = await at_terminal("update", desk.name, "--json", at=QUESTION, act=lambda t: t.type("\x04"))
    assert (code, said.last["verdict"]) == (130, "ABORTED")


@pytest.mark.parametrize("what", ["a question", "a secret"])
async def test_a_terminal_that_is_closed_at_a_question_is_a_hangup(desk: Desk, what: str) -> None:
    if what == "a secret":
        desk.unset("password")
    terminal = await Terminal.of("update", desk.name, "--json")
    await terminal.until(QUESTION if what == "a question" else "Password")
    terminal.hang_up()
    out, _ = await terminal.process.communicate()
    last = told(out.decode(), "").last
    assert (terminal.process.returncode, last["verdict"], last["exit_code"]) == (129, "ABORTED", 129)

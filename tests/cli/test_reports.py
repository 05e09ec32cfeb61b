from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from ble_ota.cli.app import app
from ble_ota.cli.common import Common
from ble_ota.cli.history import verify
from ble_ota.cli.journal import place_of, who
from ble_ota.cli.reports import LATEST, drop, listed, send
from ble_ota.errors import UsageError
from ble_ota.ledger import Ledger, Report, Started
from ble_ota.virtual.developer_center import Faults
from tests.cli.desk import Desk, person
from tests.cli.left import new_firmware, reported, reports, result, settings

JSON, TEXT = Common("reports", json=True, no_input=True), Common("reports", no_input=True)
COMMON = ["--json", "--config", "--profile", "--verbose", "--quiet", "--log-file", "--no-input"]


async def kept(desk: Desk) -> int:
    """An update whose success could not be reported; the report's number."""
    desk.unset("report_status__succeeded")
    assert await desk.update() == 0
    desk.capsys.readouterr()
    return (await reports())[1].id or 0


async def sent(desk: Desk, **numbers: int) -> tuple[int, Any]:
    desk.capsys.readouterr()
    code = await send(JSON, JSON.settings(report_status=numbers or None))
    return code, result(desk)


# ------------------------------------------------------------------ send


async def test_numbers_given_here_send_what_was_kept(desk: Desk) -> None:
    number = await kept(desk)
    code, data = await sent(desk, succeeded=7)
    assert (code, [(r["id"], r["state"]) for r in data["sent"]]) == (0, [(number, "sent")])
    assert (data["kept"], data["superseded"]) == ([], [])
    assert reported(desk) == [2, 7]


@pytest.mark.parametrize("command", ["send", "drop"])
async def test_the_vault_is_told_of_what_became_of_a_report(desk: Desk, command: str) -> None:
    number = await kept(desk)
    if command == "send":
        await sent(desk, succeeded=7)
    else:
        await drop(JSON, settings(), [number], yes=True)
    desk.capsys.readouterr()
    assert await verify(JSON, settings()) == 0
    data = result(desk)
    assert data["kept"]["head"] == data["head"]


async def test_numbers_given_here_leave_the_others_as_they_are_set(desk: Desk) -> None:
    assert JSON.settings(report_status={"succeeded": 7}).report_status.known() == {
        "confirmed": 2,
        "succeeded": 7,
        "failed": 8,
    }


async def test_what_cannot_be_sent_is_still_kept_and_why(desk: Desk) -> None:
    number = await kept(desk)
    code, data = await sent(desk)
    assert (code, [r["id"] for r in data["kept"]]) == (20, [number])
    assert "report_status.succeeded" in data["kept"][0]["why"]
    assert reported(desk) == [2]


async def test_a_cloud_that_fails_keeps_it(desk: Desk) -> None:
    await kept(desk)
    desk.center.faults = Faults(code=5000, only="reportUpgradeStatus")
    code, data = await sent(desk, succeeded=9)
    assert (code, "5000" in data["kept"][0]["why"]) == (20, True)


async def test_what_is_too_late_is_superseded_and_nothing_is_left(desk: Desk) -> None:
    await kept(desk)
    new_firmware(desk, "1.2.0")
    code, data = await sent(desk, succeeded=9)
    assert (code, len(data["superseded"])) == (0, 1)
    assert "another plan" in data["superseded"][0]["why"]
    assert reported(desk) == [2]


async def test_with_nothing_to_send_nobody_is_asked(desk: Desk) -> None:
    assert (await sent(desk))[0] == 0
    assert desk.center.records() == []
    await send(TEXT, settings())
    assert desk.capsys.readouterr().out == "There is nothing to send\n"


async def test_reports_of_another_account_are_told_and_left(desk: Desk) -> None:
    number = await kept(desk)
    desk.set(email="somebody@else")
    code, data = await sent(desk, succeeded=9)
    assert (code, [r["id"] for r in data["other_accounts"]]) == (0, [number])
    await send(TEXT, settings())
    assert "(of another account: " in desk.capsys.readouterr().out


async def test_what_was_done_is_a_line_each_for_people(desk: Desk) -> None:
    number = await kept(desk)
    await send(TEXT, JSON.settings(report_status={"succeeded": 9}))
    said = desk.capsys.readouterr().out
    assert said.startswith(f"{number}  MAIN succeeded  sent")
    assert f"({desk.world.product_key}/{desk.device.device_key}, run " in said


# ------------------------------------------------------------------ list


async def lists(desk: Desk, *, everything: bool = False) -> Any:
    desk.capsys.readouterr()
    assert await listed(JSON, settings(), everything=everything) == 0
    return result(desk)


async def test_kept_reports_come_first(desk: Desk) -> None:
    number = await kept(desk)
    data = await lists(desk)
    assert [r["id"] for r in data["kept"]] == [number]
    assert [(r["outcome"], r["state"]) for r in data["settled"]] == [("confirmed", "sent")]
    await listed(TEXT, settings(), everything=False)
    lines = desk.capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["MAIN succeeded", "MAIN confirmed"]


async def test_only_the_latest_of_the_others_are_shown_unless_all_are_wanted(desk: Desk) -> None:
    async with await Ledger.open(place_of(settings())) as ledger:
        for n in range(LATEST + 1):
            await ledger.begin(Started(f"run-{n}", "update", "", {}, {}, "bleak", "eu", "a@b", 1, "1"))
            number = await ledger.keep(Report(f"run-{n}", "eu", "p", "d", "7", "", "failed", {}))
            await ledger.settle(number, "sent")
    assert [r["run"] for r in (await lists(desk))["settled"]] == [f"run-{n}" for n in range(LATEST, 0, -1)]
    assert len((await lists(desk, everything=True))["settled"]) == LATEST + 1


async def test_no_report_is_a_sentence(desk: Desk) -> None:
    assert await lists(desk) == {"kept": [], "settled": []}
    await listed(TEXT, settings(), everything=False)
    assert desk.capsys.readouterr().out == "No report is kept, and none was sent\n"


# ------------------------------------------------------------------ drop


async def test_a_dropped_report_is_never_sent(desk: Desk) -> None:
    number = await kept(desk)
    assert await drop(JSON, settings(), [number], yes=True) == 0
    assert [(r["state"], r["why"]) for r in result(desk)["dropped"]] == [("dropped", f"by {who()}")]
    assert (await sent(desk, succeeded=9))[0] == 0
    assert reported(desk) == [2]


@pytest.mark.parametrize(("word", "code", "state"), [("y\n", 0, "dropped"), ("n\n", 11, "kept"), ("\n", 11, "kept")])
async def test_a_person_is_asked_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, word: str, code: int, state: str
) -> None:
    number = await kept(desk)
    person(monkeypatch, word)
    assert await drop(Common("reports drop", json=True), settings(), [number], yes=False) == code
    assert (await reports())[1].state == state


async def test_where_nobody_can_be_asked_the_flag_is_named(desk: Desk) -> None:
    number = await kept(desk)
    with pytest.raises(UsageError, match="cannot be undone") as caught:
        await drop(JSON, settings(), [number], yes=False)
    assert "--yes" in caught.value.hint
    assert (await reports())[1].state == "kept"


async def test_a_report_that_is_not_kept_drops_none(desk: Desk) -> None:
    number = await kept(desk)
    settled = (await reports())[0].id or 0
    with pytest.raises(UsageError, match=f"no report {settled}, 99 is kept"):
        await drop(JSON, settings(), [number, settled, 99], yes=True)
    assert (await reports())[1].state == "kept"


# ------------------------------------------------------------------ the command line


def invoked(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


def test_reports_alone_lists() -> None:
    assert invoked("reports") == (0, "No report is kept, and none was sent\n")
    assert '"command": "reports list"' in invoked("reports", "--json")[1]
    assert '"command": "reports list"' in invoked("reports", "--all", "--json")[1]


@pytest.mark.parametrize("wrong", [["send", "--succeeded", "13"], ["send", "--failed", "-1"], ["drop"], ["drop", "x"]])
def test_what_cannot_be_meant_is_exit_2(wrong: list[str]) -> None:
    assert invoked("reports", *wrong)[0] == 2


def test_an_unknown_number_is_exit_2() -> None:
    assert invoked("reports", "drop", "99", "--yes")[0] == 2


@pytest.mark.parametrize("command", ["list", "send", "drop"])
def test_every_command_takes_the_common_options(command: str) -> None:
    code, said = invoked("reports", command, "--help")
    assert code == 0
    assert [option for option in COMMON if option not in said] == []

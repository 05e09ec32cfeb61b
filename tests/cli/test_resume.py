from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.flash import Wish, flash
from ble_ota.cli.resume import resume
from ble_ota.cli.update import update
from ble_ota.virtual.developer_center import Faults
from ble_ota.virtual.peripherals.quecthing import Habits, Pause
from tests.cli.desk import Desk, Told, person, started
from tests.cli.left import FORGETS, KEEPS, at, given_up, interrupted, killed, new_firmware, reported, rows, until


async def resumed(desk: Desk, run: str | None = None, *, no_input: bool = True) -> tuple[int, Told]:
    desk.capsys.readouterr()
    code = await resume(Common("resume", json=True, no_input=no_input), run)
    return code, desk.told()


async def test_a_killed_run_is_carried_on_where_the_device_stands(desk: Desk) -> None:
    habits = replace(KEEPS, silent_after=1000, slow_answer_s=0.5)
    await killed(desk, at("transfer.progress", bytes=1000), habits)
    desk.behaves(KEEPS)
    code, told = await resumed(desk)
    assert (code, told.last["verdict"]) == (0, "PASS")
    assert b"".join(desk.boot.image("MAIN")) == desk.world.firmware(desk.world.components[0].files[0])
    (offset,) = [e["offset"] for e in told.lines if e["event"] == "transfer.resumed"]
    assert 0 < offset <= 1000
    assert (told.last["bytes_sent"], told.last["bytes_resent"]) == (2000 - offset, 0)
    assert reported(desk) == [2, 9]


async def test_what_broke_off_is_brought_to_its_end_with_one_confirmation_in_all(desk: Desk) -> None:
    await interrupted(desk)
    code, told = await resumed(desk)
    assert (code, told.last["verdict"]) == (0, "PASS")
    assert desk.boot.versions["MAIN"] == "1.1.0"
    assert reported(desk) == [2, 9]
    assert "confirm.reported" not in told.names


async def test_it_is_a_run_of_its_own_that_names_the_one_it_carries_on(desk: Desk) -> None:
    first = await given_up(desk)
    _, told = await resumed(desk)
    newest, before = await rows()
    assert (newest.id, newest.command, newest.carries_on) == (told.last["run"], "resume", first.last["run"])
    assert newest.approved_by == f"--yes, in run {before.id}"
    assert before.id == first.last["run"]
    assert newest.ending is not None
    assert newest.ending.verdict == "PASS"


async def test_a_resume_that_broke_off_is_resumed_and_the_run_before_it_is_not(desk: Desk) -> None:
    first = (await given_up(desk)).last["run"]
    desk.center.faults = Faults(status=404, only="/oss/")
    code, second = await resumed(desk)
    assert code == 20
    desk.center.faults = Faults()
    code, told = await resumed(desk, first)
    assert (code, f"was followed by run {second.last['run']}" in told.last["message"]) == (10, True)
    assert (await resumed(desk))[0] == 0
    assert [r.command for r in await rows()] == ["resume", "resume", "update"]
    assert reported(desk) == [2, 9]


async def test_a_resume_that_never_met_the_device_names_what_it_was_for_and_takes_nothing_away(desk: Desk) -> None:
    first = (await given_up(desk)).last["run"]
    desk.center.faults = Faults(html=True)
    assert (await resumed(desk))[0] == 20
    newest = (await rows())[0]
    assert (newest.carries_on, newest.address) == (first, "")
    desk.center.faults = Faults()
    assert (await resumed(desk))[0] == 0


# ------------------------------------------------------------------ nothing to resume


async def test_nothing_left_is_nothing_to_do_and_no_run(desk: Desk) -> None:
    code, told = await resumed(desk)
    assert (code, told.last["verdict"], told.names) == (10, "NOTHING_TO_DO", ["run.started", "run.finished"])
    assert "nothing to resume" in told.last["message"]
    assert await rows() == []


@pytest.mark.parametrize("refused", [{"yes": False}, {"device": "nobody"}])
async def test_a_run_that_was_never_agreed_to_is_not_resumed(desk: Desk, refused: dict[str, object]) -> None:
    await desk.update(**refused)  # type: ignore[arg-type]
    ended = desk.told().last["run"]
    assert (await resumed(desk))[0] == 10
    code, told = await resumed(desk, ended)
    assert (code, told.last["message"]) == (
        10,
        f"there is nothing to resume: run {ended} ended ERROR before its plan was agreed to",
    )


async def test_a_run_that_came_to_its_end_is_not_resumed(desk: Desk) -> None:
    await desk.update()
    ended = desk.told().last["run"]
    code, told = await resumed(desk, ended)
    assert (code, told.last["exit_code"]) == (10, 10)
    assert f"run {ended} ended PASS" in told.last["message"]


async def test_an_unknown_run_is_a_usage_error_that_names_the_list(desk: Desk) -> None:
    code, told = await resumed(desk, "feedbeef")
    assert (code, told.last["reason"]) == (2, "usage")
    assert "feedbeef" in told.last["message"]
    assert "history" in told.last["hint"]


# ------------------------------------------------------------------ which run, and how


async def test_a_run_may_be_named_by_its_beginning(desk: Desk) -> None:
    first = await given_up(desk)
    assert (await resumed(desk, first.last["run"][:6]))[0] == 0


async def test_radio_and_cloud_are_those_of_the_run(desk: Desk, tmp_path: Path) -> None:
    await given_up(desk)
    desk.set(radio=f"virtual:{tmp_path / 'nowhere'}", cloud="http://127.0.0.1:1")
    assert (await resumed(desk))[0] == 0


async def test_a_downgrade_that_was_allowed_still_is(desk: Desk) -> None:
    desk.center.faults = Faults(plan_downgrade=True)
    desk.behaves(replace(FORGETS, pauses=(Pause(at=1000, delay_s=1, lasts_s=None),)))
    assert await desk.update(down=True) == 31
    desk.behaves(replace(FORGETS, claims_version="0.0.1", claims_version_after="success"))
    code, told = await resumed(desk)
    assert (code, told.last["message"]) == (0, "the device runs MAIN 0.0.1")


async def test_doubts_that_a_person_has_seen_do_not_stop_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    new_firmware(desk, "rc-two")
    desk.center.faults = Faults(status=404, only="/oss/")
    with monkeypatch.context() as terminal:
        person(terminal, "y\n")
        common = Common("update", json=True)
        assert await update(common, desk.name, flags={}, yes=False, allow_downgrade=False) == 20
    desk.center.faults = Faults()
    assert (await resumed(desk))[0] == 0


async def test_a_run_whose_process_lives_is_left_alone(desk: Desk) -> None:
    desk.behaves(Habits(silent_after=1000))
    process = await started("update", desk.name, "--yes", "--json")
    alive = await until(process, at("transfer.progress", bytes=1000))
    code, told = await resumed(desk)
    process.kill()
    await process.communicate()
    assert (code, told.last["verdict"]) == (12, "REFUSED")
    assert f"process {process.pid} " in told.last["message"]
    assert alive["run"] in told.last["message"]


async def test_a_demo_that_was_killed_is_resumed_where_the_user_has_nothing_left(desk: Desk) -> None:
    process = await started("demo", "--fault", "kill@70%", "--size", "2000", "--json")
    await process.communicate()
    code, told = await resumed(desk)
    assert (code, told.last["verdict"]) == (0, "PASS")
    assert desk.center.records() == []
    assert await rows() == []
    assert (await resumed(desk))[0] == 10


# ------------------------------------------------------------------ its settings


def profiled(desk: Desk, tmp_path: Path) -> Path:
    """A settings file whose profile alone knows the app's user domain."""
    desk.unset("user_domain")
    file = tmp_path / "line.toml"
    file.write_text(f'[profiles.line]\nuser_domain = "{desk.world.user.user_domain}"\n[profiles.other]\n', "utf-8")
    return file


async def left_by_a_profile(desk: Desk, file: Path) -> str:
    """The run of an update that got no firmware, under the profile."""
    desk.center.faults = Faults(status=404, only="/oss/")
    common = Common("update", json=True, no_input=True, config=file, profile="line")
    assert await update(common, desk.name, flags={}, yes=True, allow_downgrade=False) == 20
    desk.center.faults = Faults()
    return str(desk.told().last["run"])


async def test_settings_file_and_profile_are_those_of_the_run(desk: Desk, tmp_path: Path) -> None:
    file = profiled(desk, tmp_path)
    await left_by_a_profile(desk, file)
    logins = len(desk.records("login"))
    assert (await resumed(desk))[0] == 0
    assert (await rows())[0].arguments["profile"] == "line"
    assert len(desk.records("login")) == logins  # a session belongs to its profile


async def test_a_resume_that_broke_off_keeps_the_profile_of_the_first_run(desk: Desk, tmp_path: Path) -> None:
    await left_by_a_profile(desk, profiled(desk, tmp_path))
    desk.center.faults = Faults(status=404, only="/oss/")
    assert (await resumed(desk))[0] == 20
    desk.center.faults = Faults()
    assert (await resumed(desk))[0] == 0


async def test_a_profile_that_is_gone_is_a_sentence(desk: Desk, tmp_path: Path) -> None:
    file = profiled(desk, tmp_path)
    run = await left_by_a_profile(desk, file)
    file.write_text("", "utf-8")
    code, told = await resumed(desk)
    assert (code, told.last["reason"]) == (3, "settings")
    assert (run in told.last["message"], "no profile 'line'" in told.last["message"]) == (True, True)
    assert "[profiles.line]" in told.last["hint"]
    file.unlink()
    code, told = await resumed(desk)
    assert (code, str(file) in told.last["message"]) == (3, True)


async def test_another_profile_than_the_runs_is_refused(desk: Desk, tmp_path: Path) -> None:
    file = profiled(desk, tmp_path)
    run = await left_by_a_profile(desk, file)
    common = Common("resume", json=True, no_input=True, config=file, profile="other")
    assert await resume(common, None) == 2
    told = desk.told()
    assert ("'line'" in told.last["message"], f"ble-ota resume {run}" in told.last["hint"]) == (True, True)


# ------------------------------------------------------------------ another plan


async def test_a_plan_that_has_changed_wants_a_word_and_there_is_nobody_to_give_it(desk: Desk) -> None:
    await given_up(desk)
    new_firmware(desk, "1.2.0")
    code, told = await resumed(desk)
    assert (code, told.last["reason"]) == (2, "usage")
    assert "transfer.started" not in told.names
    assert reported(desk) == [2]


async def test_a_plan_that_has_changed_is_asked_for_and_confirmed_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await given_up(desk)
    new_firmware(desk, "1.2.0")
    person(monkeypatch, "y\n")
    code, told = await resumed(desk, no_input=False)
    assert (code, told.last["message"]) == (0, "the device runs MAIN 1.2.0")
    assert (await rows())[0].approved_by == "terminal"
    assert reported(desk) == [2, 2, 9]


# ------------------------------------------------------------------ a flash

FIRMWARE = bytes(range(256)) * 8


@pytest.fixture
async def file(desk: Desk, tmp_path: Path) -> Path:
    """A file whose flash broke off."""
    desk.set(device_secret=desk.device.binding_code)
    file = tmp_path / "new.bin"
    file.write_bytes(FIRMWARE)
    desk.behaves(replace(FORGETS, pauses=(Pause(at=1000, delay_s=1, lasts_s=None),)))
    wish = Wish(file, desk.name, "2.0.0", reinstall=False, protocol="quecthing", yes=True, allow_downgrade=False)
    assert await flash(Common("flash", json=True, no_input=True), wish, flags={}) == 31
    desk.behaves(FORGETS)
    return file


async def test_a_flash_is_resumed_from_its_file_without_a_cloud(desk: Desk, file: Path) -> None:
    desk.set(cloud="http://127.0.0.1:1")
    code, told = await resumed(desk)
    assert (code, told.last["message"]) == (0, "the device runs firmware 2.0.0")
    assert desk.boot.image("MAIN") == (FIRMWARE,)
    newest = (await rows())[0]
    assert newest.arguments == {
        "file": str(file),
        "to": "2.0.0",
        "reinstall": False,
        "protocol": "quecthing",
        "allow_downgrade": False,
        "config": "",
        "profile": "",
    }


async def test_a_file_that_is_gone_is_a_sentence(desk: Desk, file: Path) -> None:
    file.unlink()
    code, told = await resumed(desk)
    assert (code, told.last["reason"]) == (2, "usage")
    assert str(file) in told.last["message"]


async def test_a_file_that_has_changed_is_not_sent(desk: Desk, file: Path) -> None:
    file.write_bytes(FIRMWARE[::-1])
    code, told = await resumed(desk)
    assert (code, told.last["reason"]) == (21, "trust")
    assert "was agreed to" in told.last["message"]
    assert told.names == ["run.started", "run.finished"]


# ------------------------------------------------------------------ what is owed after a crash


@pytest.mark.parametrize("last", ["transfer.started", "transfer.done", "device.rebooting"])
async def test_a_run_that_dies_once_it_began_to_send_is_brought_to_its_report(desk: Desk, last: str) -> None:
    """The device runs the target by then; the process may have died before it wrote down that all was sent."""
    await killed(desk, at(last), Habits(slow_answer_s=0.5) if last == "transfer.started" else Habits())
    desk.behaves(Habits(claims_version="1.1.0"))
    code, told = await resumed(desk)
    assert (code, told.last["verdict"]) == (0, "PASS")
    assert "transfer.started" not in told.names
    assert reported(desk) == [2, 9]


async def test_a_run_that_dies_before_it_sends_owes_nothing(desk: Desk) -> None:
    await killed(desk, at("confirm.reported"), Habits())
    desk.behaves(Habits(claims_version="1.1.0"))
    assert (await resumed(desk))[0] == 10
    assert reported(desk) == [2]

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ble_ota.cli.common import Common, TerminatedError, execute, interruptible, sentence
from ble_ota.errors import DeviceNotFoundError, SettingsError, StopAsked, UsageError
from tests.cli.desk import person, started, told


def common(*, json: bool = True, **more: object) -> Common:
    return Common("scan", json=json, **more)  # type: ignore[arg-type]


async def done() -> int:
    return 0


async def unfound() -> int:
    msg = "it was not heard\x1b[2J"
    raise DeviceNotFoundError(msg, hint="look closer")


async def bug() -> int:
    msg = "nobody expected this"
    raise KeyError(msg)


async def interrupted() -> int:
    raise KeyboardInterrupt


async def broken() -> int:
    raise BrokenPipeError(errno.EPIPE, "Broken pipe")


# ------------------------------------------------------------------ results and errors


def test_a_result_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    common().result({"a": 1}, "text")
    assert told(*capsys.readouterr()).lines == [{"v": 1, "event": "result", "command": "scan", "data": {"a": 1}}]


def test_a_result_for_people_is_its_text_without_controls(capsys: pytest.CaptureFixture[str]) -> None:
    common(json=False).result({}, "two\nlines\x1b")
    assert capsys.readouterr().out == "two\nlines\n"


def test_an_error_is_a_sentence_a_blank_line_and_a_hint() -> None:
    assert sentence(UsageError("no such thing", hint="ask")) == "error: no such thing\n\nhint: ask\n"


def test_an_error_without_hint_ends_after_its_sentence() -> None:
    assert sentence(UsageError("no such thing", hint="")) == "error: no such thing\n"


def test_a_named_error_is_a_line_a_sentence_and_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(common(), unfound) == 30
    said = told(*capsys.readouterr())
    assert (said.last["event"], said.last["exit_code"], said.last["hint"]) == ("error", 30, "look closer")
    assert said.words == "error: it was not heard[2J\n\nhint: look closer\n"


def test_a_named_error_without_json_leaves_stdout_empty(capsys: pytest.CaptureFixture[str]) -> None:
    execute(common(json=False), unfound)
    assert capsys.readouterr().out == ""


def test_a_bug_is_a_line_and_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(common(), bug) == 1
    said = told(*capsys.readouterr())
    assert (said.last["event"], said.last["exit_code"]) == ("error", 1)
    assert "Traceback" in said.words


def test_an_interrupt_is_exit_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(common(), interrupted) == 130
    assert told(*capsys.readouterr()).last["exit_code"] == 130


def test_a_pipe_that_breaks_elsewhere_than_at_our_reader_is_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(common(), broken) == 1
    assert "BrokenPipeError" in told(*capsys.readouterr()).last["message"]


def test_a_quiet_command_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    common(quiet=True).tell("hello")
    assert capsys.readouterr().err == ""


def test_a_call_that_hangs_does_not_keep_a_command_that_is_done() -> None:
    gate = threading.Event()

    async def impatient() -> int:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.to_thread(gate.wait, 20)
        return 7

    began = time.monotonic()
    assert execute(common(), impatient) == 7
    assert time.monotonic() - began < 15
    gate.set()


# ------------------------------------------------------------------ questions


def test_a_question_with_nobody_there_names_the_flag() -> None:
    with pytest.raises(UsageError) as caught:
        common(no_input=True).ask("Password", flag="BLE_OTA_PASSWORD")
    assert "BLE_OTA_PASSWORD" in caught.value.hint


def test_a_closed_stdin_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert not common().may_ask


def test_a_person_is_asked_until_there_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    person(monkeypatch, "\nanswer\n")
    assert common().ask("Name", flag="--name") == "answer"
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Name: Name: ")


def test_a_secret_is_asked_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    person(monkeypatch, "shown\n")
    monkeypatch.setattr("ble_ota.cli.common.getpass", lambda question: f"hidden {question}")
    assert common().ask("Password", flag="", secret=True) == "hidden Password: "


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("yo\n", False)]
)
def test_only_a_yes_agrees(monkeypatch: pytest.MonkeyPatch, typed: str, agreed: bool) -> None:
    person(monkeypatch, typed)
    assert common().agree("Install this?") is agreed


def test_the_end_of_the_input_is_a_stop() -> None:
    with pytest.raises(StopAsked), interruptible():
        raise EOFError


def test_an_interrupt_at_a_question_is_a_stop() -> None:
    with pytest.raises(StopAsked), interruptible():
        signal.raise_signal(signal.SIGINT)


def test_a_termination_at_a_question_keeps_its_code() -> None:
    with pytest.raises(TerminatedError) as caught, interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 143


def test_after_a_question_signals_are_as_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


# ------------------------------------------------------------------ settings


def test_a_flag_that_was_not_given_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLE_OTA_CLOUD", "eu")
    assert common().settings(cloud=None).cloud == "eu"


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        common(config=tmp_path / "nowhere.toml").settings()


# ------------------------------------------------------------------ the log


async def logging_job() -> int:
    logging.getLogger("ble_ota.test").info("seen")
    logging.getLogger("ble_ota.test").debug("hidden")
    return 0


def test_a_log_file_takes_what_is_worth_knowing(tmp_path: Path) -> None:
    execute(common(log_file=tmp_path / "log"), logging_job)
    log = (tmp_path / "log").read_text("utf-8")
    assert "INFO ble_ota.test: seen" in log
    assert "hidden" not in log


def test_twice_verbose_logs_everything(capsys: pytest.CaptureFixture[str]) -> None:
    execute(common(verbose=2), logging_job)
    assert "hidden" in capsys.readouterr().err


def test_without_a_word_nothing_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    execute(common(), logging_job)
    assert capsys.readouterr().err == ""


def test_a_log_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(common(log_file=tmp_path / "no" / "log"), done) == 22
    assert "--log-file" in told(*capsys.readouterr()).last["hint"]


def test_a_full_disk_under_the_log_is_said_once_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async def talkative() -> int:
        for _ in range(3):
            await logging_job()
        return 10

    assert execute(common(log_file=Path("/dev/full")), talkative) == 10
    assert capsys.readouterr().err == "warning: no more is logged to /dev/full: No space left on device\n"


def test_a_log_entry_that_is_wrong_is_not_taken_for_a_full_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def wrong() -> int:
        logging.getLogger("ble_ota.test").info("%d", "no number")
        return await logging_job()

    assert execute(common(log_file=tmp_path / "log"), wrong) == 0
    assert "TypeError" in capsys.readouterr().err
    assert "INFO ble_ota.test: seen" in (tmp_path / "log").read_text("utf-8")


# ------------------------------------------------------------------ real streams


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
async def test_a_stream_that_was_closed_by_the_shell_is_no_bug(closed: str, tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"firmware")
    end = {"stdout": "1>&-", "stderr": "2>&-"}[closed]
    script = f'"{sys.executable}" -m ble_ota inspect "{tmp_path / "f.bin"}" {end}'
    assert os.WEXITSTATUS(os.system(script)) == 0  # noqa: S605, ASYNC221 -- a shell is what closes streams


async def test_a_reader_that_goes_before_the_result_costs_no_complaint(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"firmware")
    reader, writer = os.pipe()
    os.close(reader)
    process = await started("inspect", str(tmp_path / "f.bin"), "--json", stdout=writer)
    os.close(writer)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


def test_json_lines_are_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    common().result({"name": "ü\u202e"}, "")
    assert json.loads(out := capsys.readouterr().out)
    assert out.isascii()

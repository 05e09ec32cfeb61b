"""A process of `ble-ota` from outside: its readers, its signals, its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli import output, process
from tests.cli.pipes import gone, stalled

WAIT_S = 30.0
NUMBERS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

# A program around a job of a test: its constants are short, and the job says what it is at by a line on stderr.
PROGRAM = """
import asyncio, signal, sys, threading, time
from ble_ota.cli import process
from ble_ota.cli.common import Common, execute
from ble_ota.cli.run import Run
from ble_ota.events import Warned
from ble_ota.model import UpToDate

process.OUTPUT_S = process.BLOCKED_S = process.END_S = 0.5
COMMON = Common("scan", json=True)

def say(text):
    sys.stderr.write(text + "\\n")

{job}

process.main(lambda: lambda: sys.exit(execute(COMMON, job)))
"""
RUN = """
async def work():
    run.emit(Warned("begun"))
    say("begun")
    {work}
    return UpToDate("it is")

run = Run(COMMON, "update")

async def job():
    return await run.tell(work)
"""
RESULT = """
async def job():
    COMMON.result("x" * {size}, "")
    say("begun")
    return {code}
"""


@asynccontextmanager
async def program(job: str, **streams: Any) -> AsyncGenerator[Process, None]:
    given = {"stdin": DEVNULL, "stdout": PIPE, "stderr": PIPE} | streams
    process = await create_subprocess_exec(sys.executable, "-c", PROGRAM.format(job=job), **given)
    try:
        async with asyncio.timeout(WAIT_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(process: Process, text: bytes) -> None:
    assert process.stderr is not None
    while text not in (line := await process.stderr.readline()):
        assert line, "it ended before"


async def ended(job: str, **streams: Any) -> tuple[int | None, bytes | None, bytes]:
    """Its exit code, and what it wrote: to stdout, where that is a pipe of ours, and to stderr."""
    async with program(job, **streams) as process:
        out, err = await process.communicate()
    return process.returncode, out, err


def events(out: bytes | None) -> list[str]:
    return [json.loads(line)["event"] for line in (out or b"").splitlines()]


# ------------------------------------------------------------------ readers


async def test_a_reader_of_events_that_stalls_changes_neither_the_end_nor_the_exit_code() -> None:
    with stalled() as writes:
        code, _, err = await ended(RUN.format(work="pass"), stdout=writes)
    assert code == 10
    assert b"the reader of stdout does not take what is left for it" in err
    assert b"NOTHING_TO_DO: it is" in err


async def test_a_reader_of_words_that_stalls_changes_neither_the_end_nor_the_events() -> None:
    with stalled() as writes:
        code, out, _ = await ended(RUN.format(work="pass"), stderr=writes)
    assert code == 10
    assert events(out) == ["run.started", "warning", "run.finished"]


async def test_data_waits_for_a_reader_that_is_slow() -> None:
    async with program(RESULT.format(size=1_000_000, code=0)) as process:
        await until(process, b"begun")
        await asyncio.sleep(1.0)  # twice `OUTPUT_S` of the program
        out, err = await process.communicate()
    assert (process.returncode, len(json.loads(out)["data"]), err) == (0, 1_000_000, b"")


@pytest.mark.parametrize(("code", "ends"), [(0, 143), (21, 21)])
async def test_a_signal_ends_the_wait_for_the_reader_of_data(code: int, ends: int) -> None:
    with stalled() as writes:
        async with program(RESULT.format(size=10, code=code), stdout=writes) as process:
            await until(process, b"begun")
            await asyncio.sleep(0.3)  # the job has returned
            process.send_signal(signal.SIGTERM)
            await process.communicate()
    assert process.returncode == ends


@pytest.mark.parametrize("code", [0, 21])
async def test_the_exit_code_is_the_jobs_where_the_reader_has_gone(code: int) -> None:
    with gone() as writes:
        assert await ended(RESULT.format(size=10, code=code), stdout=writes) == (code, None, b"begun\n")


@pytest.mark.parametrize(("code", "ends"), [(0, 22), (10, 22), (21, 21)])
async def test_data_that_a_full_disk_does_not_take_is_an_error_unless_there_is_a_worse_one(
    code: int, ends: int
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    got, _, err = await ended(RESULT.format(size=10, code=code), stdout=full)
    os.close(full)
    assert (got, err) == (ends, b"begun\nwarning: stdout cannot be written: No space left on device\n")


async def test_lines_of_both_streams_stand_in_their_order_in_one_file(tmp_path: Path) -> None:
    job = """
async def job():
    for number in range(200):
        COMMON.result(number, "") if number % 2 else say(str(number))
    return 0
"""
    with (tmp_path / "both").open("wb") as both:
        assert (await ended(job, stdout=both, stderr=both))[0] == 0
    lines = (tmp_path / "both").read_text().splitlines()
    assert [json.loads(line)["data"] if number % 2 else int(line) for number, line in enumerate(lines)] == [*range(200)]


# ------------------------------------------------------------------ signals


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: n.name)
async def test_a_signal_ends_a_command_that_is_no_run_with_its_code(number: signal.Signals) -> None:
    job = """
async def job():
    say("begun")
    await asyncio.Event().wait()
"""
    async with program(job) as process:
        await until(process, b"begun")
        process.send_signal(number)
        out, err = await process.communicate()
    assert process.returncode == NUMBERS[number]
    assert json.loads(out)["exit_code"] == NUMBERS[number]
    assert err.startswith(b"error: stopped\n")


@pytest.mark.parametrize("job", [RUN.format(work="await asyncio.sleep(0.5)"), RESULT.format(size=1, code=10)])
async def test_a_signal_that_was_ignored_at_the_start_stays_ignored(job: str) -> None:
    def deaf() -> None:
        for number in NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    async with program(job, preexec_fn=deaf) as process:
        await until(process, b"begun")
        for number in NUMBERS:
            process.send_signal(number)
        await process.communicate()
    assert process.returncode == 10


async def test_after_the_verdict_no_signal_changes_the_code_or_adds_a_line() -> None:
    job = (
        RUN.format(work="run.hold(closes_slowly())")
        + """
from contextlib import contextmanager

@contextmanager
def closes_slowly():
    yield
    say("closing")
    for _ in range(3):
        signal.raise_signal(signal.SIGTERM)
"""
    )
    code, out, err = await ended(job)
    assert code == 10
    assert events(out)[-1] == "run.finished"
    assert err.endswith(b"NOTHING_TO_DO: it is\nclosing\n")


async def test_what_hangs_after_the_verdict_does_not_keep_the_process() -> None:
    job = (
        RUN.format(work="await run.enter(never_closed())")
        + """
from contextlib import asynccontextmanager
import ble_ota.cli.run
ble_ota.cli.run.CLOSED_S = 0.2

@asynccontextmanager
async def never_closed():
    yield
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
"""
    )
    code, out, _ = await ended(job)
    assert (code, events(out)[-1]) == (10, "run.finished")


async def test_a_task_that_does_not_end_does_not_keep_the_process() -> None:
    job = """
async def deaf():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            say("cancelled")

async def job():
    global task
    task = asyncio.ensure_future(deaf())
    await asyncio.sleep(0)
    COMMON.result(1, "")
    return 21
"""
    code, out, err = await ended(job)
    assert (code, events(out)) == (21, ["result"])
    assert b"cancelled" in err


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: n.name)
async def test_a_signal_ends_a_process_whose_loop_is_blocked(number: signal.Signals) -> None:
    # a signal between the interpreter's look and its system call is heard after the call: say so from within it
    work = "threading.Timer(0.2, say, ['asleep']).start(); time.sleep(60)"
    async with program(RUN.format(work=work)) as process:
        await until(process, b"asleep")
        process.send_signal(number)
        _, err = await process.communicate()
    assert process.returncode == NUMBERS[number]
    assert b"blocked by a disk or a system call" in err


async def test_the_deadline_ends_a_process_whose_loop_is_blocked() -> None:
    code, _, err = await ended(RUN.format(work="run.limit(0.1); time.sleep(60)"))
    assert code == 124
    assert b"blocked by a disk or a system call" in err


async def test_a_call_that_hangs_ends_with_the_deadline_and_keeps_no_process() -> None:
    code, out, err = await ended(RUN.format(work="run.limit(0.2); await asyncio.to_thread(threading.Event().wait)"))
    assert (code, events(out)[-1]) == (124, "run.finished")
    assert b"TIMEOUT: the run took longer than 0.2 s" in err


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: n.name)
async def test_a_signal_while_the_program_is_still_imported_ends_it_without_a_traceback(number: signal.Signals) -> None:
    importing = "import sys, time\nfrom ble_ota.cli import process\n"
    importing += "process.main(lambda: (sys.__stderr__.write('begun\\n'), sys.__stderr__.flush(), time.sleep(60)))"
    child = await create_subprocess_exec(sys.executable, "-c", importing, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    await until(child, b"begun")
    child.send_signal(number)
    async with asyncio.timeout(WAIT_S):
        out, err = await child.communicate()
    assert (child.returncode, out, err) == (NUMBERS[number], b"", b"")


INTERRUPTED_AT = """
import os, signal, sys
from ble_ota.cli import main
names = []
def interrupt(event, arguments):
    if event == "import" and (names or arguments[0] == "ble_ota.cli.app"):
        names.append(arguments[0])
        if len(names) == {number}:
            os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(interrupt)
sys.argv = ["ble-ota", "--version"]
main()
"""


@pytest.mark.parametrize("number", [1, 2, 10, 20])
async def test_ctrl_c_at_any_import_of_the_command_line_shows_no_traceback(number: int) -> None:
    program = INTERRUPTED_AT.format(number=number)
    child = await create_subprocess_exec(sys.executable, "-c", program, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(WAIT_S):
        out, err = await child.communicate()
    assert (child.returncode, out, err) == (130, b"", b"")


async def test_a_bug_before_the_command_is_a_traceback_and_exit_1() -> None:
    program = "from ble_ota.cli import process\nprocess.main(lambda: 1 / 0)"
    child = await create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE, stderr=PIPE)
    _, err = await child.communicate()
    assert child.returncode == 1
    assert b"ZeroDivisionError" in err


# ------------------------------------------------------------------ in other programs


def test_in_another_program_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "END_S", 0.0)
    monkeypatch.setattr(process, "BLOCKED_S", 0.0)
    monkeypatch.setattr(os, "_exit", lambda _code: pytest.fail("it was ended"))
    process.hurry(0)
    process.unless_blocked(lambda _: None, 130)
    assert output.writers(sys.stdout) == []

from __future__ import annotations

import asyncio
import errno
import io
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from ble_ota.cli import output
from ble_ota.cli.common import Common
from ble_ota.cli.journal import Journal
from ble_ota.cli.output import Kind
from ble_ota.cli.render import Screen
from ble_ota.cli.run import Run, as_line
from ble_ota.errors import DeviceSilentError, StopAsked, StorageError
from ble_ota.events import (
    DeviceRebooting,
    DeviceVerified,
    DownloadStarted,
    ImageVerified,
    LinkConnected,
    PlanDecided,
    PlanShown,
    RunStarted,
    StatusReported,
    TransferProgress,
    TransferStarted,
    Warned,
)
from ble_ota.ledger import Ending, Entry
from ble_ota.model import Blocked, Declined, DeviceInfo, FetchPlan, Outcome, Plan, UpToDate
from tests.cli.desk import Told, told

PLAN = Plan(DeviceInfo("", "", "p", "d", {}), FetchPlan("7", "p", "d", ()), ())


def run(*, json: bool = True) -> Run:
    return Run(Common("update", json=json), "update", "p/d")


async def ended(job: Callable[[], Awaitable[Outcome]], capsys: pytest.CaptureFixture[str]) -> tuple[int, Told]:
    code = await run().tell(job)
    return code, told(*capsys.readouterr())


@pytest.mark.parametrize(
    ("outcome", "code", "verdict", "reason"),
    [
        (UpToDate("it runs it"), 10, "NOTHING_TO_DO", "up_to_date"),
        (Declined(PLAN), 11, "DECLINED", "declined"),
        (Blocked("it would go down", "allow it"), 12, "REFUSED", "policy"),
    ],
)
async def test_an_outcome_has_its_verdict(
    outcome: Outcome, code: int, verdict: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def job() -> Outcome:
        return outcome

    got, said = await ended(job, capsys)
    assert (got, said.last["exit_code"], said.last["verdict"], said.last["reason"]) == (code, code, verdict, reason)


async def test_lines_are_numbered_without_a_gap_and_name_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    async def job() -> Outcome:
        return UpToDate("")

    _, said = await ended(job, capsys)
    assert [line["seq"] for line in said.lines] == [1, 2]
    assert len({line["run"] for line in said.lines}) == 1


def test_a_line_tells_its_time_in_utc_to_the_millisecond() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 6789, UTC)
    assert as_line(RunStarted("update", "1"), run="r", device="d", seq=1, at=at)["ts"] == "2026-01-02T03:04:05.006Z"


async def test_a_bug_ends_in_a_verdict_and_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    async def job() -> Outcome:
        msg = "nobody expected this"
        raise KeyError(msg)

    code, said = await ended(job, capsys)
    assert (code, said.last["verdict"], said.last["reason"], said.last["exit_code"]) == (1, "ERROR", "bug", 1)
    assert "Traceback (most recent call last)" in said.words
    assert "This is a bug in ble-ota" in said.words


async def test_a_named_error_has_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    async def job() -> Outcome:
        msg = "the device says nothing"
        raise DeviceSilentError(msg)

    code, said = await ended(job, capsys)
    assert code == 31
    assert "Traceback" not in said.words
    assert said.words.endswith(f"ERROR: the device says nothing\n\nhint: {DeviceSilentError.hint}\n")


@pytest.mark.looptime
async def test_the_deadline_ends_a_run_that_hangs(capsys: pytest.CaptureFixture[str]) -> None:
    it = run()

    async def job() -> Outcome:
        it.limit(60)
        await asyncio.Event().wait()
        raise AssertionError

    assert await it.tell(job) == 124
    last = told(*capsys.readouterr()).last
    assert (last["verdict"], last["reason"], last["message"]) == (
        "TIMEOUT",
        "deadline",
        "the run took longer than 60 s",
    )


async def test_a_time_out_that_is_not_the_deadlines_is_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    async def job() -> Outcome:
        raise TimeoutError

    code, said = await ended(job, capsys)
    assert (code, said.last["reason"]) == (1, "bug")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_aborts_the_run(number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    async def job() -> Outcome:
        signal.raise_signal(number)
        await asyncio.Event().wait()
        raise AssertionError

    got, said = await ended(job, capsys)
    assert (got, said.last["verdict"], said.last["reason"], said.last["exit_code"]) == (
        code,
        "ABORTED",
        "stopped",
        code,
    )


async def test_after_a_run_the_task_is_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    async def job() -> Outcome:
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()
        raise AssertionError

    await ended(job, capsys)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_stop_at_a_question_is_an_abort(capsys: pytest.CaptureFixture[str]) -> None:
    async def job() -> Outcome:
        msg = "stopped at a question"
        raise StopAsked(msg)

    code, said = await ended(job, capsys)
    assert (code, said.last["verdict"]) == (130, "ABORTED")


async def test_a_cancellation_from_elsewhere_is_passed_on() -> None:
    async def job() -> Outcome:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run().tell(job)


class Broken(Journal):
    """A journal whose last word cannot be written, for this reason."""

    why: BaseException | None

    @classmethod
    def by(cls, why: BaseException | None) -> Broken:
        broken = cls.__new__(cls)
        broken.why, broken.ended = why, False
        return broken

    def note(self, entry: Entry) -> None:
        """It takes anything."""

    async def finish(self, ending: Ending) -> None:
        if self.why is None:
            await asyncio.Event().wait()
        else:
            raise self.why


async def up_to_date() -> Outcome:
    return UpToDate("it runs it")


@pytest.mark.looptime
@pytest.mark.parametrize("why", [StorageError("the disk is full"), None], ids=["an error", "hangs"])
async def test_a_verdict_that_cannot_be_written_is_not_told(
    why: StorageError | None, capsys: pytest.CaptureFixture[str]
) -> None:
    it = run()
    it.journal = Broken.by(why)
    assert await it.tell(up_to_date) == 22
    last = told(*capsys.readouterr()).last
    assert (last["verdict"], last["reason"]) == ("ERROR", "storage")
    assert "what could not be written down: NOTHING_TO_DO" in last["message"]


async def test_a_bug_while_the_verdict_is_written_ends_in_one_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    it = run()
    it.journal = Broken.by(KeyError("nobody expected this"))
    assert await it.tell(up_to_date) == 1
    said = told(*capsys.readouterr())
    assert (said.last["verdict"], said.last["reason"]) == ("ERROR", "bug")
    assert said.names.count("run.finished") == 1


async def test_a_bug_in_what_comes_afterwards_leaves_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    async def afterwards() -> None:
        raise KeyError("nobody expected this")

    it = run()
    it.afterwards = afterwards
    assert await it.tell(up_to_date) == 10
    said = told(*capsys.readouterr())
    assert said.last["verdict"] == "NOTHING_TO_DO"
    assert "This is a bug in ble-ota" in said.words


class Gone(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, _text: str, /) -> int:
        raise BrokenPipeError


async def test_a_closed_stdout_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Gone())
    it = run()

    async def job() -> Outcome:
        it.emit(Warned("still here"))
        return UpToDate("")

    assert await it.tell(job) == 10


async def test_a_terminal_that_goes_under_a_bar_does_not_cost_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    it = run()

    async def job() -> Outcome:
        monkeypatch.setattr(Screen, "close", gone)
        return UpToDate("it runs it")

    def gone(_screen: Screen) -> None:
        raise OSError(errno.EIO, "")

    assert await it.tell(job) == 10
    assert told(capsys.readouterr().out, "").last["verdict"] == "NOTHING_TO_DO"


def test_a_closed_stderr_does_not_cost_the_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr", Gone())
    run().emit(Warned("heard"))
    assert told(capsys.readouterr().out, "").last["message"] == "heard"


def test_events_go_to_the_log_and_progress_to_its_finest(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    it = run(json=False)
    it.emit(TransferStarted("MAIN", 10))
    it.emit(TransferProgress("MAIN", 5, 10, 1))
    assert [(r.levelname, r.message.count("transfer.")) for r in caplog.records] == [("INFO", 1), ("DEBUG", 1)]


def test_a_reader_that_stalls_loses_progress_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = list[Kind]()
    monkeypatch.setattr(output, "write", lambda _stream, _text, kind=Kind.LINE: kinds.append(kind))
    it = run()
    it.emit(TransferStarted("MAIN", 10))
    kinds.clear()
    it.emit(TransferProgress("MAIN", 10, 10, 1))
    assert kinds == [Kind.PROGRESS, Kind.PROGRESS]  # for people, and for programs


# ------------------------------------------------------------------ the sums of run.finished


async def finished(capsys: pytest.CaptureFixture[str], *events: TransferStarted | TransferProgress) -> Told:
    it = run()

    async def job() -> Outcome:
        for event in events:
            it.emit(event)
        return UpToDate("")

    await it.tell(job)
    return told(*capsys.readouterr())


async def test_bytes_of_a_link_that_broke_were_sent_again(capsys: pytest.CaptureFixture[str]) -> None:
    events = TransferStarted("A", 100), TransferProgress("A", 40, 100, 1), TransferStarted("A", 100)
    last = (await finished(capsys, *events, TransferProgress("A", 100, 100, 1))).last
    assert (last["bytes_sent"], last["bytes_resent"]) == (140, 40)


async def test_bytes_resent_within_a_link_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    last = (await finished(capsys, TransferStarted("A", 100), TransferProgress("A", 100, 100, 1, 20))).last
    assert (last["bytes_sent"], last["bytes_resent"]) == (120, 20)


async def test_bytes_resent_of_each_file_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = TransferProgress("A", 50, 100, 1, 20), TransferProgress("A", 50, 100, 1)
    events = TransferStarted("A", 100), first, second, TransferProgress("A", 100, 100, 1, 10)
    last = (await finished(capsys, *events)).last
    assert (last["bytes_sent"], last["bytes_resent"]) == (130, 30)


async def test_another_component_is_no_second_try(capsys: pytest.CaptureFixture[str]) -> None:
    first = TransferStarted("A", 100), TransferProgress("A", 100, 100, 1)
    last = (await finished(capsys, *first, TransferStarted("B", 50), TransferProgress("B", 50, 50, 1))).last
    assert (last["bytes_sent"], last["bytes_resent"]) == (150, 0)


async def test_every_phase_has_its_seconds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr("ble_ota.cli.tally.time.monotonic", lambda: clock[0])
    it = run()
    events = (
        PlanShown("7", []),
        PlanDecided("approved", "--yes"),
        DownloadStarted("A", 1),
        ImageVerified("A", 1, "0" * 64, "raw"),
        LinkConnected("", "transfer"),
        TransferStarted("A", 1),
        DeviceRebooting("A", "disconnected"),
        LinkConnected("", "verify"),
        DeviceVerified("A", "1", "device"),
        StatusReported("A", "succeeded", 9),
    )

    async def job() -> Outcome:
        for at, event in enumerate(events, 1):
            clock[0] += at
            it.emit(event)
        clock[0] += 0.5
        return UpToDate("")

    await it.tell(job)
    phases = {"identify": 1, "consent": 2, "confirm": 3, "download": 4, "connect": 11, "transfer": 7, "reboot": 8}
    wanted = {**phases, "verify": 9, "report": 10.5}
    assert told(*capsys.readouterr()).last["seconds"] == pytest.approx(wanted, abs=0.2)

"""`--record FILE`: a run's transcript, written while it happens."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from ble_ota.cli.output import Kind, Writer
from ble_ota.cli.verdict import Ended, aborted, of_error, of_outcome
from ble_ota.errors import BleOtaError, StopAsked, StorageError
from ble_ota.events import Emit, Verdict, Warned
from ble_ota.install import Patience
from ble_ota.model import Outcome
from ble_ota.settings import Settings
from ble_ota.tape import Recorder
from ble_ota.target import Target
from ble_ota.transcript import FILE_MAX_BYTES

if TYPE_CHECKING:
    from ble_ota.cli.run import Run

MARK, HEAD_BYTES = b'"transcript":"ble-ota"', 100  # how every transcript begins
BEGUN_S = 20.0  # our choice: for the first line; a disk that was asleep turns up within 10 s
CLOSED_S = 5.0  # our choice: for the last ones
MODE = 0o600  # names and addresses of devices are nobody else's business


@dataclass(slots=True)
class _Sink:
    """Has lines written to a file, by a thread, until that cannot be done, which it says once."""

    writer: Writer
    name: Path
    emit: Emit
    left: int
    """Bytes it may still have; below 0 it has been given up."""

    def write(self, line: str) -> None:
        """Write one line; ASCII, as json makes it."""
        if self.left < len(line):
            self._give_up(f"it would have more than {FILE_MAX_BYTES} bytes")
            return
        self.left -= len(line)
        self.writer.put(line.encode("ascii"), Kind.DATA)  # `left` is the bound
        if self.writer.error is not None:
            self._give_up(self.writer.error.strerror or str(self.writer.error))

    async def begun(self) -> None:
        """Wait until what was written so far is in the file. Raises `StorageError`."""
        written = await asyncio.to_thread(self.writer.drain, BEGUN_S)
        with _storage(self.name):
            if self.writer.error is not None:
                raise self.writer.error
            if not written:
                raise TimeoutError(errno.ETIMEDOUT, "its disk does not answer")

    async def close(self) -> None:
        """Write what is left, for `CLOSED_S` at most."""
        written = await asyncio.to_thread(self.writer.close, CLOSED_S)
        if self.writer.error is not None:
            self._give_up(self.writer.error.strerror or str(self.writer.error))
        elif not written:
            self._give_up("its disk does not take it")

    def _give_up(self, why: str) -> None:
        if self.left >= 0:
            self.left = -1
            self.emit(Warned(f"the transcript {self.name} ends here and cannot be replayed: {why}"))


def recorded(
    run: Run, file: Path | None, job: Callable[[Recorder | None], Awaitable[Outcome]]
) -> Callable[[], Awaitable[Outcome]]:
    """Do `job` with a recorder that writes into `file`; with none if there is no `file`.

    The job raises `StorageError` before it begins if the file cannot be written, or is something else.
    """

    async def recording() -> Outcome:
        if file is None:
            return await job(None)
        sink = await asyncio.to_thread(_opened, file, run.emit)
        recorder = Recorder(sink.write, asyncio.get_running_loop().time)
        try:
            recorder.begin(run.command)
            await sink.begun()
            return await _ended(recorder, job)
        finally:
            await sink.close()

    return recording


def meet(recorder: Recorder | None, target: Target, settings: Settings, patience: Patience) -> None:
    """Tell the recorder which device was found, and how it will be spoken to."""
    if recorder is None:
        return
    options = settings.quecthing.model_dump(mode="json") if target.driver.name == "quecthing" else {}
    keys = target.product_key, target.device_key
    recorder.meet(target.advert, keys, target.driver.name, options, asdict(patience))


async def _ended(recorder: Recorder, job: Callable[[Recorder | None], Awaitable[Outcome]]) -> Outcome:
    """Do the job, and write down how it ended."""
    ended = aborted(StopAsked.exit_code)  # by a signal or the deadline; which of them, is not known here
    try:
        outcome = await job(recorder)
        ended = of_outcome(outcome)
    except BleOtaError as error:
        ended = of_error(error)
        raise
    except Exception:
        ended = Ended(Verdict.ERROR, "bug", 1, "")
        raise
    finally:
        recorder.end(ended.verdict.value, ended.reason, ended.exit_code)
    return outcome


def _opened(file: Path, emit: Emit) -> _Sink:
    """Open `file` for a transcript, new or in the place of another one. Raises `StorageError`. May block."""
    with _storage(file):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), MODE)
        try:
            if not _may_be_overwritten(descriptor):
                msg = f"{file} is there already, and is no transcript; it is left as it is"
                raise StorageError(msg, hint="Name another file by `--record`")
            file.chmod(MODE)
            os.truncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
        except BaseException:
            os.close(descriptor)
            raise
        return _Sink(Writer(FileIO(descriptor, "w"), "the transcript"), file, emit, FILE_MAX_BYTES)


def _may_be_overwritten(descriptor: int) -> bool:
    """Whether it is an empty file, or a transcript: a firmware file named by mistake must stay."""
    there = os.fstat(descriptor)
    return stat.S_ISREG(there.st_mode) and (not there.st_size or MARK in os.read(descriptor, HEAD_BYTES))


@contextmanager
def _storage(file: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        msg = f"the transcript {file} cannot be written: {error.strerror or error}"
        raise StorageError(msg, hint="Name another file by `--record`") from error

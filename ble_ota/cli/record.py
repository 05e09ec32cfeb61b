"""`--record FILE`: a run's transcript, written while it happens."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

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
MODE = 0o600  # names and addresses of devices are nobody else's business


@dataclass(slots=True)
class _Sink:
    """Writes lines to a file until it cannot, which it says once."""

    file: TextIOWrapper
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
        try:
            self.file.write(line)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def close(self) -> None:
        """Write what is left in the buffer."""
        try:
            self.file.close()
        except OSError as error:
            self._give_up(error.strerror or str(error))

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
            with _storage(file):
                sink.file.flush()
            return await _ended(recorder, job)
        finally:
            sink.close()

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
    """Open `file` for a transcript, new or in the place of another one. Raises `StorageError`."""
    with _storage(file):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, MODE)
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
        return _Sink(os.fdopen(descriptor, "w", encoding="ascii", newline="\n"), file, emit, FILE_MAX_BYTES)


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

"""The log of a command: to stderr, or to a file that a thread writes, so that its disk holds up nothing."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ble_ota.cli import output
from ble_ota.cli.output import Kind, Writer
from ble_ota.errors import StorageError

CLOSED_S = 5.0  # our choice: a disk that works takes the last lines in milliseconds


@contextmanager
def logged(file: Path | None, verbose: int) -> Generator[None, None, None]:
    """Log for the block.

    Args:
        file: Where to; with none the log goes to stderr, if `verbose` is not 0.
        verbose: 0 logs warnings (to a file also what is worth knowing), 1 that too, 2 everything.

    Raises:
        StorageError: The file cannot be written.
    """
    handler = _log_to(file, verbose)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    before, was = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(level if file is None else min(level, logging.INFO))
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(was)
        handler.close()


def _log_to(file: Path | None, verbose: int) -> logging.Handler:
    try:
        if file is not None:
            return _LogFile(file)
    except OSError as error:
        msg = f"the log file {file} cannot be written: {error.strerror}"
        raise StorageError(msg, hint="Name another one by `--log-file`") from error
    return logging.StreamHandler(sys.stderr) if verbose else logging.NullHandler()


class _LogFile(logging.Handler):
    """A log that goes deaf when its disk says no, and says so once: a run is worth more than its log."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._name = file.absolute()
        self._raw = io.FileIO(file, "a")
        self._writer = Writer(self._raw, "the log")
        self._deaf = False

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001 -- as every handler of the standard library
            self.handleError(record)
            return
        self._writer.put(line.encode("utf-8", "backslashreplace"), Kind.LINE)
        self._complain()

    def _complain(self) -> None:
        error = self._writer.error
        if self._deaf or (error is None and not self._writer.lost):
            return
        self._deaf = True
        why = error.strerror if error is not None else "its disk does not take it"
        output.write(sys.stderr, f"warning: no more is logged to {self._name}: {why}\n")

    def close(self) -> None:
        """See `logging.Handler`; what could not be written by then is given up."""
        super().close()
        if not self._writer.closed:
            self._writer.close(CLOSED_S)
            self._complain()

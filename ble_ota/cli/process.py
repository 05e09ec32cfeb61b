"""One process of `ble-ota`, from its first line to its exit code. It imports little: signals are heard from the start.

::

    signals end it at once ──► imports ──► the command, with handlers of its own ──► its exit code
                                                │ cleaning up hangs: `END_S`            │
                                                └──────────────────────────────► output is written: `OUTPUT_S`

Data that a command was asked for waits for its reader, as in any pipe (`history list | less`), until a signal comes.
Events of a run do not: its verdict stands.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import NoReturn

from ble_ota.cli import output, signals

BLOCKED_S = 20.0  # our choice: a loop that has not answered by then is blocked by a disk, and not merely busy
END_S = 10.0  # our choice: links are closed within 2 s each, locks and files at once
OUTPUT_S = 5.0  # our choice: a reader that lives takes the last lines in milliseconds
COMPLAINT_S = 1.0  # our choice: for one line
JOIN_S = 0.2  # our choice: threads that are told to end do so in milliseconds
LOOK_S = 0.1  # our choice: between two looks at a reader; on Windows a signal is heard between them only
WATCH = "watch"  # name of threads that only wait
STORAGE = 22  # exit code, see `StorageError`

_in_charge = False  # whether `main` runs this process; never in tests and in other programs
_cleaned = threading.Event()  # the command has returned
_decided = False  # the command's exit code is known, and no signal changes it
_at_question = False
_asked: list[signal.Signals] = []  # signals that came after that


def main(load: Callable[[], Callable[[], object]]) -> NoReturn:
    """Run a command line and end the process with its exit code.

    Args:
        load: Imports the command line, and returns what runs it.
    """
    global _in_charge
    _in_charge = True
    with signals.handled(_heard):
        output.install()
        _end(_code(load))


def hurry(code: int) -> None:
    """End the process with `code` in `END_S` seconds, also if a thread or a link still hangs. The verdict is told."""
    global _decided
    if not _in_charge:
        return
    _decided = True

    def watch() -> None:
        if not _cleaned.wait(END_S):
            os._exit(_deliver(code, until_taken=False))

    threading.Thread(target=watch, name="end", daemon=True).start()


@contextmanager
def asking() -> Generator[None, None, None]:
    """Let a question block the loop during the block: a person may take any time."""
    global _at_question
    _at_question = True
    try:
        yield
    finally:
        _at_question = False


def unless_blocked(soon: Callable[[Callable[[], object]], object], code: int, *, after_s: float = 0.0) -> None:
    """End the process with `code` if its loop is blocked: a last resort, where a signal or the deadline is not heard.

    Args:
        soon: The loop's `call_soon_threadsafe`; one that raises RuntimeError is closed, and not blocked.
        code: Exit code.
        after_s: Seconds from now at which the loop is asked for an answer. It has `BLOCKED_S` for that.
    """
    if not _in_charge:
        return

    def watch() -> None:
        time.sleep(after_s)
        answered = threading.Event()
        with suppress(RuntimeError):
            soon(answered.set)
            if not answered.wait(BLOCKED_S) and not _at_question and not _decided:
                output.write(sys.stderr, "error: this process is blocked by a disk or a system call, and is ended\n")
                os._exit(_deliver(code, until_taken=False))

    threading.Thread(target=watch, name=WATCH, daemon=True).start()


def _heard(number: signal.Signals) -> None:
    """End the process at once, or its wait for readers if the command's exit code is known."""
    if not _decided:
        os._exit(signals.CODES[number])
    _asked.append(number)


def _code(load: Callable[[], Callable[[], object]]) -> int:
    try:
        load()()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:  # noqa: BLE001 -- a bug before the command began
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """Write what is left, and end. A signal no longer changes the exit code of a run; it ends the wait."""
    global _decided
    _decided = True
    _cleaned.set()
    code = _deliver(code, until_taken=True)
    if _stuck():
        os._exit(code)  # the interpreter's own end would wait for locks that such threads hold
    output.remove()
    raise SystemExit(code)


def _deliver(code: int, *, until_taken: bool) -> int:
    """Give the readers time to take what is left; return the exit code, which lost data changes."""
    out, err = output.writers(sys.stdout), output.writers(sys.stderr)
    for writer in out:
        until = time.monotonic() + OUTPUT_S
        while not writer.drain(LOOK_S) and not _asked:
            if time.monotonic() > until and not (until_taken and writer.waits_for_data):
                break
        if _asked and writer.waits_for_data and code == 0:
            return signals.CODES[_asked[0]]
        if _asked:
            writer.drain(COMPLAINT_S)
        if complaint := _complaint(writer):
            output.write(sys.stderr, f"warning: {complaint}\n")
            code = STORAGE if output.Kind.DATA in writer.lost and code in (0, 10) and not _gone(writer) else code
    for writer in err:
        writer.drain(COMPLAINT_S if writer.error or _asked else OUTPUT_S)
    return code


def _complaint(writer: output.Writer) -> str:
    """Say what was not written to stdout, and why; "" where all was, or where the reader has gone by its own will."""
    if writer.error is not None:
        return "" if _gone(writer) else f"stdout cannot be written: {writer.error.strerror}"
    if writer.waiting:
        return f"the reader of stdout does not take what is left for it, {writer.waiting} bytes"
    if output.Kind.LINE in writer.lost:
        return "the reader of stdout was too slow: lines are missing"
    return ""


def _gone(writer: output.Writer) -> bool:
    return writer.error is not None and (writer.error.errno or errno.EPIPE) in output.GONE


def _stuck() -> bool:
    """Return True if a thread hangs that the interpreter could meet at its end; those that are ending may do so."""
    writers = output.writers(sys.stdout, sys.stderr)
    idle = {w.thread for w in writers if not w.waiting}
    threads = [t for t in threading.enumerate() if t.daemon and t is not threading.current_thread() and t not in idle]
    threads = [t for t in threads if t.name != WATCH]
    until = time.monotonic() + JOIN_S
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return any(t.is_alive() for t in threads)

"""Signals that stop a command: which there are, which were ignored at the start, and how each ends the process.

A signal that is ignored when the process starts stays ignored: `nohup` ignores SIGHUP, and a shell without job
control ignores SIGINT in a command that it starts with `&`. Handlers are set by `signal.signal`, which Windows has too.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ble_ota.errors import StopAsked

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from socket import socket

CODES: Mapping[signal.Signals, int] = {
    s: 128 + s for name in ("SIGINT", "SIGTERM", "SIGHUP") if (s := getattr(signal, name, None))
}


class TerminatedError(StopAsked):
    """SIGTERM."""

    exit_code = 143


class HungUpError(StopAsked):
    """SIGHUP, or a terminal that was closed at a question."""

    exit_code = 129


_ERRORS: Mapping[int, type[StopAsked]] = {error.exit_code: error for error in (StopAsked, TerminatedError, HungUpError)}


def stopped(number: signal.Signals, sentence: str, *, hint: str | None = None) -> StopAsked:
    """Return the error of a command that `number` ended; without `hint` it has that of its class."""
    return _ERRORS[CODES[number]](sentence, hint=hint)


def listened() -> list[signal.Signals]:
    """Return the stop signals that this process does not ignore; none outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [number for number in CODES if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def handled(
    handler: Callable[[signal.Signals], object], loop: AbstractEventLoop | None = None
) -> Generator[None, None, None]:
    """Call `handler` for each stop signal during the block; the handlers before it are set again afterwards.

    Args:
        handler: Runs in the main thread between any two of its instructions, as for `signal.signal`.
        loop: The loop that runs in the main thread, if one does; it is woken up so that `handler` runs at once.
    """
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in listened()}
    for number in before:
        signal.signal(number, lambda n, _frame: handler(signal.Signals(n)))
    try:
        with _waking(loop if before else None):
            yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


@contextmanager
def _waking(loop: AbstractEventLoop | None) -> Generator[None, None, None]:
    """Have each signal wake up `loop`. One that comes just before its system call would be heard after it only."""
    if loop is None:
        yield
        return
    from socket import socketpair  # here: no signal is heard before this module is imported

    reads, writes = socketpair()
    with reads, writes:
        reads.setblocking(False)
        writes.setblocking(False)
        try:
            loop.add_reader(reads, _read, reads)
        except NotImplementedError:  # Windows: that loop wakes up by itself
            yield
            return
        earlier = signal.set_wakeup_fd(writes.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            try:
                signal.set_wakeup_fd(earlier)
            except (OSError, ValueError):  # of another run of this process, which has ended meanwhile
                signal.set_wakeup_fd(-1)
            loop.remove_reader(reads)


def _read(reads: socket) -> None:
    with suppress(BlockingIOError):
        reads.recv(4096)


def let_go() -> None:
    """Let the next stop signal end the process at once."""
    for number in listened():
        signal.signal(number, signal.SIG_DFL)

"""Threads for calls that may block, which never keep the process alive.

`asyncio.to_thread` uses the loop's default executor. The one of the standard library is waited for when the loop
closes and again when the interpreter ends, so one read of a hung disk, a FIFO or a name server would keep a process
whose verdict stands. `DaemonThreads` takes its place: a cancelled call is left behind, and dies with the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SHUTDOWN_S = 1.0  # our choice: a call that works on is done by then; one that hangs never is


def start(work: Callable[[], T], name: str) -> Future[T]:
    """Run `work` in a daemon thread of its own.

    Args:
        work: May block; its result or exception goes into the future.
        name: Name of the thread.
    """
    future = Future[T]()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 -- raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def call(work: Callable[[], T], *, within_s: float, name: str) -> T:
    """Run `work` in a daemon thread and wait for its result; the calling thread blocks, so never call it on a loop.

    Args:
        work: May block.
        within_s: Seconds to wait; the thread is left behind after that.
        name: Name of the thread.

    Raises:
        TimeoutError: `work` did not return in time.
    """
    future = start(work, name)
    try:
        return future.result(within_s)
    except TimeoutError:
        if future.done():
            return future.result()  # it ended just now, or `work` itself raised a TimeoutError
        raise


class DaemonThreads(ThreadPoolExecutor):
    """A default executor for a loop: each call has a daemon thread of its own, so a hung one holds up no other."""

    def __init__(self, name: str) -> None:
        """Prepare; `name` is that of the threads."""
        super().__init__(max_workers=1)  # unused: `submit` starts the threads
        self._name = name
        self._running: set[object] = set()
        self._lock = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `Executor.submit`."""
        future: Future[T] = start(lambda: fn(*args, **kwargs), self._name)
        with self._lock:
            self._running.add(future)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: object) -> None:
        with self._lock:
            self._running.discard(future)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait `SHUTDOWN_S` for calls that are running, if `wait`; those that take longer are left behind."""
        _ = cancel_futures  # each call is running
        until = time.monotonic() + SHUTDOWN_S
        while wait and self._running and time.monotonic() < until:
            time.sleep(0.01)

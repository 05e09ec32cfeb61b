"""A thread for what blocks, which nobody waits for at the end of the process.

`ThreadPoolExecutor`'s are waited for, and one that hangs on its disk would keep a process whose work is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OneThread(Executor):
    """Does one thing after the other, in the order in which they were submitted."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._due: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `Executor.submit`; after `shutdown` nothing comes of it."""
        future = Future[T]()

        def due() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 -- whoever waits for it hears of it
                future.set_exception(error)

        self._due.put(due)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the thread end after what is submitted; neither waited for nor cancelled."""
        _ = wait, cancel_futures
        self._due.put(None)

    def _work(self) -> None:
        while (due := self._due.get()) is not None:
            due()

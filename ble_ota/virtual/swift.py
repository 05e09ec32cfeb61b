"""Time that is not waited for: a loop whose clock leaps to whatever is due next."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SwiftLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits for a timer. Not for what is at work elsewhere: threads, processes, sockets."""

    def __init__(self) -> None:
        """Begin at second 0."""
        self._now_s = 0.0
        super().__init__(_Leaping(self))

    def time(self) -> float:
        """Seconds since its beginning, as far as leaps have brought it."""
        return self._now_s

    def leap(self, by_s: float) -> None:
        """Let time pass, and a hair more: what is due at a time must be past at it, however large the number."""
        self._now_s = math.nextafter(self._now_s + by_s, math.inf)


class _Leaping(selectors.DefaultSelector):
    """Leaps where another would wait."""

    def __init__(self, loop: SwiftLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; if nothing is, the time that was to be waited for has passed."""
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self._loop.leap(timeout)
        return ready


def swiftly(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in a loop of its own, in no time; not inside a running loop, but in another thread."""
    with asyncio.Runner(loop_factory=SwiftLoop) as runner:
        return runner.run(main)

"""How fast we ask: so many calls at once, so many a second, and a rest for all when the server wants one."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Pace:
    """Gives turns, in the order they are asked for."""

    def __init__(self, *, at_once: int, per_s: float) -> None:
        """Allow `at_once` turns at a time, and `per_s` of them to begin within any second.

        Raises:
            ValueError: One of them is not above 0.
        """
        if at_once < 1 or per_s <= 0:
            msg = "calls at once and calls per second are above 0"
            raise ValueError(msg)
        self.at_once = at_once
        self._room = asyncio.Semaphore(at_once)
        self._next = asyncio.Lock()  # held by the one turn that may begin next; who is cancelled leaves nothing behind
        at_first = max(1, int(per_s))  # a person's handful of calls never waits
        self._window_s = at_first / per_s
        self._begun = deque[float](maxlen=at_first)  # loop times of the last turns
        self._rest_ends = -math.inf

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Wait for a turn, and hold it for the block."""
        async with self._room:
            async with self._next:
                now = asyncio.get_running_loop().time()
                while (begins := self._earliest()) > now:  # again: a rest may be asked for while this one waits
                    await asyncio.sleep(begins - now)
                    now = begins
                self._begun.append(now)
            yield

    def rest(self, seconds: float) -> None:
        """Let no turn begin for so long, also none that waits already."""
        self._rest_ends = max(self._rest_ends, asyncio.get_running_loop().time() + seconds)

    def _earliest(self) -> float:
        """When the next turn may begin, by the loop's clock."""
        full = len(self._begun) == self._begun.maxlen
        return max(self._rest_ends, self._begun[0] + self._window_s if full else -math.inf)

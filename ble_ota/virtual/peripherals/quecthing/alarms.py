"""What is to be done later: one thing per name, in the time of the running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

Action: TypeAlias = Callable[[], None]


class Alarms:
    """Timers that replace each other by name."""

    def __init__(self, do: Callable[[Action], None]) -> None:
        """Let `do` carry out what is due."""
        self._do = do
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def set(self, name: str, after_s: float, action: Action) -> None:
        """Do `action` in `after_s` seconds, in the place of what was to be done under `name`."""
        self.stop(name)
        self._timers[name] = asyncio.get_running_loop().call_later(after_s, self._ring, name, action)

    def stop(self, name: str) -> None:
        """Do nothing under `name`."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def stop_all(self) -> None:
        """Do nothing more."""
        for name in tuple(self._timers):
            self.stop(name)

    def _ring(self, name: str, action: Action) -> None:
        del self._timers[name]
        self._do(action)

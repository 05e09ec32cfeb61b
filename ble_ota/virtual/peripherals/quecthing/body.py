"""What the file transfer needs of the device around it, and what it counts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ble_ota.virtual.peripherals.quecthing.boot import Boot
from ble_ota.virtual.peripherals.quecthing.habits import Habits
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields
from ble_ota.virtual.world import World


@dataclass(slots=True)
class Stats:
    """What has happened in the life of this object."""

    frames_good: int = 0
    frames_bad: int = 0
    """Not frames, or frames that nobody could read: cut, wrong sum, not encrypted as agreed, not TTLV."""
    announced: int = 0
    """Notifications of files that it could take."""
    busy: int = 0
    """Of these: declined as busy."""
    packets: int = 0
    """Packets that were understood."""
    duplicates: int = 0
    """Of these: packets that brought nothing new."""
    ignored: int = 0
    """Packets that came when none was due, or are larger than dictated."""
    bytes: int = 0
    """New bytes stored."""
    successes: int = 0
    """How often it said "received, success"."""


class Body(Protocol):
    """What the receiver needs of the device around it."""

    habits: Habits
    world: World
    stats: Stats
    chance: random.Random

    @property
    def boot(self) -> Boot:
        """Its memory."""
        ...

    @property
    def room(self) -> int:
        """Bytes one indication may carry."""
        ...

    def say(self, command: int, fields: Fields, *, reply_to: int | None = None) -> int:
        """Send a frame; returns its packet id."""
        ...

    def mutter(self, value: bytes) -> None:
        """Send bytes as they are, over as many indications as it takes."""
        ...

    def log(self, text: str) -> None:
        """Say something on the log characteristic."""
        ...

    def alarm(self, after_s: float, action: Callable[[], None], *, of: str = "transfer") -> None:
        """Call `action` later, in the place of what was to be called before under the same name."""
        ...

    def no_alarm(self) -> None:
        """Call nothing later for the transfer."""
        ...

    def fall_silent(self) -> None:
        """Neither speak nor listen on this link any more."""
        ...

    def restart(self) -> None:
        """Reboot."""
        ...

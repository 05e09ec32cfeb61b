"""What the file transfer needs of the device around it, what it waits for, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ble_ota.virtual.peripherals.quecthing.boot import Boot
from ble_ota.virtual.peripherals.quecthing.habits import Habits
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields
from ble_ota.virtual.world import World


class Phase(Enum):
    """What the receiver waits for."""

    IDLE = "a notification"
    RECEIVING = "a packet"
    PAUSED = "the end of its own pause"
    HELD = "the end of the host's pause"
    FINISHED = "the word of the host that it knows"
    SETTLING = "a further file, or the reboot"


@dataclass(slots=True)
class Stats:
    """What has happened since power came on first."""

    frames_good: int = 0
    frames_bad: int = 0
    """Not frames, or frames that nobody could read: cut, wrong sum, not encrypted as agreed, not TTLV."""
    packets: int = 0
    """Packets that were understood."""
    duplicates: int = 0
    """Of these: packets that brought nothing new."""
    ignored: int = 0
    """Packets that came when none was due, or are larger than dictated."""
    bytes: int = 0
    """New bytes stored."""


class Body(Protocol):
    """What the receiver needs of the device around it."""

    habits: Habits
    world: World
    stats: Stats

    @property
    def boot(self) -> Boot:
        """Its memory."""
        ...

    def say(self, command: int, fields: Fields, *, reply_to: int | None = None) -> int:
        """Send a frame; returns its packet id."""
        ...

    def log(self, text: str) -> None:
        """Say something on the log characteristic."""
        ...

    def alarm(self, after_s: float, action: Callable[[], None]) -> None:
        """Call `action` later, in the place of what was to be called before."""
        ...

    def no_alarm(self) -> None:
        """Call nothing later."""
        ...

    def fall_silent(self) -> None:
        """Neither speak nor listen on this link any more."""
        ...

    def restart(self) -> None:
        """Reboot."""
        ...

"""One file on its way in, and what the device waits for meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from ble_ota.virtual.peripherals.quecthing.boot import Staged
from ble_ota.virtual.peripherals.quecthing.frame import Frame
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields


class Phase(Enum):
    """What the receiver waits for."""

    IDLE = "a notification"
    BUSY = "its own flash"
    RECEIVING = "a packet"
    PAUSED = "the end of its own pause"
    HELD = "the end of the host's pause"
    FINISHED = "the word of the host that it knows"
    SETTLING = "a further file, or the reboot"


@dataclass(slots=True)
class Session:
    """The file in transfer; without one the phase is IDLE or SETTLING."""

    phase: Phase = Phase.IDLE
    file: Staged | None = None
    received: int = 0
    """Bytes of it in flash, from its start."""
    orphaned: bool = False
    """Whether its link is gone and nobody on another has taken it up."""
    owed: Callable[[], None] | None = None
    """An answer held back by a pause."""
    in_flight: tuple[Frame, Fields] | None = None
    """A packet that came into a pause, or while flash was busy."""
    told: set[int] = field(default_factory=set[int])
    """Packet ids of each "success" that was said of it."""

    @property
    def under_way(self) -> bool:
        """Whether there is a file in transfer."""
        return self.file is not None

    @property
    def whole(self) -> bool:
        """Whether all its bytes are there."""
        return self.file is not None and self.received == self.file.size

    def begin(self, file: Staged, received: int) -> None:
        """Take up `file`, of which so many bytes are there."""
        self.end()
        self.file, self.received = file, received

    def orphan(self) -> None:
        """Its link is gone, and what was owed to it."""
        self.orphaned = True
        self.owed, self.in_flight = None, None

    def end(self) -> None:
        """Have no file in transfer."""
        self.phase = Phase.IDLE
        self.file, self.received, self.orphaned = None, 0, False
        self.owed, self.in_flight = None, None
        self.told = set()

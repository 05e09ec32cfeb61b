"""Which of its troubles lies in the bytes that a device has just stored."""

from __future__ import annotations

from dataclasses import dataclass

from ble_ota.virtual.peripherals.quecthing.habits import Habits, Pause

AWAY = 2  # packets that a wrong answer is off by: one could be taken for the other reading of id 9


def id9(habits: Habits, offset: int, after: int) -> int:
    """What the answer to a packet from `offset` to `after` names."""
    return offset if habits.id9 == "echo" else after


@dataclass(frozen=True, slots=True)
class Stretch:
    """New bytes of a file of `size` bytes: from `before` to `after`."""

    habits: Habits
    before: int
    after: int
    size: int

    def carries(self, at: int | None) -> bool:
        """Whether the byte at this offset is among them."""
        return at is not None and self.before <= at < self.after

    @property
    def pause(self) -> Pause | None:
        """The pause that is due now."""
        pauses = self.habits.pauses or ((Pause(0),) if self.habits.endless_pauses else ())
        return next((p for p in pauses if self.carries(p.at)), None)

    def told(self, offset: int) -> int:
        """What the answer to the packet that brought them names; `offset` is where that packet starts."""
        right = id9(self.habits, offset, self.after) + self.carries(self.habits.wrong_offset_at)
        if not self.carries(self.habits.answers_offset_at):
            return right
        match self.habits.answers_offset:
            case "ahead":
                return right + AWAY * self.habits.chunk_bytes
            case "behind":
                return max(0, right - AWAY * self.habits.chunk_bytes)
            case "beyond":
                return self.size + AWAY * self.habits.chunk_bytes
            case None:
                return right

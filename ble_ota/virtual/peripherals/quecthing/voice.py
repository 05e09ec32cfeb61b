"""What is said and heard over the present link: frames, sealed once someone is logged in."""

from __future__ import annotations

from collections.abc import Iterator

from ble_ota.virtual.peripherals.quecthing import login, ttlv, words
from ble_ota.virtual.peripherals.quecthing.body import Stats
from ble_ota.virtual.peripherals.quecthing.frame import Decoder, Frame, pack
from ble_ota.virtual.peripherals.quecthing.habits import Habits
from ble_ota.virtual.peripherals.quecthing.login import Login
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields

PACKET_ID_MAX = 0xFFFE
LOGIN = range(login.ASK_RANDOM, login.TELL_LOGIN + 1)


class Voice:
    """Makes frames and reads them."""

    def __init__(self, who: Login, stats: Stats) -> None:
        """Seal by the session of `who`, count into `stats`."""
        self._login = who
        self._stats = stats
        self._decoder = Decoder()
        self._packet_id = 0

    def reset(self) -> None:
        """Forget half a frame of a link that is gone."""
        self._decoder.reset()

    def next_id(self) -> int:
        """A packet id of its own."""
        self._packet_id = self._packet_id % PACKET_ID_MAX + 1
        return self._packet_id

    def frame(self, command: int, payload: bytes, packet_id: int, habits: Habits) -> bytes:
        """A frame as it goes over the air, sealed as agreed."""
        if self._sealed(command, habits) and (payload or habits.pads_empty):
            payload = self._login.seal(payload)
        return pack(Frame(packet_id, command, payload))

    def may_say(self, command: int, habits: Habits) -> bool:
        """Whether whoever is at the other end may hear that."""
        return self._login.done or not habits.login_required or command in LOGIN

    def hear(self, value: bytes, habits: Habits) -> Iterator[tuple[Frame, Fields]]:
        """Take bytes, cut anywhere; give each frame that can be read, as it was read when its turn came."""
        bad = self._decoder.bad
        for frame in self._decoder.feed(value):
            try:
                sealed = self._sealed(frame.command, habits) and frame.data
                fields = ttlv.unpack(self._login.open(frame.data) if sealed else frame.data)
            except ValueError:  # wrong padding, not whole blocks, or no TTLV
                self._stats.frames_bad += 1
            else:
                self._stats.frames_good += 1
                yield frame, fields
        self._stats.frames_bad += self._decoder.bad - bad

    def _sealed(self, command: int, habits: Habits) -> bool:
        """Whether payloads of `command` are encrypted now."""
        if not self._login.done or command in LOGIN:
            return False
        return habits.encrypt_transfer or command not in words.TRANSFER

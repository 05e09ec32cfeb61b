"""What a device may say that means nothing: bytes, and frames that are whole and wrong."""

from __future__ import annotations

import random

from ble_ota.link import ATT_VALUE_MAX
from ble_ota.virtual.peripherals.quecthing import login, words
from ble_ota.virtual.peripherals.quecthing.body import Body
from ble_ota.virtual.peripherals.quecthing.frame import Frame, pack
from ble_ota.virtual.peripherals.quecthing.session import Session
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields, Value

AT_ONCE, EVERY_S = (
    10,
    0.5,
)  # 20 values a second: some two thirds of what a link of 15 ms carries, so answers get through
UNKNOWN = range(0x7100, 0x7F00)  # commands that nobody has a meaning for


def noise(chance: random.Random, most: int) -> bytes:
    """One to `most` bytes; half of the times they begin as a frame does."""
    value = (b"\xaa\xaa" if chance.random() < 0.5 else b"") + chance.randbytes(chance.randint(1, most))
    return value[:most]


def message(chance: random.Random, versions: tuple[str, ...]) -> tuple[int, Fields]:
    """A command that a device may say, and fields of the right form and any content."""
    offset = chance.choice((0, 200 * chance.randrange(100), chance.randrange(1 << 16), chance.randrange(1 << 40)))
    control: dict[int, Value] = {words.ACTION: chance.randrange(10)}
    if chance.random() < 0.5:
        control |= {words.DELAY: chance.randrange(60), words.CHUNK: chance.choice((0, 1, 200, offset))}
    said: tuple[tuple[int, Fields], ...] = (
        (words.STORED, {words.OFFSET: offset}),
        (words.CONTROL, control),
        (words.CONTROLLED, {}),
        (words.TELL_VERSION, {words.VERSION: chance.choice(versions).encode()}),
        (login.TELL_RANDOM, {login.RANDOM: chance.randbytes(chance.randrange(20))}),
        (login.TELL_LOGIN, {login.RESULT: chance.randrange(4)}),
        (chance.choice(UNKNOWN), {chance.randrange(1, 64): offset}),
    )
    return chance.choice(said)


def unasked(chance: random.Random, room: int) -> bytes:
    """Junk that no host may take for an answer: noise, a frame with a wrong sum, or one without a meaning."""
    frame = pack(Frame(chance.randrange(1, 0xFFFF), chance.choice(UNKNOWN), chance.randbytes(chance.randrange(9))))
    return chance.choice((noise(chance, min(room, ATT_VALUE_MAX)), frame, frame[:-1] + bytes((frame[-1] ^ 0x01,))))


class Flood:
    """Junk that comes in bursts for as long as a file is on its way in."""

    def __init__(self, body: Body, session: Session) -> None:
        self._body = body
        self._session = session
        self._left = 0

    def begin(self) -> None:
        """Begin with the first burst, if the device has the habit."""
        self._left = self._body.habits.floods
        self._burst()

    def _burst(self) -> None:
        if self._left <= 0 or not self._session.under_way or self._session.orphaned:
            return
        for _ in range(min(AT_ONCE, self._left)):
            self._body.mutter(unasked(self._body.chance, self._body.room))
        self._left -= AT_ONCE
        self._body.alarm(EVERY_S, self._burst, of="flood")

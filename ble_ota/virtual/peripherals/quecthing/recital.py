"""Recorded frames as they go over a present link: with a login and a key of its own, and the packet ids of today."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable, Iterator

from ble_ota.virtual.peripherals.quecthing import login, ttlv, words
from ble_ota.virtual.peripherals.quecthing.body import Stats
from ble_ota.virtual.peripherals.quecthing.cues import Said
from ble_ota.virtual.peripherals.quecthing.frame import Frame, pack
from ble_ota.virtual.peripherals.quecthing.habits import Habits
from ble_ota.virtual.peripherals.quecthing.login import Login
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields
from ble_ota.virtual.peripherals.quecthing.voice import Voice

SECRET = base64.b64encode(bytes(16)).decode()
"""Of every replayed device, and so of every host that plays with one."""
# These carry the packet id of what they answer.
ANSWERS = (words.CONTROLLED, words.STORED, words.TELL_VERSION, login.TELL_RANDOM, login.TELL_LOGIN)


class Recital:
    """Says what was said, link after link."""

    def __init__(self, *, encrypt_transfer: bool) -> None:
        """Encrypt as the recorded run did."""
        self._habits = Habits(encrypt_transfer=encrypt_transfer)
        self._login = Login(SECRET, random.Random(SECRET))
        self._voice = Voice(self._login, Stats())
        self._proof = b""
        self._ids: dict[int, int] = {}  # recorded packet id of the host to present one

    def begin(self) -> None:
        """Begin a link: nobody is logged in."""
        self._login.forget()
        self._voice.reset()
        self._ids = {}

    def hear(self, value: bytes) -> Iterator[tuple[Frame, Fields]]:
        """Take bytes of the host, cut anywhere; give each frame that can be read."""
        for frame, fields in self._voice.hear(value, self._habits):
            if frame.command == login.ASK_LOGIN:
                self._proof = ttlv.binary(fields, login.PROOF) or b""
            yield frame, fields

    def known(self, recorded_id: int, frame: Frame) -> None:
        """Take note that `frame` is what had this packet id then."""
        self._ids[recorded_id] = frame.packet_id

    def bytes_of(self, said: Iterable[Said]) -> bytes:
        """Frames as they go over the air, one behind the other."""
        return b"".join(map(self._frame, said))

    def _frame(self, said: Said) -> bytes:
        answers = said.command in ANSWERS
        packet_id = self._ids.get(said.packet_id, said.packet_id) if answers else said.packet_id
        if not said.readable:
            return pack(Frame(packet_id, said.command, said.payload))
        return self._voice.frame(said.command, self._payload(said), packet_id, self._habits)

    def _payload(self, said: Said) -> bytes:
        """Its payload; a random of the right length is one that a login can be made with."""
        if said.command == login.TELL_LOGIN and said.fields.get(login.RESULT) in (login.WELCOME, login.ALREADY):
            self._login.attempt(self._proof)
        if said.command == login.TELL_RANDOM:
            challenge = self._login.challenge()
            if len(ttlv.binary(said.fields, login.RANDOM) or b"") == len(challenge):
                return ttlv.pack({login.RANDOM: challenge})
        return said.payload

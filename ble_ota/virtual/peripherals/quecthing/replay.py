"""A QuecThing device that does what one did in a transcript.

When the host says something, the next recorded word of that kind on this link is looked for, and the device says what
it said after it, as much later as it was then. The login takes place if it did, with the recorded result and a secret
of its own (`recital.SECRET`), for a transcript tells of none. Links break where they broke. A link that broke, or that
the host gave up, is followed by the next one when it followed then; one that the host was done with, at once: how long
its user took to think is not the device's doing.

What the host says otherwise is a divergence; the first is kept. If it said the same later on that link, the device goes
on from there; if not, it stays silent, and the host's own limits end the run.

Not played: how the bytes were cut into values, a late answer to a write (the loss of one is), an address that changed.
A refused subscription plays as a link that breaks at the next write of the host.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ble_ota.errors import AttRefusedError
from ble_ota.transcript import LinkSeen, Transcript, broken
from ble_ota.virtual.peripheral import Advertisement, Carrier, VirtualCharacteristic, VirtualService
from ble_ota.virtual.peripherals.quecthing import advert
from ble_ota.virtual.peripherals.quecthing.cues import NOISE_S, READ, Act, Cue, Word, cues, describe, word_of
from ble_ota.virtual.peripherals.quecthing.recital import Recital

PROPERTIES = {
    advert.PROTOCOL: frozenset({"write", "indicate"}),
    advert.FIRMWARE_REVISION: frozenset({"read"}),
}
OTHERWISE = frozenset({"notify"})


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where the conversation left the recorded one."""

    link: int
    """Counted from 1."""
    index: int
    """Which of the host's words on it, counted from 1; 0 is the link itself."""
    expected: str
    got: str

    def __str__(self) -> str:
        return f"link {self.link}, word {self.index} of the host: {self.expected} was due, and it was {self.got}"


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One link, ready to be played."""

    seen: LinkSeen
    cues: tuple[Cue, ...]


def nothing() -> None:
    """Do nothing."""


class Replay:
    """Plays the device of a transcript."""

    _carrier: Carrier

    def __init__(self, transcript: Transcript) -> None:
        """Make it, switched off.

        Raises:
            UsageError: The transcript cannot be played.
        """
        if transcript.advert is None or transcript.driver != "quecthing":
            raise broken("no QuecThing device was met")
        links = [_Recorded(link, tuple(cues(link))) for link in transcript.links]
        self.stopped: Callable[[], None] = nothing
        """Called where the recorded run was stopped by its user or its deadline."""
        self._advert = transcript.advert
        self._ahead = deque(links)
        self._uuids = next((link.uuids for link in transcript.links if link.uuids), (advert.PROTOCOL,))
        self._recital = Recital(encrypt_transfer=transcript.options.get("encrypt_transfer") is not False)
        self._cues = deque[Cue]()
        self._present: LinkSeen | None = None
        self._anchor = (0.0, 0.0)  # recorded time, and the loop's, of the last cue
        self._timers: set[asyncio.TimerHandle] = set()
        self._broken = False  # the present link, by the device's doing
        self._link = self._index = 0
        self._divergence: Divergence | None = None

    def divergence(self) -> Divergence | None:
        """The first one so far; asked at the end of a run, also that links were not made."""
        if self._divergence is None and self._ahead:
            due = f"a link to {self._ahead[0].seen.purpose}"
            return Divergence(self._link + 1, 0, due, "the end of the run")
        return self._divergence

    # ------------------------------------------------------------------ Peripheral

    @property
    def address(self) -> str:
        """Its Bluetooth address."""
        return self._advert.address

    @property
    def services(self) -> tuple[VirtualService, ...]:
        """Its GATT table, all in one service."""
        table = [VirtualCharacteristic(u, PROPERTIES.get(u, OTHERWISE)) for u in self._uuids]
        return (VirtualService(advert.SERVICE, tuple(table)),)

    def attach(self, carrier: Carrier) -> None:
        """Power on."""
        self._carrier = carrier
        if self._ahead:
            self._advertise()

    def connected(self) -> None:
        """The next recorded link begins."""
        self._carrier.advertise(None)
        recorded = self._ahead.popleft()
        self._present, self._cues = recorded.seen, deque(recorded.cues)
        self._recital.begin()
        self._link, self._index, self._broken = self._link + 1, 0, False
        self._play(self._cues.popleft())
        if recorded.seen.failed:
            self._drop()

    def disconnected(self) -> None:
        """The link is over; the device comes back for the next one when it did then."""
        seen, self._present = self._present, None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if seen is None:
            return
        if self._cues and not self._broken and self._cues[0].word is not None:
            self._diverge(describe(self._cues[0].word), "the end of the link")
        if self._ahead:
            elsewise = self._broken or seen.reason
            self._at(self._ahead[0].seen.began_s if elsewise else 0.0, self._advertise)

    def written(self, uuid: str, value: bytes) -> None:
        """Hear the host, or end the link where it ended."""
        if uuid != advert.PROTOCOL or self._present is None or self._broken:
            return
        if not self._ends("write"):
            for frame, fields in self._recital.hear(value):
                cue = self._find(word_of(frame.command, fields))
                if cue is not None:
                    self._recital.known(cue.packet_id, frame)
                    self._play(cue)

    def read(self, uuid: str) -> bytes:
        """Tell what was read then."""
        if self._ends("read"):
            return b""
        cue = self._find(READ)
        if cue is None or uuid != advert.FIRMWARE_REVISION:
            return b""
        self._play(cue)
        return cue.text

    # ------------------------------------------------------------------ what the host does

    def _find(self, word: Word) -> Cue | None:
        """The next recorded deed of this kind, on this link."""
        self._index += 1
        at = next((n for n, cue in enumerate(self._cues) if cue.word == word), None)
        if at != 0:
            due = self._cues[0].word if self._cues else None
            self._diverge("nothing more" if due is None else describe(due), describe(word))
        if at is None:
            return None
        for _ in range(at):
            self._cues.popleft()
        return self._cues.popleft()

    def _ends(self, doing: str) -> bool:
        """Whether the link ends here, or whatever is done is refused here. Raises `AttRefusedError`."""
        if not self._cues or self._cues[0].word is not None:
            return False
        cue = self._cues.popleft()
        match cue.ending:
            case "stop":
                self._stop()
            case "refuse":
                raise AttRefusedError(doing, cue.code)
            case _:
                self._drop()
        return True

    def _diverge(self, expected: str, got: str) -> None:
        self._divergence = self._divergence or Divergence(self._link, self._index, expected, got)

    # ------------------------------------------------------------------ what the device does

    def _play(self, cue: Cue) -> None:
        """Do what followed, when it followed."""
        self._anchor = (cue.at_s, asyncio.get_running_loop().time())
        for act in cue.acts:
            for more in range(act.values or 1):
                self._at(act.at_s + more * NOISE_S, partial(self._do, act))

    def _at(self, recorded_s: float, action: Callable[[], None]) -> None:
        """Call `action` when it is the recorded time; now, if that is past."""
        then_s, now_s = self._anchor

        def due() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_at(now_s + recorded_s - then_s, due)
        self._timers.add(timer)

    def _do(self, act: Act) -> None:
        match act.kind:
            case "say":
                self._say(act)
            case "noise":
                self._carrier.send(advert.PROTOCOL, b"\0")
            case "stop":
                self._stop()
            case _:
                self._drop()

    def _say(self, act: Act) -> None:
        """What came in one go, in as few indications as it takes."""
        value, room = self._recital.bytes_of(act.said), self._carrier.max_value
        pieces = [value[at : at + room] for at in range(0, len(value), room)]
        for piece in pieces:
            self._carrier.send(advert.PROTOCOL, piece)
        if act.drops:
            self._drop_after(len(pieces), self._link)

    def _drop_after(self, pieces: int, link: int) -> None:
        """Drop this link when so many pieces have arrived, a turn of the loop each, and nobody has acted on them."""
        if pieces >= 0:
            asyncio.get_running_loop().call_soon(self._drop_after, pieces - 1, link)
        elif link == self._link:
            self._drop()

    def _stop(self) -> None:
        """The run ended here, from outside; before its last link it was the host itself that lost its patience."""
        if not self._ahead:
            self.stopped()

    def _drop(self) -> None:
        self._broken = True
        self._carrier.disconnect()

    def _advertise(self) -> None:
        seen = self._advert
        self._carrier.advertise(Advertisement(seen.name, seen.services, seen.manufacturer))

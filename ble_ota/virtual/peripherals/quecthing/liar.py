"""A QuecThing device whose words cannot be trusted; what it does, it does as a real one.

The device is whole underneath: it receives, stores and boots. Between it and its carrier stands one that lies.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from ble_ota.virtual.peripheral import Advertisement, Carrier, VirtualService
from ble_ota.virtual.peripherals.quecthing import advert, junk, ttlv
from ble_ota.virtual.peripherals.quecthing.device import QuecThing
from ble_ota.virtual.peripherals.quecthing.frame import Decoder, Frame, pack
from ble_ota.virtual.peripherals.quecthing.lies import UNASKED, Lie, Lies

WHOLE = 1 << 16  # bytes of one value, as the device believes: more than any frame, so each comes in one piece
OVERSIZED_BYTES = (600, 5000)  # more than an attribute holds, less than a frame can say it has
PACKET_IDS = 0xFFFE  # 1 to 65534
HOLD_S = 2.0  # how long a frame waits for the next one to overtake it


class LyingCarrier:
    """Carries what the device says, or something else; a `peripheral.Carrier`."""

    def __init__(
        self, thing: QuecThing, lies: Lies, carrier: Carrier, told: Counter[Lie], chance: random.Random
    ) -> None:
        """Lie on behalf of `thing`, over `carrier`; count what was told."""
        self._thing = thing
        self._lies = lies
        self._carrier = carrier
        self._told = told
        self._chance = chance
        self._held: bytes | None = None
        self._timers: set[asyncio.TimerHandle] = set()

    # ------------------------------------------------------------------ Carrier

    @property
    def max_value(self) -> int:
        """More than there is: what the device says in one piece is cut here."""
        return WHOLE

    def send(self, uuid: str, value: bytes) -> None:
        """Queue what the device says, or a lie."""
        if uuid != advert.PROTOCOL:
            self._carrier.send(uuid, value[: self._carrier.max_value])
        elif self._tempted():
            self._lie(self._chance.choice(self._lies.kinds), value)
        else:
            self._utter(value)

    def disconnect(self) -> None:
        """Drop the link, if there is one."""
        self._carrier.disconnect()

    def advertise(self, advertisement: Advertisement | None) -> None:
        """Advertise this whenever there is no link."""
        self._carrier.advertise(advertisement)

    # ------------------------------------------------------------------ a link comes and goes

    def connected(self) -> None:
        """A link stands: begin to speak unasked, by habit."""
        if self._lies.unasked_every_s is not None:
            self._later(self._chance.expovariate(1 / self._lies.unasked_every_s), self._speak_up)

    def disconnected(self) -> None:
        """The link is gone, and what was still to be said."""
        self._held = None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # ------------------------------------------------------------------ inside

    @property
    def _honest(self) -> bool:
        return self._lies.most is not None and self._told.total() >= self._lies.most

    def _tempted(self) -> bool:
        return not self._honest and self._chance.random() < self._lies.rate

    def _speak_up(self) -> None:
        kinds = [kind for kind in self._lies.kinds if kind in UNASKED]
        if kinds and not self._honest:
            kind = self._chance.choice(kinds)
            self._told[kind] += 1
            self._utter(self._falsehood(kind, self._chance.randrange(1, 0xFFFF)))
        self.connected()

    def _lie(self, kind: Lie, value: bytes) -> None:
        self._told[kind] += 1
        match kind:
            case Lie.DROP:
                pass
            case Lie.DUPLICATE:
                self._utter(value)
                self._utter(value)
            case Lie.DELAY:
                self._later(self._chance.uniform(0, self._lies.delay_max_s), lambda: self._utter(value))
            case Lie.REORDER:
                self._hold(value)
            case Lie.GARBLE:
                at = self._chance.randrange(len(value))
                self._utter(value[:at] + bytes((value[at] ^ self._chance.randrange(1, 256),)) + value[at + 1 :])
            case Lie.WRONG_ID:
                self._utter(self._under_another_id(value))
            case Lie.TRUNCATE:
                self._utter(value[: self._chance.randrange(1, max(2, len(value)))])
            case Lie.NOISE | Lie.MESSAGE | Lie.BAD_FIELDS | Lie.OVERSIZED:
                self._utter(self._falsehood(kind, self._id_near(value)))
                if self._chance.random() < 0.5:
                    self._utter(value)

    def _falsehood(self, kind: Lie, packet_id: int) -> bytes:
        chance = self._chance
        if kind is Lie.NOISE:
            return junk.noise(chance, self._carrier.max_value)
        command, fields = junk.message(chance, self._lies.versions)
        payload = ttlv.pack(fields)
        if kind is Lie.OVERSIZED:
            payload = chance.randbytes(chance.randint(*OVERSIZED_BYTES))
        elif kind is Lie.BAD_FIELDS:
            payload = payload[:-1] or b"\x00"
        return self._thing.frame(command, payload, packet_id)

    def _under_another_id(self, value: bytes) -> bytes:
        frame = _read(value)
        if frame is None:
            return value
        away = self._chance.choice((1, PACKET_IDS - 1, self._chance.randrange(1, PACKET_IDS)))
        return pack(Frame((frame.packet_id - 1 + away) % PACKET_IDS + 1, frame.command, frame.data))

    def _id_near(self, value: bytes) -> int:
        """The packet id that whoever listens waits for, or any."""
        frame = _read(value)
        return (
            frame.packet_id if frame is not None and self._chance.random() < 0.5 else self._chance.randrange(1, 0xFFFF)
        )

    def _hold(self, value: bytes) -> None:
        if self._held is None:
            self._held = value
            self._later(HOLD_S, self._release)
        else:
            self._utter(value)

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._utter(held)

    def _utter(self, value: bytes) -> None:
        room = self._carrier.max_value
        for at in range(0, len(value), room):
            self._carrier.send(advert.PROTOCOL, value[at : at + room])
        self._release()

    def _later(self, after_s: float, action: Callable[[], None]) -> None:
        def ring() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(after_s, ring)
        self._timers.add(timer)


class Liar:
    """A `Peripheral`: the device, and its lying carrier."""

    def __init__(self, thing: QuecThing, lies: Lies) -> None:
        """Take `thing`, switched off, and lie for it."""
        self.thing = thing
        self.told: Counter[Lie] = Counter()
        """The lies so far, also over power cuts."""
        self._lies = lies
        self._chance = random.Random(lies.seed)
        self._carrier: LyingCarrier | None = None

    @property
    def address(self) -> str:
        """The device's address."""
        return self.thing.address

    @property
    def services(self) -> tuple[VirtualService, ...]:
        """The device's GATT table."""
        return self.thing.services

    def attach(self, carrier: Carrier) -> None:
        """Power on."""
        self._hush()
        self._carrier = LyingCarrier(self.thing, self._lies, carrier, self.told, self._chance)
        self.thing.attach(self._carrier)

    def connected(self) -> None:
        """A link stands."""
        self.thing.connected()
        if self._carrier is not None:
            self._carrier.connected()

    def disconnected(self) -> None:
        """The link is gone."""
        self._hush()
        self.thing.disconnected()

    def written(self, uuid: str, value: bytes) -> None:
        """What the host says reaches the device as it is."""
        self.thing.written(uuid, value)

    def read(self, uuid: str) -> bytes:
        """What the device would say; it is asked for, so it is true unless the device has the habit."""
        return self.thing.read(uuid)

    def _hush(self) -> None:
        if self._carrier is not None:
            self._carrier.disconnected()


def _read(value: bytes) -> Frame | None:
    return next(Decoder().feed(value), None)

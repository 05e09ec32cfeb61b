"""The air between a host and virtual peripherals, modelled in the time of the running loop.

What travels costs connection intervals: a write request, a read, a subscription and an indication need two (there and
back), a write command and a notification one. Nothing is lost on the way; a link is whole, or it is gone. Under a loop
with virtual time a transfer of minutes runs in milliseconds, and the same seed gives the same run.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ble_ota.errors import LinkLostError
from ble_ota.link import ATT_VALUE_MAX, ATT_WRITE_OVERHEAD, Advert
from ble_ota.script import Notified
from ble_ota.virtual.peripheral import Advertisement, Peripheral

QUEUE_MAX = 256  # values under way in one direction; a device that says more loses it, and `lost` counts it
MTU_MIN = 23  # Core Specification Vol 3 Part F 3.2.8


class Air:
    """Where virtual peripherals are on, and are met."""

    def __init__(
        self,
        seed: int = 0,
        *,
        interval_s: float = 0.015,
        mtu: int = 247,
        connect_s: float = 0.05,
        advertising_interval_s: float = 0.1,
    ) -> None:
        """Make an empty air.

        Args:
            seed: Chooses signal strengths.
            interval_s: Connection interval of every link; 15 ms is what phones and BlueZ commonly give.
            mtu: ATT MTU of every link, at least 23 bytes.
            connect_s: From the advertisement that was answered to a link with its services known.
            advertising_interval_s: Between two sightings of one device.
        """
        if mtu < MTU_MIN:
            msg = f"an MTU of {mtu} is below the {MTU_MIN} bytes every device must take"
            raise ValueError(msg)
        self.interval_s = interval_s
        self.mtu = mtu
        self.connect_s = connect_s
        self.advertising_interval_s = advertising_interval_s
        self.before_operation: Callable[[int, str], None] | None = None
        """Called with a running number and the kind, before each operation of a link. It may call `cut`."""
        self.operations = 0
        self.lost = 0
        """Values that a peripheral sent and nobody got: not subscribed, no link, queue full."""
        self._chance = random.Random(seed)
        self._berths: dict[str, Berth] = {}

    def add(self, peripheral: Peripheral) -> None:
        """Power `peripheral` on; one with the same address is replaced, and loses its link."""
        before = self._berths.get(peripheral.address)
        if before is not None:
            before.disconnect()
        berth = Berth(self, peripheral)
        self._berths[peripheral.address] = berth
        peripheral.attach(berth)

    def cut(self) -> None:
        """Drop every link, as a supervision timeout does: both ends see it, and nothing under way arrives."""
        for berth in self._berths.values():
            berth.disconnect()

    def adverts(self) -> Iterator[Advert]:
        """One sighting of each device that advertises now."""
        for address, berth in self._berths.items():
            if (said := berth.advertised()) is not None:
                rssi = -55 + self._chance.randint(-6, 6)
                yield Advert(address, said.name, rssi, said.services, dict(said.manufacturer))

    def advertising(self, address: str) -> Berth | None:
        """The device at `address`, if it can be connected to now."""
        berth = self._berths.get(address)
        return berth if berth is not None and berth.advertised() is not None else None

    def operation(self, kind: str) -> None:
        """Count one operation of a link, and tell the hook before it takes place."""
        index = self.operations
        self.operations += 1
        if self.before_operation is not None:
            self.before_operation(index, kind)


class Berth:
    """One peripheral's place in the air: its `Carrier`."""

    def __init__(self, air: Air, peripheral: Peripheral) -> None:
        self.air = air
        self.peripheral = peripheral
        self.wire: Wire | None = None
        self._advertisement: Advertisement | None = None
        self._properties = {c.uuid: c.properties for service in peripheral.services for c in service.characteristics}

    def advertised(self) -> Advertisement | None:
        """What it advertises now; a device with a link does not."""
        return self._advertisement if self.wire is None else None

    @property
    def max_value(self) -> int:
        """Bytes one indication or notification may carry."""
        return min(self.air.mtu - ATT_WRITE_OVERHEAD, ATT_VALUE_MAX)

    def send(self, uuid: str, value: bytes) -> None:
        """Queue one indication or notification.

        Raises:
            ValueError: It is larger than `max_value`; a bug of the peripheral.
        """
        if len(value) > self.max_value:
            msg = f"a value of {len(value)} bytes where one may have {self.max_value}"
            raise ValueError(msg)
        if self.wire is None or not self.wire.say(Value(uuid, value, indicated="indicate" in self._properties[uuid])):
            self.air.lost += 1

    def disconnect(self) -> None:
        """Drop the link, if there is one."""
        if self.wire is not None:
            self.wire.end()

    def advertise(self, advertisement: Advertisement | None) -> None:
        """Advertise this whenever there is no link; None goes silent."""
        self._advertisement = advertisement


@dataclass(frozen=True, slots=True)
class Value:
    """One indication or notification on its way."""

    uuid: str
    data: bytes
    indicated: bool


class Wire:
    """One link, both ends of it, from the connect request to its end."""

    def __init__(self, berth: Berth, handles: dict[str, int]) -> None:
        """Take the peripheral off the air; `handles` is characteristic to handle."""
        self.berth = berth
        self.air = berth.air
        self.ended = False
        self.subscribed: set[str] = set()
        self._handles = handles
        self._stands = False
        self._leaving: deque[Value] = deque()
        self._arrived: deque[Notified] = deque()
        self._news = asyncio.Event()
        self._pumping: asyncio.TimerHandle | None = None
        berth.wire = self

    async def stand(self) -> None:
        """Carry the connect request out. Raises `LinkLostError`."""
        self.air.operation("connect")
        await self.slots(0, more_s=self.air.connect_s)
        self._stands = True
        self.berth.peripheral.connected()

    async def slots(self, intervals: int, *, more_s: float = 0.0) -> None:
        """Let so many connection intervals pass. Raises `LinkLostError` if the link does not outlive them."""
        self.check()
        await asyncio.sleep(intervals * self.air.interval_s + more_s)
        self.check()

    def check(self) -> None:
        """Raise `LinkLostError` once the link is gone."""
        if self.ended:
            msg = f"the link to {self.berth.peripheral.address} is gone"
            raise LinkLostError(msg)

    def end(self) -> None:
        """End the link; the peripheral hears of it in a call of its own, never inside one of its own calls."""
        if self.ended:
            return
        self.ended = True
        self.berth.wire = None
        self._leaving.clear()
        if self._pumping is not None:
            self._pumping.cancel()
        self._news.set()
        if self._stands:
            asyncio.get_running_loop().call_soon(self.berth.peripheral.disconnected)

    def say(self, value: Value) -> bool:
        """Queue what the peripheral says; False if it is lost."""
        if value.uuid not in self.subscribed or len(self._leaving) >= QUEUE_MAX:
            return False
        self._leaving.append(value)
        if self._pumping is None:
            self._depart()
        return True

    def _depart(self) -> None:
        """Send the oldest waiting value on its way; a host that takes nothing confirms nothing."""
        self._pumping = None
        if not self._leaving or len(self._arrived) >= QUEUE_MAX:
            return
        slots = 2 if self._leaving[0].indicated else 1
        self._pumping = asyncio.get_running_loop().call_later(slots * self.air.interval_s, self._arrive)

    def _arrive(self) -> None:
        self.air.operation("indication" if self._leaving[0].indicated else "notification")
        if self.ended:
            return
        value = self._leaving.popleft()
        self._arrived.append(Notified(self._handles[value.uuid], value.data))
        self._news.set()
        self._depart()

    async def heard(self, chars: tuple[int, ...]) -> Notified:
        """The oldest value of one of `chars` not yet taken. Raises `LinkLostError` when none can come any more."""
        while True:
            for value in self._arrived:
                if value.char in chars:
                    self._arrived.remove(value)
                    if self._pumping is None:
                        self._depart()
                    return value
            self.check()
            self._news.clear()
            await self._news.wait()

"""The air between a host and virtual peripherals, modelled in the time of the running loop.

What travels costs connection intervals: a write request, a read, a subscription and an indication need two (there and
back), a write command and a notification one. Nothing is lost on the way unless `on_operation` says so. Under a loop
with virtual time a transfer of minutes runs in milliseconds, and the same seed gives the same run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from ble_ota.link import ATT_VALUE_MAX, ATT_WRITE_OVERHEAD, Advert
from ble_ota.virtual.peripheral import Advertisement, Peripheral
from ble_ota.virtual.wire import QUEUE_MAX, Fate, Operation, Value, Wire

__all__ = ["MTU_MIN", "QUEUE_MAX", "Air", "Berth", "Fate", "Operation"]

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
        supervision_s: float = 5.0,
    ) -> None:
        """Make an empty air.

        Args:
            seed: Chooses signal strengths.
            interval_s: Connection interval of every link; 15 ms is what phones and BlueZ commonly give.
            mtu: ATT MTU of links that begin from now on, at least 23 bytes.
            connect_s: From the advertisement that was answered to a link with its services known.
            advertising_interval_s: Between two sightings of one device.
            supervision_s: Silence after which a link is gone; phones commonly take 5 s, the most is 32 s (Core
                Specification Vol 6 Part B 4.5.2).
        """
        self.interval_s = interval_s
        self.mtu = mtu
        self.connect_s = connect_s
        self.advertising_interval_s = advertising_interval_s
        self.supervision_s = supervision_s
        self.on_operation: Callable[[Operation], Fate] | None = None
        """Asked before each operation of a link what becomes of it."""
        self.before_operation: Callable[[int, str], None] | None = None
        """Called before that with the operation's number and kind. It may call `cut`."""
        self.out_of_range: bool | AbstractSet[str] = False
        """Which devices are too far to be seen or connected to: all, none, or by address. A link that stands stays."""
        self.operations = 0
        self.lost = 0
        """Values that a peripheral sent and nobody got: not subscribed, no link, queue full, lost by `Fate`."""
        self._chance = random.Random(seed)
        self._berths: dict[str, Berth] = {}

    @property
    def mtu(self) -> int:
        """ATT MTU of the links to come; may be set at any time. Raises `ValueError` when set below 23."""
        return self._mtu

    @mtu.setter
    def mtu(self, mtu: int) -> None:
        if mtu < MTU_MIN:
            msg = f"an MTU of {mtu} is below the {MTU_MIN} bytes every device must take"
            raise ValueError(msg)
        self._mtu = mtu

    def add(self, peripheral: Peripheral) -> None:
        """Power `peripheral` on, for the first time or again; one at its address is replaced, and loses its link.

        Another object that is replaced is not switched off by this: take its power first.
        """
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
            if self._reaches(address) and (said := berth.advertised()) is not None:
                rssi = -55 + self._chance.randint(-6, 6)
                yield Advert(address, said.name, rssi, said.services, dict(said.manufacturer))

    def advertising(self, address: str) -> Berth | None:
        """The device at `address`, if it can be connected to now."""
        berth = self._berths.get(address) if self._reaches(address) else None
        return berth if berth is not None and berth.advertised() is not None else None

    def operation(self, kind: str, address: str, data: bytes = b"") -> Fate:
        """Count one operation of a link, and ask the hooks what becomes of it."""
        index = self.operations
        self.operations += 1
        if self.before_operation is not None:
            self.before_operation(index, kind)
        return Fate.PASS if self.on_operation is None else self.on_operation(Operation(index, kind, address, data))

    def _reaches(self, address: str) -> bool:
        far = self.out_of_range
        return not far if isinstance(far, bool) else address not in far


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
        """Bytes one indication or notification may carry on the present link, or else on the next."""
        mtu = self.air.mtu if self.wire is None else self.wire.mtu
        return min(mtu - ATT_WRITE_OVERHEAD, ATT_VALUE_MAX)

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

    def link(self, handles: dict[str, int]) -> Wire:
        """Begin a link, and leave the air; `handles` is characteristic to handle."""
        self.wire = Wire(self.air, self.peripheral, handles, self._unlinked)
        return self.wire

    def disconnect(self) -> None:
        """Drop the link, if there is one."""
        if self.wire is not None:
            self.wire.end()

    def advertise(self, advertisement: Advertisement | None) -> None:
        """Advertise this whenever there is no link; None goes silent."""
        self._advertisement = advertisement

    def _unlinked(self) -> None:
        self.wire = None

"""The devices near, as a scan hears them: one entry per address, put together of all that it advertised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ble_ota.link import Advert
from ble_ota.protocols import AnyDriver, Sighting, recognise
from ble_ota.protocols.unspoken import unspoken
from ble_ota.text import clean

NEAR_MAX = 1000  # our choice: a crowded hall has some hundred; of more, those not heard for longest are forgotten
OTHERS_MAX = 10_000  # addresses of other devices, only to count them; random ones change every 15 minutes
SMOOTH = 0.2  # our choice: share of the newest of a signal; one reading jumps by 6 dB and more
STEP_DB = 3  # our choice: what a device's signal must have moved by before its row may
RSSI_DBM = range(-127, 21)  # Core Specification Vol 4 Part E 7.7.65.2; 127 is "not available"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a device says of itself, and the system of it. Text is clean."""

    address: str
    address_type: str = ""
    name: str = ""
    protocol: str = ""
    supported: bool = False
    """Whether there is a driver for the protocol."""
    product_key: str = ""
    device_key: str = ""
    connectable: bool | None = None
    bonded: bool | None = None


@dataclass(frozen=True, slots=True)
class Near:
    """One device."""

    facts: Facts
    number: int
    """Which it was, in the order they were first heard."""
    heard_s: float
    """When it was last heard, on the scan's clock."""
    level_dbm: float | None = None
    """Its signal, smoothed."""
    rssi_dbm: int | None = None
    """Its signal as it is shown: follows the smoothed one in steps, so that rows do not change places all the time."""


class Neighbourhood:
    """All that a scan has heard."""

    def __init__(self, drivers: Iterable[AnyDriver]) -> None:
        self._drivers = tuple(drivers)
        self._near: dict[str, Near] = {}
        self._others: set[str] = set()
        self._count = 0

    @property
    def others(self) -> int:
        """How many were heard whose protocol is not known."""
        return len(self._others)

    @property
    def sorted(self) -> list[Near]:
        """The devices whose protocol is known, the strongest first."""
        return sorted(self._near.values(), key=lambda n: (n.rssi_dbm is None, -(n.rssi_dbm or 0), n.number))

    def hear(self, advert: Advert, now_s: float) -> Near | None:
        """Take an advertisement; give the device if it is new, or anything but its signal has changed."""
        before = self._near.get(advert.address)
        facts = self._facts(advert, before.facts if before else None)
        if not facts.protocol:
            if len(self._others) < OTHERS_MAX:
                self._others.add(advert.address)
            return None
        if before is None:
            before = self._new(facts, now_s)
        near = _louder(replace(before, facts=facts, heard_s=now_s), advert.rssi_dbm)
        known = self._near.get(advert.address)
        self._near[advert.address] = near
        return None if known is not None and known.facts == facts else near

    def _new(self, facts: Facts, now_s: float) -> Near:
        self._others.discard(facts.address)
        if len(self._near) >= NEAR_MAX:
            del self._near[min(self._near, key=lambda address: self._near[address].heard_s)]
        self._count += 1
        return Near(facts, self._count, now_s)

    def _facts(self, advert: Advert, before: Facts | None) -> Facts:
        """What is known now: name, keys and services may each come in a packet of their own."""
        known = before or Facts(advert.address)
        said = recognise(advert, self._drivers)
        if said is None or (known.device_key and not said.device_key):
            said = Sighting(known.protocol, known.product_key, known.device_key) if known.supported else None
        return Facts(
            advert.address,
            advert.address_type or known.address_type,
            clean(advert.name, most=64) or known.name,
            said.protocol if said else unspoken(advert) or known.protocol,
            said is not None,
            said.product_key if said else "",
            said.device_key if said else "",
            known.connectable if advert.connectable is None else advert.connectable,
            known.bonded if advert.bonded is None else advert.bonded,
        )


def _louder(near: Near, rssi_dbm: int | None) -> Near:
    """With one more reading of its signal."""
    if rssi_dbm is None or rssi_dbm not in RSSI_DBM:
        return near
    level = rssi_dbm if near.level_dbm is None else near.level_dbm + SMOOTH * (rssi_dbm - near.level_dbm)
    moved = near.rssi_dbm is None or abs(level - near.rssi_dbm) >= STEP_DB
    return replace(near, level_dbm=level, rssi_dbm=round(level) if moved else near.rssi_dbm)

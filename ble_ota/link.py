"""What this package asks of a radio: two protocols, met by bleak, by Bumble and by the virtual air."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from ble_ota.script import Notified

ATT_WRITE_OVERHEAD = 3  # opcode 1 + handle 2; Core Specification Vol 3 Part F 3.4.5.1
ATT_VALUE_MAX = 512  # bytes of one attribute value; Core Specification Vol 3 Part F 3.2.9


@dataclass(frozen=True, slots=True)
class Advert:
    """One sighting of a device. Everything in it is a hint: anybody can advertise anything."""

    address: str
    """Bluetooth address, upper case with colons; on macOS the system's identifier."""
    name: str
    rssi_dbm: int | None
    services: tuple[str, ...] = ()
    """Service UUIDs, 128-bit, lower case."""
    manufacturer: Mapping[int, bytes] = field(default_factory=dict[int, bytes])
    """Company identifier to data."""
    address_type: str = ""
    """`public` or `random`; "" where the system does not tell."""
    connectable: bool | None = None
    """Whether it takes connections now; None where the system does not tell."""
    bonded: bool | None = None
    """Whether the system keeps keys of it; None where it does not tell."""


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One characteristic as discovered on this link."""

    handle: int
    uuid: str  # 128-bit, lower case
    service: str  # UUID of its service, 128-bit, lower case
    max_write: int
    """Bytes one write may carry here: MTU - 3, at most 512."""


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What is known of a link once it stands."""

    address: str
    characteristics: tuple[Characteristic, ...]

    def find(self, uuid: str) -> Characteristic | None:
        """The first characteristic with `uuid`, by handle."""
        return next((c for c in self.characteristics if c.uuid == uuid), None)


class Link(Protocol):
    """A connection to one device.

    Every method raises `LinkLostError` once the link is gone, and `AttRefusedError` when the device refuses.
    """

    @property
    def facts(self) -> LinkFacts:
        """Address, characteristics and write sizes."""
        ...

    async def subscribe(self, char: int) -> None:
        """Ask for indications (or notifications) of the characteristic with handle `char`."""
        ...

    async def read(self, char: int) -> bytes:
        """Read a characteristic."""
        ...

    async def write(self, char: int, data: bytes, *, ack: bool) -> None:
        """Write at most `max_write` bytes; with `ack` returns when the device has answered."""
        ...

    async def notification(self, chars: tuple[int, ...]) -> Notified:
        """The oldest word of one of `chars` not yet taken; waits for it without end."""
        ...


class Radio(Protocol):
    """What finds devices and connects to them."""

    def scan(self, *, within_s: float) -> AsyncGenerator[Advert, None]:
        """Sightings as they come, for `within_s` seconds; the same device may come again.

        Raises:
            AdapterError: Bluetooth is off, absent, or not permitted.
        """
        ...

    def connect(self, address: str, *, within_s: float) -> AbstractAsyncContextManager[Link]:
        """Connect, discover, and disconnect at the end of the block.

        Raises:
            DeviceNotFoundError: Nobody answers at `address`.
            LinkLostError: The link broke before it stood.
            AdapterError: Bluetooth is off, absent, or not permitted.
        """
        ...


def uuid16(number: int) -> str:
    """The 128-bit text of a 16-bit UUID (Core Specification Vol 3 Part B 2.5.1)."""
    return f"0000{number:04x}-0000-1000-8000-00805f9b34fb"

"""What every virtual peripheral is, and what may carry it.

A peripheral's logic is one class. It knows no radio: a carrier (`link.py` in memory, `bumble_host.py` over real
ATT bytes) calls it, and it calls back through `Carrier`. All calls are synchronous and in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class VirtualCharacteristic:
    """One characteristic of the peripheral's GATT table."""

    uuid: str  # 128-bit, lower case
    properties: frozenset[str]
    """Of "read", "write", "write-without-response", "notify", "indicate"."""
    sealed: bool = False
    """Whether it answers over an encrypted link only; the modelled air knows no encryption, and does not ask."""


@dataclass(frozen=True, slots=True)
class VirtualService:
    """One service of the peripheral's GATT table."""

    uuid: str  # 128-bit, lower case
    characteristics: tuple[VirtualCharacteristic, ...]


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What the peripheral puts on the air."""

    name: str
    services: tuple[str, ...] = ()
    manufacturer: Mapping[int, bytes] = field(default_factory=dict[int, bytes])


class Carrier(Protocol):
    """What a peripheral may ask of whatever carries it."""

    @property
    def max_value(self) -> int:
        """Bytes one indication or notification may carry on the present link: MTU - 3."""
        ...

    def send(self, uuid: str, value: bytes) -> None:
        """Queue one indication or notification, if the other end has subscribed; else it is lost."""
        ...

    def disconnect(self) -> None:
        """Drop the link, if there is one."""
        ...

    def advertise(self, advertisement: Advertisement | None) -> None:
        """Advertise this whenever there is no link; None goes silent (a device that reboots)."""
        ...


class Peripheral(Protocol):
    """What a carrier may ask of a peripheral."""

    @property
    def address(self) -> str:
        """Its Bluetooth address."""
        ...

    @property
    def services(self) -> tuple[VirtualService, ...]:
        """Its GATT table."""
        ...

    def attach(self, carrier: Carrier) -> None:
        """Power on: from now on `carrier` carries it. Starts advertising by itself."""
        ...

    def connected(self) -> None:
        """A link stands."""
        ...

    def disconnected(self) -> None:
        """The link is gone, whoever ended it."""
        ...

    def written(self, uuid: str, value: bytes) -> None:
        """One ATT write arrived, with or without response."""
        ...

    def read(self, uuid: str) -> bytes:
        """The value of a readable characteristic."""
        ...

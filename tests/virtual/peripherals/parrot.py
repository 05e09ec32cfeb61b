"""A peripheral that says back what it hears, and remembers what happened to it."""

from __future__ import annotations

import asyncio

from ble_ota.link import Link, uuid16
from ble_ota.script import Notified
from ble_ota.virtual.peripheral import Advertisement, Carrier, VirtualCharacteristic, VirtualService

ADDRESS = "C0:00:00:00:00:01"
TALK, NEWS, NAME = uuid16(0xFF01), uuid16(0xFF02), uuid16(0xFF03)  # handles 1, 2 and 3


class Parrot:
    """Writes to TALK come back as indications; `chatter` notifies on NEWS."""

    carrier: Carrier

    def __init__(self, address: str = ADDRESS) -> None:
        self.address = address
        self.heard: list[bytes] = []
        self.links: list[str] = []
        self._alone = asyncio.Event()  # its link has ended, and it knows
        self.services = (
            VirtualService(uuid16(0xFF00), (VirtualCharacteristic(TALK, frozenset({"write", "indicate"})),)),
            VirtualService(
                uuid16(0xFF10),
                (
                    VirtualCharacteristic(NEWS, frozenset({"notify", "write-without-response"})),
                    VirtualCharacteristic(NAME, frozenset({"read"})),
                ),
            ),
        )

    def attach(self, carrier: Carrier) -> None:
        self.carrier = carrier
        carrier.advertise(Advertisement("parrot", (uuid16(0xFF00),), {1: b"x"}))

    def connected(self) -> None:
        self.links.append("up")

    def disconnected(self) -> None:
        self.links.append("down")
        self._alone.set()

    async def is_alone(self) -> None:
        """Wait until it knows that its link has ended."""
        async with asyncio.timeout(60):
            await self._alone.wait()

    def written(self, uuid: str, value: bytes) -> None:
        self.heard.append(value)
        if uuid == TALK:
            self.carrier.send(TALK, value)

    def read(self, uuid: str) -> bytes:
        return b"polly" if uuid == NAME else b""

    def chatter(self, *values: bytes) -> None:
        for value in values:
            self.carrier.send(NEWS, value)


async def heard(link: Link, *chars: int) -> Notified:
    """What the device says next; whoever waits in vain fails instead of waiting for ever."""
    async with asyncio.timeout(60):
        return await link.notification(chars)

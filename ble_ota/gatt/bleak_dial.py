"""Calling one device: look for it, connect, discover; again for a while where that may help.

bleak-retry-connector does this for BlueZ alone and takes errors apart by their text as we do (`bleak_errors.py`), but
it raises bleak's exceptions, waits on the real clock, and does not look for the device again between attempts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from bleak import BleakClient
from bleak.backends.device import BLEDevice

from ble_ota.addresses import normal
from ble_ota.errors import BleOtaError, DeviceNotFoundError
from ble_ota.gatt.bleak_bus import Bus
from ble_ota.gatt.bleak_call import Lost, call
from ble_ota.gatt.bleak_ear import Ear
from ble_ota.gatt.bleak_errors import Kind, bleak_errors, kind_of, unusable
from ble_ota.gatt.bleak_link import BleakLink
from ble_ota.gatt.bleak_systems import System, place, properties, remembered

CONNECT_MIN_S = 1.0  # our choice: what is left to connect in, however long the device was looked for
GRACE_S = 1.0  # our choice: bleak has the same time as we, and cleans up when it is over
BUS_S = 1.0  # our choice: a bus that takes longer is not waited for
LOOKS = 5  # looks at the air that was deaf while others connected; each is shorter than the one before


@dataclass(frozen=True, slots=True)
class Again:
    """How often an attempt to connect that ended in one way is made, and the pause before the second."""

    tries: int
    pause_s: float
    """Doubled before each further one."""


TRIES = {  # pauses as long as bleak-retry-connector's, which has met more adapters than we have
    Kind.ABORTED: Again(3, 0.25),
    Kind.ABSENT: Again(3, 0.25),
    Kind.BUSY: Again(6, 0.25),
    Kind.OFF: Again(4, 1.0),
    Kind.FULL: Again(3, 4.0),
}
"""What is tried again within one `connect`, as far as its time goes; what is not here is told at once."""

MakeClient = Callable[[BLEDevice, Lost, float], BleakClient]
"""Makes a client for a device, that tells of its loss, with seconds to connect in."""


class Dial:
    """One call of one device.

    Args:
        ear: What listens on the adapter.
        client: Makes a client.
        system: What lies below.
        address: Whom to call.
        until_s: When to give up, by the loop's clock; what others take of the adapter's time is added.
    """

    def __init__(self, ear: Ear, client: MakeClient, system: System, address: str, until_s: float) -> None:
        self._ear = ear
        self._make = client
        self._system = system
        self._address = address
        self._until_s = until_s
        self._device: BLEDevice | None = None
        self._client: BleakClient | None = None
        self._link: BleakLink | None = None
        self._bus: Bus | None = None

    async def link(self) -> BleakLink:
        """Call until the link stands, as often as `TRIES` says.

        Raises:
            BleOtaError: As `link.Radio.connect`, of the last attempt.
        """
        loop, tried = asyncio.get_running_loop(), dict.fromkeys(Kind, 0)
        while True:
            device = await self._find()  # what listens has a patience of its own
            try:
                return await self._attempt(device)
            except BleOtaError as error:
                kind = kind_of(error)
                again = TRIES.get(kind, Again(0, 0.0))
                pause_s = again.pause_s * 2 ** tried[kind]
                tried[kind] += 1
                if tried[kind] >= again.tries or loop.time() + pause_s >= self._until_s:
                    raise
            await asyncio.sleep(pause_s)

    async def end(self, within_s: float) -> None:
        """Disconnect, and let the system forget what it should read anew; each within `within_s` seconds."""
        client, self._client = self._client, None
        bus, self._bus = self._bus, None
        try:
            if client is not None:
                with suppress(BleOtaError):
                    await call(client.disconnect(), "disconnecting", within_s=within_s)
                if await self._to_forget(bus):
                    with suppress(BleOtaError):
                        await call(client.unpair(), "forgetting its services", within_s=within_s)
        finally:  # also for who is cancelled meanwhile
            if bus is not None:
                bus.end()

    async def _to_forget(self, bus: Bus | None) -> bool:
        """Whether the system keeps services of a device that nobody wants it to remember. Only what was connected."""
        if self._link is None or self._device is None or self._link.paired or not self._system.keeps_services:
            return False
        now = None
        if bus is not None:
            with suppress(BleOtaError):
                now = await call(bus.properties(), "asking whether it is remembered", within_s=BUS_S)
        return not remembered(now or properties(self._device))

    async def _attempt(self, device: BLEDevice) -> BleakLink:
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        async with self._ear.silence():
            self._until_s += loop.time() - asked_s
            try:
                return await self._connected(device, max(CONNECT_MIN_S, self._until_s - loop.time()))
            except BaseException:
                await self.end(CONNECT_MIN_S)
                raise

    async def _connected(self, device: BLEDevice, within_s: float) -> BleakLink:
        doing, lost = f"connecting to {self._address}", asyncio.get_running_loop().create_future()
        try:
            client = self._make(device, lost, within_s)
        except Exception as error:
            raise unusable(error) from error
        self._device, self._client = device, client
        await self._join(device, lost)  # first: a device may ask to be paired as soon as it is called
        await call(client.connect(), doing, lost=lost, within_s=within_s + GRACE_S)
        with bleak_errors(doing):
            link = BleakLink(client, lost, self._system)
        await link.settle()
        self._link = link
        return link

    async def _join(self, device: BLEDevice, lost: Lost) -> None:
        """Be on the system's bus while the link stands; without it calls fail late, and nobody agrees to a pairing."""
        if self._system.service:
            bus = Bus(self._system.service, place(device), lost)
            with suppress(BleOtaError):
                await call(bus.begin(), "joining the bus", within_s=BUS_S)
                self._bus = bus

    async def _find(self) -> BLEDevice:
        loop = asyncio.get_running_loop()
        began_s, left_s = loop.time(), self._until_s - loop.time()
        for _ in range(LOOKS):
            deaf_s = self._ear.deaf_s
            device = await self._heard(left_s)
            if device is not None:
                return device
            left_s = self._ear.deaf_s - deaf_s
            self._until_s += left_s
            if left_s <= 0:
                break
        msg = f"{self._address} was not heard within {loop.time() - began_s:.3g} s"
        raise DeviceNotFoundError(msg)

    async def _heard(self, within_s: float) -> BLEDevice | None:
        wanted = normal(self._address) or self._address.upper()
        async with aclosing(self._ear.sightings(within_s)) as sightings:
            async for device, _ in sightings:
                if device.address.upper() == wanted:
                    return device
        return None

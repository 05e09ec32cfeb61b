"""A peripheral on real HCI, L2CAP and ATT bytes: Bumble as its host stack.

What the peripheral asks for is done by one task, in order: a write handler of Bumble's that awaits would let later
writes overtake earlier ones (seen in bumble 0.0.236), so nothing in here awaits in a handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from bumble import core, gatt
from bumble.device import Connection, Device

from ble_ota.virtual.peripheral import Advertisement, Peripheral, VirtualCharacteristic

ADVERTISING_INTERVAL_MS = 20  # the shortest there is; Core Specification Vol 6 Part B 4.4.2.2
ADVERTISEMENT_MAX = 31  # bytes of a legacy advertisement; Core Specification Vol 6 Part B 2.3.1.3
FLAGS_LE_ONLY_DISCOVERABLE = 0x06
MAX_VALUE_OVERHEAD = 3  # of an indication: opcode 1, handle 2


class BumbleHost:
    """Carries one peripheral on one Bumble device; a `peripheral.Carrier`."""

    def __init__(self, device: Device, peripheral: Peripheral) -> None:
        self._device = device
        self._peripheral = peripheral
        self._connection: Connection | None = None
        self._lost = asyncio.Event()
        self._advertisement: Advertisement | None = None
        self._asked: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._characteristics: dict[str, gatt.Characteristic[Any]] = {}

    # ------------------------------------------------------------------ Carrier

    @property
    def max_value(self) -> int:
        """Bytes one indication may carry."""
        return self._connection.att_mtu - MAX_VALUE_OVERHEAD if self._connection else 20

    def send(self, uuid: str, value: bytes) -> None:
        """Queue one indication or notification."""
        if self._connection is not None:
            self._asked.put_nowait(partial(self._send, self._connection, uuid, value))

    def disconnect(self) -> None:
        """Queue the end of the link."""
        if self._connection is not None:
            self._asked.put_nowait(partial(self._disconnect, self._connection))

    def advertise(self, advertisement: Advertisement | None) -> None:
        """Queue a change of what is advertised."""
        self._advertisement = advertisement
        self._asked.put_nowait(self._advertise)

    # ------------------------------------------------------------------ what the one task does

    async def _send(self, connection: Connection, uuid: str, value: bytes) -> None:
        characteristic = self._characteristics[uuid]
        indicate = characteristic.properties & gatt.Characteristic.Properties.INDICATE
        tell = self._device.indicate_subscriber if indicate else self._device.notify_subscriber
        await self._while_linked(connection, tell(connection, characteristic, value))

    async def _while_linked(self, connection: Connection, doing: Awaitable[None]) -> None:
        """Await `doing` unless the link goes first: Bumble would wait out its 30 s."""
        task = asyncio.ensure_future(doing)
        gone = asyncio.ensure_future(self._gone(connection))
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        for future in (task, gone):
            future.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)

    async def _gone(self, connection: Connection) -> None:
        if connection is self._connection:
            await self._lost.wait()

    async def _disconnect(self, connection: Connection) -> None:
        if connection is self._connection:
            await connection.disconnect()

    async def _advertise(self) -> None:
        if self._device.is_advertising:
            await self._device.stop_advertising()
        if self._advertisement is not None and self._connection is None:
            first, second = packets(self._advertisement)
            await self._device.start_advertising(advertising_data=first, scan_response_data=second)

    # ------------------------------------------------------------------ the device's side of the stack

    @asynccontextmanager
    async def on(self) -> AsyncGenerator[None, None]:
        """Power on, carry the peripheral for as long as the block lasts."""
        self._device.advertising_interval_min = self._device.advertising_interval_max = ADVERTISING_INTERVAL_MS
        for service in self._peripheral.services:
            characteristics = [self._characteristic(c) for c in service.characteristics]
            self._device.add_service(gatt.Service(core.UUID(service.uuid), characteristics))
        self._device.on(Device.EVENT_CONNECTION, self._linked)
        await self._device.power_on()
        self._peripheral.attach(self)
        worker = asyncio.create_task(self._work(), name="virtual peripheral")
        try:
            yield
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker

    async def _work(self) -> None:
        task = asyncio.current_task()
        while task is not None and not task.cancelling():  # Bumble may swallow a cancellation
            asked = await self._asked.get()
            try:
                await asked()
            except (core.BaseBumbleError, OSError):
                continue  # the link went in the meantime; whoever asked hears of that by `disconnected`

    def _characteristic(self, wanted: VirtualCharacteristic) -> gatt.Characteristic[Any]:
        properties = gatt.Characteristic.Properties(0)
        for name in wanted.properties:
            properties |= gatt.Characteristic.Properties[name.replace("-", "_").upper()]
        permissions = gatt.Characteristic.READABLE | gatt.Characteristic.WRITEABLE
        value = gatt.CharacteristicValue(
            read=lambda _connection: self._peripheral.read(wanted.uuid),
            write=lambda _connection, written: self._peripheral.written(wanted.uuid, bytes(written)),
        )
        made = gatt.Characteristic(core.UUID(wanted.uuid), properties, permissions, value)
        self._characteristics[wanted.uuid] = made
        return made

    def _linked(self, connection: Connection) -> None:
        self._connection = connection
        self._lost = asyncio.Event()
        connection.on(Connection.EVENT_DISCONNECTION, self._unlinked)
        self._peripheral.connected()

    def _unlinked(self, _reason: int) -> None:
        self._connection = None
        self._lost.set()
        self._peripheral.disconnected()
        self._asked.put_nowait(self._advertise)


def packets(advertisement: Advertisement) -> tuple[bytes, bytes]:
    """An advertisement as its two packets of at most 31 bytes: who it is, and what its maker says.

    Raises:
        ValueError: It does not fit.
    """
    kind = core.AdvertisingData.Type
    uuids = b"".join(int(u[4:8], 16).to_bytes(2, "little") for u in advertisement.services)  # all are 16-bit ones
    first = bytes(
        core.AdvertisingData(
            [
                (kind.FLAGS, bytes((FLAGS_LE_ONLY_DISCOVERABLE,))),
                (kind.COMPLETE_LOCAL_NAME, advertisement.name.encode()),
                (kind.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, uuids),
            ]
        )
    )
    second = bytes(
        core.AdvertisingData(
            [
                (kind.MANUFACTURER_SPECIFIC_DATA, company.to_bytes(2, "little") + data)
                for company, data in advertisement.manufacturer.items()
            ]
        )
    )
    if max(len(first), len(second)) > ADVERTISEMENT_MAX:
        msg = f"an advertisement of {len(first)} and {len(second)} bytes does not fit {ADVERTISEMENT_MAX} each"
        raise ValueError(msg)
    return first, second

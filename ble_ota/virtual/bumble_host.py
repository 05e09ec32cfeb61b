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

from bumble import att, core, gatt
from bumble.device import Connection, Device

from ble_ota.link import ATT_VALUE_MAX, ATT_WRITE_OVERHEAD, uuid16
from ble_ota.virtual.peripheral import Advertisement, Peripheral, VirtualCharacteristic

ADVERTISING_INTERVAL_MS = 20  # the shortest there is; Core Specification Vol 6 Part B 4.4.2.2
ADVERTISEMENT_MAX = 31  # bytes of a legacy advertisement; Core Specification Vol 6 Part B 2.3.1.3
FLAGS_LE_ONLY_DISCOVERABLE = 0x06
OFF_S = 1.0  # our choice: for a controller to take it off the air; one that is gone does not answer


class BumbleHost:
    """Carries one peripheral on one Bumble device; a `peripheral.Carrier`."""

    def __init__(self, device: Device, peripheral: Peripheral) -> None:
        self._device = device
        self._peripheral = peripheral
        self._connection: Connection | None = None
        self._lost = asyncio.Event()
        self._packets: tuple[bytes, bytes] | None = None  # advertisement and scan response
        self._asked: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._characteristics: dict[str, gatt.Characteristic[Any]] = {}

    # ------------------------------------------------------------------ Carrier

    @property
    def max_value(self) -> int:
        """Bytes one indication may carry."""
        mtu = self._connection.att_mtu if self._connection else att.ATT_DEFAULT_MTU
        return min(mtu - ATT_WRITE_OVERHEAD, ATT_VALUE_MAX)

    def send(self, uuid: str, value: bytes) -> None:
        """Queue one indication or notification."""
        if self._connection is not None:
            self._asked.put_nowait(partial(self._send, self._connection, uuid, value))

    def disconnect(self) -> None:
        """Queue the end of the link."""
        if self._connection is not None:
            self._asked.put_nowait(partial(self._disconnect, self._connection))

    def advertise(self, advertisement: Advertisement | None) -> None:
        """Queue a change of what is advertised. Raises `ValueError` if it does not fit."""
        self._packets = packets(advertisement) if advertisement is not None else None
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
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if task.done() and not task.cancelled():
                task.result()
        finally:
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
        if self._packets is not None and self._connection is None:
            first, second = self._packets
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
            await self._off()

    async def _off(self) -> None:
        """Leave the air."""
        with suppress(core.BaseBumbleError, OSError, TimeoutError):
            async with asyncio.timeout(OFF_S):
                if self._device.is_advertising:
                    await self._device.stop_advertising()
                for connection in tuple(self._device.connections.values()):
                    await connection.disconnect()

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
        permissions = gatt.Characteristic.READABLE | gatt.Characteristic.WRITEABLE  # Bumble does not look at these two
        if wanted.sealed:
            permissions |= gatt.Characteristic.READ_REQUIRES_ENCRYPTION
            permissions |= gatt.Characteristic.WRITE_REQUIRES_ENCRYPTION
        value = gatt.CharacteristicValue(
            read=lambda _connection: self._read(wanted),
            write=lambda _connection, written: self._written(wanted, bytes(written)),
        )
        made = gatt.Characteristic(core.UUID(wanted.uuid), properties, permissions, value)
        self._characteristics[wanted.uuid] = made
        return made

    def _read(self, wanted: VirtualCharacteristic) -> bytes:
        if "read" not in wanted.properties:
            raise att.ATT_Error(att.ErrorCode.READ_NOT_PERMITTED)
        return self._peripheral.read(wanted.uuid)

    def _written(self, wanted: VirtualCharacteristic, value: bytes) -> None:
        if not wanted.properties & {"write", "write-without-response"}:
            raise att.ATT_Error(att.ErrorCode.WRITE_NOT_PERMITTED)
        self._peripheral.written(wanted.uuid, value)

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
        ValueError: It does not fit, or a service has no 16-bit UUID.
    """
    kind = core.AdvertisingData.Type
    numbers = [int(u[4:8], 16) for u in advertisement.services]
    if [uuid16(n) for n in numbers] != list(advertisement.services):
        msg = "a service with a UUID of 128 bits cannot be advertised here"
        raise ValueError(msg)
    uuids = b"".join(n.to_bytes(2, "little") for n in numbers)
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

"""A controller of one's own: Bumble as a bleak backend, so that one adapter (`bleak_radio.py`) serves both.

bleak wants backend classes and makes the objects itself; `backends` makes classes that belong to one powered-on
Bumble device. The ATT MTU is exchanged on connect, values are capped at 512 bytes, and Bumble's errors become
bleak's here, as theirs become ours in `bleak_radio.py`. A Bumble device makes one connection at a time: who comes
second waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from bleak.args import SizedBuffer
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError
from bumble import att, core, hci
from bumble.device import Connection, Device, Peer
from bumble.transport import open_transport

from ble_ota.errors import AdapterError
from ble_ota.gatt.bleak_radio import BleakRadio
from ble_ota.gatt.bumble_scanner import BumbleScanner, Scanning, as_bleak, uuid_text
from ble_ota.link import ATT_VALUE_MAX, ATT_WRITE_OVERHEAD

T = TypeVar("T")
MTU = 517  # a 512-byte value and its head fit; the peer answers with what it can
POWER_ON_S = 10.0  # our choice: a controller that does not answer its reset by then is not one
GIVE_UP_S = 5.0  # our choice: for a controller to end what was begun; one that does not is left to itself
HUNG_UP = "not connected"
PENDING_MAX = 32  # ACL packets under way before a write command waits: Bumble itself takes any number


@asynccontextmanager
async def open_radio(transport: str) -> AsyncGenerator[BleakRadio, None]:
    """Open the controller at `transport` (`usb:0`, `tcp-client:127.0.0.1:7300`, `vhci` …), as Bumble names them.

    Raises:
        AdapterError: It cannot be opened, or is no controller.
    """
    try:
        opened = await open_transport(transport)
    except (OSError, ValueError, LookupError, core.BaseBumbleError) as error:
        msg = f"the Bluetooth controller {transport} cannot be opened: {error}"
        raise AdapterError(msg, hint="Check the name after `bumble:`, and that nobody else has it open") from error
    async with opened:
        device = Device.with_hci("ble-ota", hci.Address.generate_static_address(), opened.source, opened.sink)
        async with radio(device, transport) as made:
            yield made


@asynccontextmanager
async def radio(device: Device, name: str) -> AsyncGenerator[BleakRadio, None]:
    """Power `device` on and make a radio of it.

    Raises:
        AdapterError: It does not answer.
    """
    try:
        async with asyncio.timeout(POWER_ON_S):
            await device.power_on()
    except (TimeoutError, core.BaseBumbleError, OSError) as error:
        msg = f"the Bluetooth controller {name} does not answer"
        raise AdapterError(msg) from error
    scanner, client = backends(device)
    try:
        yield BleakRadio(scanner=scanner, client=client)
    finally:
        with suppress(BleakError, OSError, TimeoutError):
            async with asyncio.timeout(GIVE_UP_S):
                for connection in tuple(device.connections.values()):
                    await as_bleak(connection.disconnect())


def backends(device: Device) -> tuple[type[BaseBleakScanner], type[BaseBleakClient]]:
    """Backend classes for `BleakScanner` and `BleakClient` over a powered-on `device`."""

    class Scanner(BumbleScanner):
        scanning = Scanning(device)

    class Client(BumbleClient):
        _device = device
        _turn = asyncio.Lock()

    return Scanner, Client


class BumbleClient(BaseBleakClient):
    """bleak's client over Bumble."""

    _device: Device
    _turn: asyncio.Lock

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout, **kwargs)
        known = address_or_ble_device.details if isinstance(address_or_ble_device, BLEDevice) else None
        self._peer_address: hci.Address = known or hci.Address(self.address)
        self._connection: Connection | None = None

    @property
    def name(self) -> str:
        """The device's address: Bumble keeps no names."""
        return self.address

    @property
    def mtu_size(self) -> int:
        """The ATT MTU of the link, in bytes."""
        return self._connection.att_mtu if self._connection else att.ATT_DEFAULT_MTU

    @property
    def is_connected(self) -> bool:
        """Whether the link stands."""
        return self._connection is not None

    async def connect(self, pair: bool = False, **_: Any) -> None:
        """Connect, exchange the MTU, discover everything."""
        connection = await self._call()
        self._connection = connection
        connection.on(Connection.EVENT_DISCONNECTION, self._gone)
        if self._device.connections.get(connection.handle) is not connection:  # it ended before we listened
            self._gone()
            raise BleakError(HUNG_UP)
        peer = Peer(connection)
        await self._linked(peer.request_mtu(MTU))
        if pair:
            await self.pair()
        await self._linked(self._discover(peer))

    async def _call(self) -> Connection:
        """Make the connection; nothing of it is left behind by whoever gives up."""
        async with self._turn:
            calling = asyncio.ensure_future(self._device.connect(self._peer_address, timeout=self._timeout))
            try:
                return await asyncio.shield(calling)
            except (core.TimeoutError, core.ConnectionError) as error:
                raise BleakDeviceNotFoundError(self.address) from error
            except core.BaseBumbleError as error:
                raise BleakError(str(error)) from error
            except asyncio.CancelledError:
                await self._hang_up(calling)
                raise

    async def _hang_up(self, calling: asyncio.Future[Connection]) -> None:
        """End an attempt to connect, and the connection it may have come to meanwhile."""
        with suppress(BleakError, OSError, TimeoutError):
            async with asyncio.timeout(GIVE_UP_S):
                with suppress(BleakError):  # disallowed: there was nothing under way any more
                    await as_bleak(self._device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command()))
                connection = await as_bleak(calling)
                await as_bleak(connection.disconnect())

    async def _discover(self, peer: Peer) -> None:
        found = BleakGATTServiceCollection()
        for service in await peer.discover_services():
            known = BleakGATTService(service, service.handle, uuid_text(service.uuid))
            found.add_service(known)
            for char in await service.discover_characteristics():
                properties = list(gatt_char_props_to_strs(char.properties))
                listed = BleakGATTCharacteristic(char, char.handle, uuid_text(char.uuid), properties, self._room, known)
                found.add_characteristic(listed)
                for descriptor in await char.discover_descriptors():
                    found.add_descriptor(
                        BleakGATTDescriptor(descriptor, descriptor.handle, uuid_text(descriptor.type), listed)
                    )
        self.services = found

    def _room(self) -> int:
        return min(self.mtu_size - ATT_WRITE_OVERHEAD, ATT_VALUE_MAX)

    def _gone(self, *_: int) -> None:
        if self._connection is None:
            return
        self._connection = None
        if self._disconnected_callback:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        """Drop the link, if there is one."""
        if self._connection is not None:
            await as_bleak(self._connection.disconnect())

    async def pair(self, *_: Any, **__: Any) -> None:
        """Pair by what both sides can."""
        if self._connection is not None:
            await self._linked(self._connection.pair())

    async def unpair(self) -> None:
        """Forget the bond: there is none to forget, keys live as long as the device object."""

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **_: Any
    ) -> bytearray:
        """Read a characteristic by its handle."""
        return bytearray(await self._linked(characteristic.obj.read_value()))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **_: Any
    ) -> bytearray:
        """Read a descriptor by its handle."""
        return bytearray(await self._linked(descriptor.obj.read_value()))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool) -> None:
        """Write a characteristic; a command waits while too many packets are under way."""
        await self._linked(characteristic.obj.write_value(bytes(data), with_response=response))
        queue = self._device.host.le_acl_packet_queue
        while not response and queue is not None and queue.pending > PENDING_MAX:
            await asyncio.sleep(0)
            self._standing()

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        """Write a descriptor."""
        await self._linked(descriptor.obj.write_value(bytes(data), with_response=True))

    async def start_notify(self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_: Any) -> None:
        """Subscribe by what the characteristic offers, notifications before indications."""
        await self._linked(characteristic.obj.subscribe(lambda value: callback(bytearray(value))))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """Unsubscribe."""
        await self._linked(characteristic.obj.unsubscribe())

    def _standing(self) -> None:
        if self._connection is None:
            raise BleakError(HUNG_UP)

    async def _linked(self, doing: Awaitable[T]) -> T:
        self._standing()
        return await as_bleak(doing)

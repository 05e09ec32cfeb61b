"""A controller of one's own: Bumble as a bleak backend, so that one adapter (`bleak_radio.py`) serves both.

bleak wants backend classes and makes the objects itself; `backends` makes classes that belong to one powered-on
Bumble device. The ATT MTU is exchanged on connect, values are capped at 512 bytes, and Bumble's errors become
bleak's here, as theirs become ours in `bleak_radio.py`. A Bumble device makes one connection at a time: who comes
second waits. What opens controllers, and opens lost ones again, is `bumble_controller.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
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
from bumble.host import DataPacketQueue

from ble_ota.gatt.bleak_radio import BleakRadio
from ble_ota.gatt.bumble_options import DEFAULT, LinkOptions
from ble_ota.gatt.bumble_power import power_on
from ble_ota.gatt.bumble_scanner import BumbleScanner, Scanning, as_bleak, uuid_text
from ble_ota.gatt.bumble_wishes import bonded, preferences, secure, tune
from ble_ota.link import ATT_VALUE_MAX, ATT_WRITE_OVERHEAD

T = TypeVar("T")
GIVE_UP_S = 5.0  # our choice: for a controller to end what was begun; one that does not is left to itself
HUNG_UP = "not connected"
NO_ROOM = (
    hci.HCI_ErrorCode.MEMORY_CAPACITY_EXCEEDED_ERROR,
    hci.HCI_ErrorCode.CONNECTION_LIMIT_EXCEEDED_ERROR,
    hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR,  # nothing else is under way, so that is what it means
    hci.HCI_ErrorCode.CONNECTION_REJECTED_DUE_TO_LIMITED_RESOURCES_ERROR,
)
PENDING_MAX = 32  # ACL packets under way before a write command waits: Bumble itself takes any number


@asynccontextmanager
async def radio(device: Device, name: str, options: LinkOptions = DEFAULT) -> AsyncGenerator[BleakRadio, None]:
    """Power `device` on and make a radio of it.

    Raises:
        AdapterError: It does not answer, or lacks its firmware.
    """
    await power_on(device, name)
    scanner, client = backends(device, options)
    try:
        yield BleakRadio(scanner=scanner, client=client)
    finally:
        with suppress(BleakError, OSError, TimeoutError):
            async with asyncio.timeout(GIVE_UP_S):
                for connection in tuple(device.connections.values()):
                    await as_bleak(connection.disconnect())


def backends(
    device: Device, options: LinkOptions = DEFAULT, *, hangs: Callable[[], None] = lambda: None
) -> tuple[type[BaseBleakScanner], type[BaseBleakClient]]:
    """Backend classes for `BleakScanner` and `BleakClient` over a powered-on `device`.

    Args:
        device: Whose.
        options: How links are to be.
        hangs: Called when the controller leaves a command without an answer.
    """

    class Scanner(BumbleScanner):
        scanning = Scanning(device, hangs)

    class Client(BumbleClient):
        _device = device
        _options = options
        _turn = asyncio.Lock()
        _hangs = staticmethod(hangs)

    return Scanner, Client


class BumbleClient(BaseBleakClient):
    """bleak's client over Bumble."""

    _device: Device
    _options: LinkOptions
    _turn: asyncio.Lock
    _hangs: Callable[[], None]

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
        self._moved = asyncio.Event()  # packets have left, or the link has ended

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
        """Connect, make the link fast, exchange the MTU, discover everything; encrypted if there is a bond."""
        connection = await self._call()
        self._connection = connection
        connection.on(Connection.EVENT_DISCONNECTION, self._gone)
        if (queue := self._device.host.le_acl_packet_queue) is not None:
            queue.on("flow", self._moved.set)
        if self._device.connections.get(connection.handle) is not connection:  # it ended before we listened
            self._gone()
            raise BleakError(HUNG_UP)
        peer = Peer(connection)
        await tune(self._device, connection, self._options)
        if pair or await bonded(self._device, connection):
            await self.pair()
        await self._linked(peer.request_mtu(self._options.mtu))
        await self._linked(self._discover(peer))

    async def _call(self) -> Connection:
        """Make the connection; nothing of it is left behind by whoever gives up."""
        async with self._turn:
            wanted = preferences(self._options)
            calling = asyncio.ensure_future(
                self._device.connect(
                    self._peer_address, connection_parameters_preferences=wanted, timeout=self._timeout
                )
            )
            try:
                async with asyncio.timeout(self._timeout + GIVE_UP_S):  # a controller that hangs never says so
                    return await as_bleak(asyncio.shield(calling))
            except BleakError as error:
                raise self._refused(error) from error.__cause__
            except asyncio.CancelledError:
                await self._hang_up(calling)
                raise
            except TimeoutError:
                calling.cancel()
                self._hangs()
                raise

    def _refused(self, error: BleakError) -> Exception:
        """What it means that no connection came about."""
        cause = error.__cause__
        links = len(self._device.connections)
        if isinstance(cause, core.BaseError) and cause.error_code in NO_ROOM and links:
            return BleakError(f"no connection slot beside {links}")  # read in `bleak_errors.py`
        if isinstance(cause, core.TimeoutError | core.ConnectionError):
            return BleakDeviceNotFoundError(self.address)
        return error

    async def _hang_up(self, calling: asyncio.Future[Connection]) -> None:
        """End an attempt to connect, and the connection it may have come to meanwhile."""
        try:
            async with asyncio.timeout(GIVE_UP_S):
                try:
                    await as_bleak(self._device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command()))
                except BleakError as error:  # disallowed: there was nothing under way any more
                    if not isinstance(error.__cause__, hci.HCI_Error):
                        calling.cancel()  # the controller is gone, and will not say how it ended
                connection = await as_bleak(calling)
                await as_bleak(connection.disconnect())
        except TimeoutError:
            self._hangs()
        except (BleakError, OSError):
            return  # no connection: that is what was wanted

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
        self._moved.set()
        if (queue := self._device.host.le_acl_packet_queue) is not None:
            queue.remove_listener("flow", self._moved.set)
            asyncio.get_running_loop().call_soon(_nudge, self._device, queue)
        if self._disconnected_callback:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        """Drop the link, if there is one."""
        if self._connection is not None:
            await as_bleak(self._connection.disconnect())

    async def pair(self, *_: Any, **__: Any) -> None:
        """Encrypt by the bond there is, or pair by what both sides can."""
        if self._connection is not None:
            await self._linked(secure(self._device, self._connection))

    async def unpair(self) -> None:
        """Forget the bond."""
        if self._device.keystore is not None and await self._device.keystore.get(str(self._peer_address)):
            await self._device.keystore.delete(str(self._peer_address))

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
            self._moved.clear()
            await self._moved.wait()
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

    async def _linked(self, doing: Coroutine[Any, Any, T]) -> T:
        try:
            self._standing()
            return await as_bleak(doing)
        finally:
            doing.close()


def _nudge(device: Device, queue: DataPacketQueue) -> None:
    """Send what waited for the buffers of a link that has ended: Bumble frees them and looks no further (0.0.236)."""
    for handle in device.connections:
        queue.on_packets_completed(0, handle)

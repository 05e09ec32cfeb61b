"""The system's Bluetooth through bleak; with other backend classes, a controller through Bumble.

Nothing of bleak's leaves this file: not its exceptions, not its objects. Characteristics are addressed by handle,
since bleak refuses a look-up by a UUID that occurs twice. A device is looked for anew before every connect: what an
operating system remembers of one that was away may be stale.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)

from ble_ota.errors import AdapterError, AttRefusedError, DeviceNotFoundError, LinkLostError
from ble_ota.link import ATT_VALUE_MAX, Advert, Characteristic, Link, LinkFacts
from ble_ota.script import Notified
from ble_ota.text import clean

T = TypeVar("T")
ADVERTS_KEPT = 256  # sightings not yet taken by a slow listener; older ones are dropped
INBOX_MAX = 4096  # notifications not yet taken; a device that sends more floods us
DISCONNECT_S = 5.0  # our choice: a system that does not confirm is left to itself


class BleakRadio:
    """A `link.Radio` over bleak.

    Args:
        scanner: Backend class for scanning; None is the system's own.
        client: Backend class for connections; None is the system's own.
    """

    def __init__(
        self, *, scanner: type[BaseBleakScanner] | None = None, client: type[BaseBleakClient] | None = None
    ) -> None:
        self._scanner = scanner
        self._client = client

    async def scan(self, *, within_s: float) -> AsyncGenerator[Advert, None]:
        """Sightings as they come; see `link.Radio.scan`."""
        async with aclosing(self._sightings(within_s)) as sightings:
            async for device, data in sightings:
                yield _advert(device, data)

    async def _sightings(self, within_s: float) -> AsyncGenerator[tuple[BLEDevice, AdvertisementData], None]:
        heard: asyncio.Queue[tuple[BLEDevice, AdvertisementData]] = asyncio.Queue(ADVERTS_KEPT)

        def hear(device: BLEDevice, data: AdvertisementData) -> None:
            if heard.full():
                heard.get_nowait()
            heard.put_nowait((device, data))

        with _scan_errors():
            scanner = BleakScanner(hear, backend=self._scanner)
            await scanner.start()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        try:
            while True:
                async with asyncio.timeout_at(until_s):
                    sighting = await heard.get()
                yield sighting
        except TimeoutError:
            return
        finally:
            with suppress(BleakError, OSError):
                await scanner.stop()

    @asynccontextmanager
    async def connect(self, address: str, *, within_s: float) -> AsyncGenerator[Link, None]:
        """Find, connect, discover; see `link.Radio.connect`."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        device = await self._find(address, within_s)
        lost = asyncio.Event()
        client = BleakClient(
            device, lambda _client: lost.set(), timeout=max(1.0, until_s - loop.time()), backend=self._client
        )
        try:
            with _bleak_errors(f"connecting to {address}"):
                await client.connect()
                link = BleakLink(client, lost)
            yield link
        finally:
            with suppress(BleakError, OSError, EOFError, TimeoutError):
                async with asyncio.timeout(DISCONNECT_S):
                    await client.disconnect()

    async def _find(self, address: str, within_s: float) -> BLEDevice:
        async with aclosing(self._sightings(within_s)) as sightings:
            async for device, _ in sightings:
                if device.address.upper() == address.upper():
                    return device
        msg = f"{address} was not heard within {within_s:g} s"
        raise DeviceNotFoundError(msg)


def _advert(device: BLEDevice, data: AdvertisementData) -> Advert:
    return Advert(
        device.address.upper(),
        data.local_name or device.name or "",
        data.rssi,
        tuple(u.lower() for u in data.service_uuids),
        dict(data.manufacturer_data),
    )


class BleakLink:
    """A `link.Link` over one connected `BleakClient`."""

    def __init__(self, client: BleakClient, lost: asyncio.Event) -> None:
        self._client = client
        self._lost = lost
        self._inbox: deque[Notified] = deque()
        self._heard = asyncio.Event()
        self._chars = {c.handle: c for c in client.services.characteristics.values()}

    @property
    def facts(self) -> LinkFacts:
        """Address, characteristics and write sizes; the sizes as they are now, systems may learn the MTU late."""
        return LinkFacts(
            self._client.address.upper(),
            tuple(
                Characteristic(
                    c.handle,
                    c.uuid.lower(),
                    c.service_uuid.lower(),
                    min(c.max_write_without_response_size, ATT_VALUE_MAX),
                )
                for c in self._chars.values()
            ),
        )

    async def subscribe(self, char: int) -> None:
        """See `link.Link.subscribe`."""

        def hear(_char: BleakGATTCharacteristic, data: bytearray) -> None:
            if len(self._inbox) < INBOX_MAX:
                self._inbox.append(Notified(char, bytes(data)))
            self._heard.set()

        await self._while_linked(self._client.start_notify(self._chars[char], hear), "subscribing")

    async def read(self, char: int) -> bytes:
        """See `link.Link.read`."""
        return bytes(await self._while_linked(self._client.read_gatt_char(self._chars[char]), "reading"))

    async def write(self, char: int, data: bytes, *, ack: bool) -> None:
        """See `link.Link.write`.

        Raises:
            ValueError: More bytes than one write may carry; a bug of the caller. Systems make long writes of it.
        """
        if self._lost.is_set() or not self._client.is_connected:  # what one write may carry is no longer true then
            raise _gone("writing")
        room = min(self._chars[char].max_write_without_response_size, ATT_VALUE_MAX)
        if len(data) > room:
            msg = f"a write of {len(data)} bytes where one may have {room}"
            raise ValueError(msg)
        write = self._client.write_gatt_char(self._chars[char], data, response=ack)
        await self._while_linked(write, "writing")

    async def notification(self, chars: tuple[int, ...]) -> Notified:
        """See `link.Link.notification`; what came before a loss is still given."""
        while True:
            for heard in self._inbox:
                if heard.char in chars:
                    self._inbox.remove(heard)
                    return heard
            self._heard.clear()
            await self._while_linked(self._heard.wait(), "waiting for the device")

    async def _while_linked(self, doing: Coroutine[Any, Any, T], what: str) -> T:
        """Await `doing`, unless the link goes first: not every system ends what was under way."""
        if self._lost.is_set():
            doing.close()
            raise _gone(what)
        task = asyncio.ensure_future(doing)
        gone = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done() or task.cancelled():
                raise _gone(what)
            with _bleak_errors(what):
                return await task
        finally:
            for future in (task, gone):
                future.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)


def _text(error: Exception) -> str:
    """What `error` says, without numbers and names that only bleak knows."""
    said: object = error
    if isinstance(error, BleakBluetoothNotAvailableError):
        said = error.args[0]
    elif isinstance(error, OSError) and error.strerror:
        said = error.strerror
    return clean(str(said), most=200) or type(error).__name__


def _gone(what: str) -> LinkLostError:
    return LinkLostError(f"the connection dropped while {what}")


@contextmanager
def _bleak_errors(doing: str) -> Generator[None, None, None]:
    """Let nothing of bleak's out."""
    try:
        yield
    except BleakGATTProtocolError as error:
        raise AttRefusedError(doing, int(error.code)) from error
    except BleakDeviceNotFoundError as error:
        msg = f"{doing}: the device does not answer"
        raise DeviceNotFoundError(msg) from error
    except BleakBluetoothNotAvailableError as error:
        msg = f"{doing}: Bluetooth is not available ({_text(error)})"
        raise AdapterError(msg) from error
    except TimeoutError as error:
        msg = f"{doing}: no answer in time"
        raise LinkLostError(msg) from error
    except Exception as error:
        if not _foreign(error):
            raise
        msg = f"{doing}: the connection dropped ({_text(error)})"
        raise LinkLostError(msg) from error


@contextmanager
def _scan_errors() -> Generator[None, None, None]:
    """A scan that cannot begin is the adapter's fault, whatever bleak calls it."""
    try:
        yield
    except Exception as error:
        if not _foreign(error):
            raise
        msg = f"Bluetooth cannot be used: {_text(error)}"
        raise AdapterError(msg) from error


def _foreign(error: Exception) -> bool:
    """Whether it is bleak's or the system's. dbus_fast, which is there on Linux only, comes through bleak as it is."""
    return isinstance(error, BleakError | OSError | EOFError) or type(error).__module__.startswith("dbus_fast.")

"""One controller: opened, powered on, and, when it was lost, opened again.

It is lost when its transport ends (the dongle is pulled, the port closes, the other end of the socket dies) or when it
leaves a command without an answer. Bumble lets some waits run on then. So whoever waits does it within `watched`, and
every packet for a lost controller is an error at once (`_Tombstone`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bumble import hci
from bumble.device import Device
from bumble.transport.common import Transport, TransportLostError

from ble_ota.errors import AdapterError, LinkError
from ble_ota.gatt.bleak_radio import BleakRadio
from ble_ota.gatt.bumble_backend import GIVE_UP_S, backends
from ble_ota.gatt.bumble_bonds import Bonds
from ble_ota.gatt.bumble_options import LinkOptions
from ble_ota.gatt.bumble_power import power_on
from ble_ota.gatt.bumble_scanner import as_bleak
from ble_ota.gatt.bumble_transport import opened

BACKOFF_S, BACKOFF_MAX_S = 0.1, 2.0  # our choice: a dongle that is plugged in again takes a second or two
GONE = "Plug it in again, or start again what serves it; the same command carries on"

_log = logging.getLogger(__name__)


class _Tombstone:
    """Where the packets for a lost controller go."""

    def on_packet(self, packet: bytes) -> None:
        msg = f"{len(packet)} bytes for a controller that is gone"
        raise TransportLostError(msg)


@dataclass(frozen=True, slots=True)
class _Powered:
    """A controller from one power-on to its loss."""

    transport: Transport
    device: Device
    radio: BleakRadio
    lost: asyncio.Future[None]

    @property
    def gone(self) -> bool:
        """Whether it is lost: its transport knows of it a moment before `lost` is done."""
        return self.lost.done() or self.transport.source.terminated.done()


class Controller:
    """A controller by its name.

    Args:
        name: As `bumble_transport` reads it.
        options: How its links are to be.
        bonds: The folder for its bonds; None keeps none beyond the process.
    """

    def __init__(self, name: str, options: LinkOptions, bonds: Path | None) -> None:
        self.name = name
        self.links = 0
        self._options = options
        self._bonds = bonds
        self._powered: _Powered | None = None
        self._turn = asyncio.Lock()

    @property
    def lost(self) -> bool:
        """Whether it has to be opened again before it can be used."""
        return self._powered is None or self._powered.gone

    @property
    def room(self) -> int:
        """How many links it carries at once: one needs a packet buffer at least."""
        queue = self._powered.device.host.le_acl_packet_queue if self._powered else None
        return self._options.links if queue is None else max(1, min(self._options.links, queue.max_in_flight))

    @property
    def radio(self) -> BleakRadio:
        """What finds and connects, until the controller is lost."""
        if self._powered is None:
            raise self._gone()
        return self._powered.radio

    async def ready(self, within_s: float) -> None:
        """Open it, if it is not open; again and again within so many seconds if it had been, or hangs up at once.

        Raises:
            AdapterError: It cannot be opened.
            StorageError: Its bonds cannot be read.
        """
        until_s, pause_s = asyncio.get_running_loop().time() + within_s, BACKOFF_S
        async with self._turn:
            known = self._powered is not None
            while self.lost:
                try:
                    await self._open()
                except AdapterError as error:
                    worth = known or isinstance(error.__cause__, TransportLostError)  # who had it last may be leaving
                    if not worth or asyncio.get_running_loop().time() + pause_s > until_s:
                        raise
                    _log.info("%s; trying again", error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, BACKOFF_MAX_S)

    async def _open(self) -> None:
        await self._release()
        store = Bonds(self._bonds, self.name) if self._bonds is not None else None
        async with AsyncExitStack() as failed:
            transport = await opened(self.name)
            failed.push_async_callback(_closed, transport)
            address = store.own_address if store else hci.Address.generate_static_address()
            device = Device.with_hci("ble-ota", address, transport.source, transport.sink)
            device.keystore = store
            lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            transport.source.terminated.add_done_callback(lambda ended: _bury(device, lost, ended))
            await power_on(device, self.name)
            scanner, client = backends(device, self._options, hangs=lambda: _bury(device, lost))
            self._powered = _Powered(transport, device, BleakRadio(scanner=scanner, client=client), lost)
            failed.pop_all()

    async def close(self) -> None:
        """End its links and let go of it."""
        if self._powered is not None and not self.lost:
            with suppress(Exception):  # whatever it says to that, it is let go of
                async with asyncio.timeout(GIVE_UP_S):
                    for connection in tuple(self._powered.device.connections.values()):
                        await as_bleak(connection.disconnect())
        await self._release()
        self._powered = None

    async def _release(self) -> None:
        if self._powered is not None:
            _bury(self._powered.device, self._powered.lost)
            await _closed(self._powered.transport)

    @contextmanager
    def berth(self) -> Generator[None, None, None]:
        """Take one of its links for the block.

        Raises:
            AdapterError: All are taken.
        """
        if self.links >= self.room:
            msg = f"the Bluetooth controller {self.name} has all its {self.room} links in use"
            raise AdapterError(msg, hint="Wait until one has ended, or name a second controller: bumble:usb:0,usb:1")
        self.links += 1
        try:
            yield
        finally:
            self.links -= 1

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None, None]:
        """Leave the block at once when the controller is lost.

        Raises:
            AdapterError: It is lost.
        """
        if self._powered is None or self.lost:
            raise self._gone()
        lost, limit = self._powered.lost, asyncio.timeout(None)

        def end(_: asyncio.Future[None]) -> None:
            with suppress(RuntimeError):  # the block was left at the same moment
                limit.reschedule(0)

        lost.add_done_callback(end)
        try:
            async with limit:
                with self.blamed():
                    yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise self._gone() from error
        finally:
            lost.remove_done_callback(end)

    @contextmanager
    def blamed(self) -> Generator[None, None, None]:
        """A link that ends because the controller is lost is the adapter's fault.

        Raises:
            AdapterError: In place of the link's error.
        """
        powered = self._powered
        try:
            yield
        except LinkError as error:
            if powered is not None and powered.gone:
                raise self._gone() from error
            raise

    def _gone(self) -> AdapterError:
        return AdapterError(f"the Bluetooth controller {self.name} is gone", hint=GONE)


def _bury(device: Device, lost: asyncio.Future[None], ended: asyncio.Future[None] | None = None) -> None:
    """Let everybody who waits for the controller know that it does not come back."""
    if ended is not None and not ended.cancelled():
        ended.exception()  # seen: why a transport ended changes nothing here
    if lost.done():
        return
    lost.set_result(None)
    device.host.hci_sink = _Tombstone()
    host: Any = device.host  # whose annotations stop half-way
    pending: asyncio.Future[Any] | None = host.pending_response
    if pending is not None and not pending.done():
        msg = "the controller is gone"
        pending.set_exception(TransportLostError(msg))
    device.host.emit("flush")


async def _closed(transport: Transport) -> None:
    """Close it as far as it lets itself be closed: what has been pulled may not answer."""
    with suppress(Exception):
        async with asyncio.timeout(GIVE_UP_S):
            await transport.close()

"""A cable to a controller that speaks HCI over TCP: it can be pulled, plugged in again, and left without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bumble.device import Device
from bumble.hci import Address
from bumble.transport import open_transport

from ble_ota.virtual.bumble_host import BumbleHost
from ble_ota.virtual.hci_server import HOST, controllers
from tests.gatt.contract import PROMPT_S, Subject


class Cable:
    """Forwards one port to another."""

    def __init__(self, controller: int) -> None:
        self.port = 0
        self.frozen = False
        self.uses = 0
        """How often somebody has opened it."""
        self._controller = controller
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.WriteTransport] = set()
        self._free = asyncio.Event()

    @property
    def name(self) -> str:
        return f"tcp-client:{HOST}:{self.port}"

    @property
    def in_use(self) -> bool:
        return bool(self._ends)

    async def released(self) -> None:
        """Wait until nobody uses it any more."""
        async with asyncio.timeout(PROMPT_S):
            await self._free.wait()

    async def plug(self) -> None:
        """Let it be opened, at the port that it had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(partial(_Near, self), HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def pull(self) -> None:
        """End whatever goes over it; it cannot be opened any more."""
        if self._server is not None:
            self._server.close()
        for end in tuple(self._ends):
            end.abort()


class _End(asyncio.Protocol):
    def __init__(self, cable: Cable) -> None:
        self.cable = cable
        self.other: asyncio.Future[asyncio.WriteTransport] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if self.cable.frozen:
            return
        if self.other.done():
            self.other.result().write(data)
        else:
            self.other.add_done_callback(lambda other: other.result().write(data))

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other.done():
            self.other.result().abort()


class _Near(_End):
    """The host's end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.near = transport
        self.cable.uses += 1
        self.cable._ends.add(transport)
        self.cable._free.clear()
        self.task = asyncio.ensure_future(self._reach())

    async def _reach(self) -> None:
        far = _End(self.cable)
        there, _ = await asyncio.get_running_loop().create_connection(lambda: far, HOST, self.cable._controller)
        far.other.set_result(self.near)
        self.other.set_result(there)
        if self.near.is_closing():
            there.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.cable._ends.discard(self.near)
        if not self.cable._ends:
            self.cable._free.set()
        super().connection_lost(error)


@dataclass(frozen=True, slots=True)
class Wired:
    """Devices on the air, and cables to the host's controllers."""

    subjects: tuple[Subject, ...]
    cables: tuple[Cable, ...]


@asynccontextmanager
async def wired(*subjects: Subject, cables: int = 1) -> AsyncGenerator[Wired, None]:
    """Every subject and every cable on a controller of its own, all of one air, over real sockets."""
    async with AsyncExitStack() as up:
        ports = await up.enter_async_context(controllers(len(subjects) + cables))
        for subject, port in zip(subjects, ports, strict=False):
            transport = await up.enter_async_context(await open_transport(f"tcp-client:{HOST}:{port}"))
            device = Device.with_hci("subject", Address(subject.address), transport.source, transport.sink)
            await up.enter_async_context(BumbleHost(device, subject).on())
        plugged = tuple(Cable(port) for port in ports[len(subjects) :])
        for cable in plugged:
            await cable.plug()
            up.callback(cable.pull)
        yield Wired(subjects, plugged)

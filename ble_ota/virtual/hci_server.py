"""The controllers of a virtual air, each behind a TCP port that speaks HCI (H4), as a radio on a cable would.

One host at a time per port. When a host goes away, its controller forgets all it was told and its links time out,
so that the next host finds a controller as new, and the other end hears of the loss.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from bumble import core
from bumble.transport.common import PacketParser

from ble_ota.virtual.controller import AirWaves, VirtualController

HOST = "127.0.0.1"


@asynccontextmanager
async def controllers(count: int, *, first_port: int = 0) -> AsyncGenerator[list[int], None]:
    """Serve `count` controllers on one air for the block; give their ports, in order.

    Args:
        count: How many, 1 to 255.
        first_port: The others follow it; 0 takes free ones.

    Raises:
        OSError: A port is taken.
    """
    waves = AirWaves()  # type: ignore[no-untyped-call]
    async with AsyncExitStack() as open_servers:
        ports: list[int] = []
        for at in range(count):
            port = await open_servers.enter_async_context(_served(waves, at, first_port + at if first_port else 0))
            ports.append(port)
        yield ports


@asynccontextmanager
async def _served(waves: AirWaves, at: int, port: int) -> AsyncGenerator[int, None]:
    # An address of its own: a host that connects by its public one (Linux does) must be told from the others.
    controller = VirtualController(f"controller {at}", link=waves, public_address=f"00:00:00:00:B1:{at + 1:02X}")
    hosts: set[_Host] = set()
    server = await asyncio.get_running_loop().create_server(partial(_Host, controller, hosts), HOST, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for host in tuple(hosts):
            await host.hang_up()


class _Host(asyncio.Protocol):
    """One host's connection; is the controller's packet sink."""

    def __init__(self, controller: VirtualController, hosts: set[_Host]) -> None:
        self._controller = controller
        self._hosts = hosts
        self._parser = PacketParser(controller)
        self._transport: asyncio.Transport | None = None
        self._gone = asyncio.Event()

    async def hang_up(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()
            await self._gone.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the transport."""
        if self._controller.host is not None or not isinstance(transport, asyncio.Transport):
            transport.close()  # somebody else has it
            return
        self._transport = transport
        self._controller.host = self
        self._hosts.add(self)

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        if self._transport is None:
            return
        try:
            self._parser.feed_data(data)
        except core.InvalidPacketError:  # that is no Bluetooth host
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        if self._transport is not None:
            self._transport = None
            self._hosts.discard(self)
            self._controller.host = None
            self._controller.silence()
            self._gone.set()

    def on_packet(self, packet: bytes) -> None:
        """Take a packet for the host."""
        if self._transport is not None:
            self._transport.write(packet)

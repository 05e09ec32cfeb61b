"""The controllers of a virtual air, each behind a TCP port that speaks HCI (H4), as a radio on a cable would.

One host at a time per port. When a host goes away, its controller forgets all it was told and its links time out,
so that the next host finds a controller as new, and the other end hears of the loss.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from bumble.transport.common import PacketParser

from ble_ota.virtual.controller import AirWaves, VirtualController

HOST = "127.0.0.1"


@asynccontextmanager
async def controllers(count: int, *, first_port: int = 0) -> AsyncGenerator[list[int], None]:
    """Serve `count` controllers on one air for the block; give their ports, in order.

    Args:
        count: How many.
        first_port: The others follow it; 0 takes free ones.

    Raises:
        OSError: A port is taken.
    """
    waves = AirWaves()  # type: ignore[no-untyped-call]
    async with AsyncExitStack() as open_servers:
        ports: list[int] = []
        for at in range(count):
            controller = VirtualController(f"controller {at}", link=waves)
            port = first_port + at if first_port else 0
            server = await asyncio.get_running_loop().create_server(partial(_Host, controller), HOST, port)
            open_servers.callback(server.close)
            ports.append(server.sockets[0].getsockname()[1])
        yield ports


class _Host(asyncio.Protocol):
    """One host's connection; is the controller's packet sink."""

    def __init__(self, controller: VirtualController) -> None:
        self._controller = controller
        self._parser = PacketParser(controller)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._controller.host is not None or not isinstance(transport, asyncio.Transport):
            transport.close()  # somebody else has it
            return
        self._transport = transport
        self._controller.host = self

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._parser.feed_data(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._transport is not None:
            self._transport = None
            self._controller.host = None
            self._controller.silence()

    def on_packet(self, packet: bytes) -> None:
        """Take a packet for the host."""
        if self._transport is not None:
            self._transport.write(packet)

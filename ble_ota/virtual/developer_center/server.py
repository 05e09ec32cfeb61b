"""The Developer Center on a socket, in the running loop.

uvicorn's HTTP protocol is used without uvicorn's `Server`: that one takes over the signals of the process, ticks ten
times a second, and takes a tenth of a second to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from ble_ota.virtual.developer_center.center import DeveloperCenter
from ble_ota.virtual.developer_center.faults import HANG_UP

LINGER_S = 1.0  # for clients that do not take what was sent to them


@asynccontextmanager
async def serve(center: DeveloperCenter, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str]:
    """Serve `center` while the block runs, and give its address.

    On leaving, answers under way are cut. Nothing is logged.

    Args:
        center: What to serve.
        host: Where to listen.
        port: 0 takes a free one.

    Raises:
        OSError: The port is taken.
        Exception: The application raised while it was serving: a bug in it, told when the block is left in peace.
    """
    bugs: list[Exception] = []
    config = Config(
        _dated(_watched(center.app, bugs)),
        http=_Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Protocol(config=config, server_state=state, app_state={}), host, port
    )
    try:
        bound = server.sockets[0].getsockname()[1]
        yield f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
    finally:
        server.close()
        await _closed(state)
    if bugs:
        raise bugs[0]


async def _closed(state: ServerState) -> None:
    """End every answer and every connection."""
    for task in list(state.tasks):
        task.cancel()
    await asyncio.gather(*state.tasks, return_exceptions=True)
    lost = [connection.lost for connection in state.connections if isinstance(connection, _Protocol)]
    for connection in list(state.connections):
        connection.transport.close()  # after what is already on its way
    if lost:
        await asyncio.wait(lost, timeout=LINGER_S)
    for connection in list(state.connections):
        connection.transport.abort()


def _dated(app: ASGIApp) -> ASGIApp:
    """Tell the time with every answer, as uvicorn's own server does."""

    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        async def say(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"date", formatdate(usegmt=True).encode())]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, say)

    return dated


def _watched(app: ASGIApp, bugs: list[Exception]) -> ASGIApp:
    """Keep what the application raises: uvicorn only logs it. A client that goes while it asks is no bug in it."""

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as error:
            bugs.append(error)
            raise

    return watched


class _Protocol(H11Protocol):
    """Lets the application hang up on its client, and tells when the connection is gone."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.lost: asyncio.Future[None] = self.loop.create_future()
        app = self.app

        async def able_to_hang_up(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 -- uvicorn has other types
            scope["extensions"] = {HANG_UP: self.transport.close}
            await app(scope, receive, send)

        self.app = able_to_hang_up

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        super().connection_lost(exc)
        self.lost.set_result(None)

"""Controllers of one's own as one radio: each link goes over the controller with most room.

`bumble:usb:0,usb:1` carries as many links as both together. A scan and every connect begin by seeing to it that the
controller is there: one that was lost is opened again, for as long as the call may take. In between, whoever waits
is told at once, as an `AdapterError`, that the controller has gone; `install.py` tries again by its own patience.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

from ble_ota.gatt.bumble_controller import Controller
from ble_ota.gatt.bumble_options import DEFAULT, LinkOptions
from ble_ota.gatt.bumble_transport import names_of
from ble_ota.link import Advert, Link, LinkFacts
from ble_ota.script import Notified

FIRST_S = 1.0  # our choice: for whoever had the controller last to let go of it


@asynccontextmanager
async def open_radio(
    names: str, options: LinkOptions = DEFAULT, *, bonds: Path | None = None
) -> AsyncGenerator[BumbleRadio, None]:
    """Open the controllers `names` (`usb:0`, `tcp-client:127.0.0.1:7300`, `usb:0,usb:1` …) for the block.

    Args:
        names: As `bumble_transport` reads them.
        options: How links are to be.
        bonds: The folder for bonds; None keeps none beyond the process.

    Raises:
        AdapterError: One cannot be opened, or is no controller.
        StorageError: Bonds cannot be read or written.
    """
    async with AsyncExitStack() as closing:
        controllers = [Controller(name, options, bonds) for name in names_of(names)]
        for controller in controllers:
            closing.push_async_callback(controller.close)
            await controller.ready(FIRST_S)
        yield BumbleRadio(controllers)


class BumbleRadio:
    """A `link.Radio` over one or several controllers."""

    def __init__(self, controllers: Sequence[Controller]) -> None:
        self._controllers = tuple(controllers)

    def at(self, index: int) -> BumbleRadio:
        """The radio of one of the controllers alone, by its place in the list."""
        return BumbleRadio((self._controllers[index],))

    async def scan(self, *, within_s: float) -> AsyncGenerator[Advert, None]:
        """Sightings as they come; see `link.Radio.scan`."""
        controller = freest(self._controllers)
        left_s = await _ready(controller, within_s)
        async with aclosing(controller.radio.scan(within_s=left_s)) as adverts:
            while True:
                async with controller.watched():
                    advert = await anext(adverts, None)
                if advert is None:
                    return
                yield advert

    @asynccontextmanager
    async def connect(self, address: str, *, within_s: float) -> AsyncGenerator[Link, None]:
        """Find, connect, discover; see `link.Radio.connect`. Also an `AdapterError`: no controller has a link free."""
        controller = freest(self._controllers)
        with controller.berth():  # before anything is waited for: the next one must see that it is taken
            left_s = await _ready(controller, within_s)
            async with AsyncExitStack() as linked:
                async with controller.watched():
                    radio = controller.radio
                    link = await linked.enter_async_context(radio.connect(address, within_s=left_s))
                with controller.blamed():
                    yield _OwnLink(link, controller)


async def _ready(controller: Controller, within_s: float) -> float:
    """Have it opened again if it was lost; gives how many of the seconds are left."""
    until_s = asyncio.get_running_loop().time() + within_s
    await controller.ready(within_s)
    return max(0.0, until_s - asyncio.get_running_loop().time())


def freest(controllers: Sequence[Controller]) -> Controller:
    """The one with most links free, the first of several; a lost one only if all are."""
    return max(controllers, key=lambda c: (not c.lost, c.room - c.links))


class _OwnLink:
    """A link whose end is the adapter's fault where that is so."""

    def __init__(self, link: Link, controller: Controller) -> None:
        self._link = link
        self._controller = controller

    @property
    def facts(self) -> LinkFacts:
        """See `link.Link.facts`."""
        with self._controller.blamed():
            return self._link.facts

    async def subscribe(self, char: int) -> None:
        """See `link.Link.subscribe`."""
        with self._controller.blamed():
            await self._link.subscribe(char)

    async def read(self, char: int) -> bytes:
        """See `link.Link.read`."""
        with self._controller.blamed():
            return await self._link.read(char)

    async def write(self, char: int, data: bytes, *, ack: bool) -> None:
        """See `link.Link.write`."""
        with self._controller.blamed():
            await self._link.write(char, data, ack=ack)

    async def notification(self, chars: tuple[int, ...]) -> Notified:
        """See `link.Link.notification`."""
        with self._controller.blamed():
            return await self._link.notification(chars)

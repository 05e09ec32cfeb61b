"""The host's radio in the modelled air; what `ble_ota.link.Radio` asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ble_ota.errors import DeviceNotFoundError
from ble_ota.link import Advert, Link
from ble_ota.virtual.air import Air, Berth
from ble_ota.virtual.link import VirtualLink


class VirtualRadio:
    """Finds and connects the peripherals of one `Air`. Any number of radios may share it."""

    def __init__(self, air: Air) -> None:
        self._air = air

    async def scan(self, *, within_s: float) -> AsyncGenerator[Advert, None]:
        """Every device that advertises, once per advertising interval, for `within_s` seconds."""
        now = asyncio.get_running_loop().time
        until = now() + within_s
        while (left := until - now()) > 0:
            for advert in tuple(self._air.adverts()):
                yield advert
            await asyncio.sleep(min(self._air.advertising_interval_s, left))

    @asynccontextmanager
    async def connect(self, address: str, *, within_s: float) -> AsyncGenerator[Link, None]:
        """Connect to the device at `address` as soon as it advertises; disconnect at the end of the block.

        Raises:
            DeviceNotFoundError: It did not advertise within `within_s` seconds (a device with a link does not).
            LinkLostError: The link broke before it stood.
        """
        link = VirtualLink(await self._advertising(address, within_s))
        try:
            await link.stand()
            yield link
        finally:
            link.close()

    async def _advertising(self, address: str, within_s: float) -> Berth:
        now = asyncio.get_running_loop().time
        until = now() + within_s
        while (berth := self._air.advertising(address)) is None:
            if (left := until - now()) <= 0:
                msg = f"{address} did not advertise within {within_s:g} s"
                raise DeviceNotFoundError(msg)
            await asyncio.sleep(min(self._air.advertising_interval_s, left))
        return berth

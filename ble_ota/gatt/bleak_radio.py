"""The system's Bluetooth through bleak; with other backend classes, a controller through Bumble.

Nothing of bleak's leaves `bleak_*.py`: not its exceptions (`bleak_errors.py`), not its objects. What differs between
systems stands in a table in `bleak_systems.py`. A device is looked for anew before every connect: what an operating
system remembers of one that was away may be stale. Who connects has the adapter alone (`bleak_ear.py`); transfers
run side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from bleak import BleakClient, BleakScanner
from bleak.args.bluez import BlueZClientArgs
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner

from ble_ota.gatt.bleak_call import Lost
from ble_ota.gatt.bleak_connectable import connectable_of
from ble_ota.gatt.bleak_dial import Dial
from ble_ota.gatt.bleak_ear import Ear
from ble_ota.gatt.bleak_link import BleakLink
from ble_ota.gatt.bleak_systems import OWN, UNCACHED, System, adapter_named, address_type, bonded, here
from ble_ota.link import Advert, Link

__all__ = ["BleakLink", "BleakRadio"]

DISCONNECT_S = 5.0  # our choice: a system that does not confirm is left to itself
NO_RSSI = -127  # dBm; what bleak says on BlueZ where nothing was measured


class BleakRadio:
    """A `link.Radio` over bleak.

    Args:
        adapter: Which one, as BlueZ names it (`hci1`); "" is the system's choice.
        scanner: Backend class for scanning; None is the system's own.
        client: Backend class for connections; None is the system's own.
        system: What lies below; None is what this program runs on, and with backend classes nothing in particular.

    Raises:
        UsageError: There can be no such adapter here.
    """

    def __init__(
        self,
        *,
        adapter: str = "",
        scanner: type[BaseBleakScanner] | None = None,
        client: type[BaseBleakClient] | None = None,
        system: System | None = None,
    ) -> None:
        self._system = system or (OWN if client or scanner else here())
        self._adapter = adapter_named(self._system, adapter)
        self._scanner = scanner
        self._client = client
        self._ear = Ear(self._make_scanner)

    def _make_scanner(self, hear: AdvertisementDataCallback) -> BleakScanner:
        if self._adapter:
            return BleakScanner(hear, bluez={"adapter": self._adapter}, backend=self._scanner)
        return BleakScanner(hear, backend=self._scanner)

    def _make_client(self, device: BLEDevice, lost: Lost, within_s: float) -> BleakClient:
        def drop(_client: BleakClient) -> None:
            if not lost.done():
                lost.set_result(None)

        bluez: BlueZClientArgs = {"adapter": self._adapter} if self._adapter else {}
        return BleakClient(device, drop, timeout=within_s, bluez=bluez, winrt=UNCACHED, backend=self._client)

    async def scan(self, *, within_s: float) -> AsyncGenerator[Advert, None]:
        """Sightings as they come; see `link.Radio.scan`."""
        async with aclosing(self._ear.sightings(within_s)) as sightings:
            async for device, data in sightings:
                yield _advert(device, data)

    @asynccontextmanager
    async def connect(self, address: str, *, within_s: float) -> AsyncGenerator[Link, None]:
        """Find, connect, discover; see `link.Radio.connect`. Waiting for one's turn does not count."""
        until_s = asyncio.get_running_loop().time() + within_s
        dial = Dial(self._ear, self._make_client, self._system, address, until_s)
        link = await dial.link()
        try:
            yield link
        finally:
            await dial.end(DISCONNECT_S)


def _advert(device: BLEDevice, data: AdvertisementData) -> Advert:
    return Advert(
        device.address.upper(),
        data.local_name or device.name or "",
        None if data.rssi == NO_RSSI else data.rssi,
        tuple(u.lower() for u in data.service_uuids),
        dict(data.manufacturer_data),
        address_type=address_type(device),
        connectable=connectable_of(data.platform_data),
        bonded=bonded(device),
    )

"""Ways from an installer to the same virtual device: memory, Bumble through bleak, and what the environment says.

`BLE_OTA_CARRIER_RADIO` names a radio as `--radio` does (`bleak`, `bleak:hci0`, `bumble:…`), and
`BLE_OTA_CARRIER_DEVICE` the controller that the device is to live on (`tcp-client:127.0.0.1:7301`), on an air that the
radio hears. With both set, the suite runs over these alone: so it runs over BlueZ inside the emulated machine, and on a
bench with two dongles. The device's state is in this process either way, so that its flash can be looked at.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from bumble.device import Device
from bumble.hci import Address
from bumble.transport import open_transport
from bumble.transport.common import Transport

from ble_ota.cli.wiring import radio_of
from ble_ota.gatt import bumble_backend
from ble_ota.link import Radio
from ble_ota.settings import isolated
from ble_ota.virtual.air import Air
from ble_ota.virtual.bumble_host import BumbleHost
from ble_ota.virtual.controller import AirWaves, device_on
from ble_ota.virtual.peripheral import Peripheral
from ble_ota.virtual.radio import VirtualRadio
from tests.gatt.contract import HOST_ADDRESS

RADIO = os.environ.get("BLE_OTA_CARRIER_RADIO", "")
DEVICE = os.environ.get("BLE_OTA_CARRIER_DEVICE", "")
HELD_S = 0.2
Carrier = Callable[[Peripheral], AbstractAsyncContextManager[Radio]]
"""Switches a device on for the block; gives a radio that reaches it."""


@asynccontextmanager
async def in_memory(device: Peripheral) -> AsyncGenerator[Radio, None]:
    """The modelled air; for virtual time."""
    air = Air()
    air.add(device)
    yield VirtualRadio(air)


@asynccontextmanager
async def over_bumble(device: Peripheral) -> AsyncGenerator[Radio, None]:
    """Real HCI, L2CAP and ATT bytes, through bleak."""
    waves = AirWaves()  # type: ignore[no-untyped-call]
    host = device_on(waves, "host", HOST_ADDRESS)
    there = BumbleHost(device_on(waves, "device", device.address), device)
    async with there.on(), bumble_backend.radio(host, "under test") as radio:
        yield radio


@asynccontextmanager
async def outside(device: Peripheral) -> AsyncGenerator[Radio, None]:
    """As the environment says."""
    async with await _held() as transport:
        stack = Device.with_hci("device", Address(device.address), transport.source, transport.sink)
        async with BumbleHost(stack, device).on(), radio_of(isolated(radio=RADIO)) as radio:
            yield radio


async def _held() -> Transport:
    """The device's controller, once the test before has let go of it: till then it hangs up at once."""
    while True:
        transport = await open_transport(DEVICE)
        ended, _ = await asyncio.wait({transport.source.terminated}, timeout=HELD_S)
        if not ended:
            return transport
        await transport.close()


def carriers() -> Iterator[tuple[str, Carrier]]:
    """Those to run over, by name; only "in memory" is for virtual time."""
    if RADIO and DEVICE:
        yield RADIO.partition(":")[0], outside
    else:
        yield "in memory", in_memory
        yield "bumble", over_bumble

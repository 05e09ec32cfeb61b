"""Switching a controller on, and what it means that it does not come."""

from __future__ import annotations

import asyncio

from bumble import core
from bumble.device import Device
from bumble.transport.common import TransportLostError

from ble_ota.errors import AdapterError
from ble_ota.text import clean

POWER_ON_S = 10.0  # our choice: a controller that does not answer its reset by then is not one
FIRMWARE = (
    "Plug it in again; some dongles want a firmware file: `bumble-rtk-fw-download` or `bumble-intel-fw-download` get it"
)


async def power_on(device: Device, name: str) -> None:
    """Reset the controller and learn what it can.

    Raises:
        AdapterError: It does not answer, or lacks its firmware.
    """
    try:
        async with asyncio.timeout(POWER_ON_S):
            await device.power_on()
    except (TimeoutError, core.BaseBumbleError, OSError, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
            raise  # ours; Bumble cancels what waits for a controller that goes
        if type(error).__module__.startswith("bumble.drivers"):
            msg = f"the Bluetooth controller {name} does not start without its firmware: {clean(str(error), most=200)}"
            raise AdapterError(msg, hint=FIRMWARE) from error
        if isinstance(error, TransportLostError):
            msg = f"the Bluetooth controller {name} hangs up at once: another program may have it"
            raise AdapterError(msg, hint="Stop the other program, then run the same command again") from error
        msg = f"the Bluetooth controller {name} does not answer"
        raise AdapterError(msg, hint=FIRMWARE if device.host.hci_metadata else None) from error

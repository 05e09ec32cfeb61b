"""`ble-ota scan`: what is near."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

from ble_ota.cli.common import Common
from ble_ota.cli.live import terminable
from ble_ota.cli.near import Neighbourhood
from ble_ota.cli.scan_shown import data, screen, text
from ble_ota.cli.wiring import drivers_of, radio_of
from ble_ota.errors import StopAsked
from ble_ota.link import Radio
from ble_ota.settings import Settings

ENDLESS_S = 10 * 365 * 86400.0  # what a clock can still add up


async def scan(common: Common, settings: Settings, timeout_s: float) -> int:
    """Run `ble-ota scan`; see `scanned`.

    Args:
        common: Its common options.
        settings: Which radio.
        timeout_s: Seconds to listen; 0 is until somebody stops it.
    """
    near = Neighbourhood(drivers_of(settings).values())
    stopped: int | None = None
    try:
        with terminable():
            async with radio_of(settings) as radio:
                await listen(common, radio, near, timeout_s)
    except StopAsked as stop:  # what was heard is told all the same
        stopped = stop.exit_code
    except asyncio.CancelledError:
        stopped = StopAsked.exit_code
    found = told(common, near)
    return found if stopped is None else stopped


async def listen(common: Common, radio: Radio, near: Neighbourhood, timeout_s: float) -> None:
    """Hear what is near for `timeout_s` seconds, 0 is without end, and show it as it comes.

    Raises:
        AdapterError: Bluetooth is not to be had.
    """
    loop = asyncio.get_running_loop()
    with screen(common, near, loop.time, time.time, endless=not timeout_s) as shown:
        async with aclosing(radio.scan(within_s=timeout_s or ENDLESS_S)) as adverts:
            async for advert in adverts:
                shown.heard(near.hear(advert, loop.time()))


def told(common: Common, near: Neighbourhood) -> int:
    """Give the result; 0 with devices that can be updated, 30 with none."""
    devices = near.sorted
    common.result([data(one) for one in devices], text(devices))
    return 0 if any(one.facts.supported for one in devices) else 30

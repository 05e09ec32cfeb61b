"""Which device, where the command line does not say."""

from __future__ import annotations

from collections.abc import Iterable

from ble_ota.cli.common import Common
from ble_ota.errors import DeviceNotFoundError, UsageError
from ble_ota.link import Radio
from ble_ota.protocols import AnyDriver
from ble_ota.target import Target, Wanted, find, sightings

LISTEN_S = 3.0  # our choice: with nobody named, long enough to hear what advertises every second


async def chosen(
    common: Common, radio: Radio, drivers: Iterable[AnyDriver], wanted: Wanted, *, within_s: float
) -> Target:
    """Find the device that is wanted; with none named, ask which of several near is meant.

    Raises:
        DeviceNotFoundError: None fits.
        DeviceAmbiguousError: Several do, and they were named, or there is nobody to ask.
        UsageError: The answer is none of them.
        AdapterError: Bluetooth is not to be had.
    """
    if wanted != Wanted() or not common.may_ask:
        return await find(radio, drivers, wanted, within_s=within_s)
    seen = await sightings(radio, tuple(drivers), within_s=min(LISTEN_S, within_s))
    near = sorted(seen.values(), key=lambda t: (-(t.advert.rssi_dbm or -999), t.advert.address))
    if not near:
        msg = "no device whose protocol is known was heard"
        raise DeviceNotFoundError(msg)
    return near[0] if len(near) == 1 else _asked(common, near)


def _asked(common: Common, near: list[Target]) -> Target:
    for number, target in enumerate(near, 1):
        common.tell(f"  {number}  {target}")
    answer = common.ask("Which one (its number)", flag="the argument DEVICE").strip()
    if not answer.isascii() or not answer.isdigit() or not 1 <= int(answer) <= len(near):
        msg = f"{answer!r} is none of the numbers shown"
        raise UsageError(msg, hint=f"Answer 1 to {len(near)}, or name the device on the command line")
    return near[int(answer) - 1]

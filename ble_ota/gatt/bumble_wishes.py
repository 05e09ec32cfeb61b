"""What a new link is asked for: long packets, the fast PHY, the bond. Only the bond may be needed.

A controller or a peer that does not have the first two refuses, or does not answer; the link is as good as it is
without, so that is logged and no more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from bleak.exc import BleakError
from bumble import core, hci
from bumble.device import Connection, ConnectionParametersPreferences, Device

from ble_ota.gatt.bumble_options import LinkOptions
from ble_ota.gatt.bumble_scanner import as_bleak

WISH_S = 2.0  # our choice: a controller answers a command within milliseconds
PAIR_S = 30.0  # an SMP procedure ends after 30 s without a word; Core Specification Vol 3 Part H 3.4
DATA_BYTES_MIN = 27  # what every link has; Core Specification Vol 6 Part B 4.5.10
DATA_TIME_US = 2120  # for 251 bytes at 1M; Core Specification Vol 6 Part B 4.5.10
KEY_MISSING = (hci.HCI_ErrorCode.PIN_OR_KEY_MISSING_ERROR, hci.HCI_ErrorCode.AUTHENTICATION_FAILURE_ERROR)

_log = logging.getLogger(__name__)


def preferences(options: LinkOptions) -> dict[hci.Phy, ConnectionParametersPreferences]:
    """How the controller is to make a connection: on 1M, where every device advertises."""
    wanted = ConnectionParametersPreferences(
        connection_interval_min=options.interval_ms,
        connection_interval_max=options.interval_ms,
        max_latency=0,
        supervision_timeout=round(options.supervision_s * 1000),
    )
    return {hci.Phy.LE_1M: wanted}


async def tune(device: Device, connection: Connection, options: LinkOptions) -> None:
    """Ask for what makes the link fast, as far as the controller knows of it."""
    host = device.host
    if options.data_bytes > DATA_BYTES_MIN and host.supports_command(hci.HCI_LE_Set_Data_Length_Command.op_code):
        await _wish("packets of more bytes", connection.set_data_length(options.data_bytes, DATA_TIME_US))
    if options.phy_2m and host.supports_le_features(hci.LeFeatureMask.LE_2M_PHY):
        await _wish("the 2M PHY", connection.set_phy([hci.Phy.LE_2M], [hci.Phy.LE_2M]))


async def _wish(what: str, asking: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(WISH_S):
            await as_bleak(asking)
    except (BleakError, TimeoutError) as error:
        _log.info("the link goes without %s: %s", what, error)


async def bonded(device: Device, connection: Connection) -> bool:
    """Whether there are keys of an earlier pairing with the device at the other end."""
    return device.keystore is not None and await device.keystore.get(str(connection.peer_address)) is not None


async def secure(device: Device, connection: Connection) -> None:
    """Encrypt by the bond there is; without one, or where the device has forgotten it, pair anew, once.

    Raises:
        BleakError: The device does not want to, or the link ended.
        TimeoutError: It says nothing.
    """
    async with asyncio.timeout(PAIR_S):
        if connection.is_encrypted:
            return
        if await bonded(device, connection) and await _encrypted(device, connection):
            return
        await as_bleak(connection.pair())


async def _encrypted(device: Device, connection: Connection) -> bool:
    """Encrypt by the bond; False where the device does not know it any more, and then it is dropped here too."""
    try:
        await as_bleak(connection.encrypt())
    except BleakError as error:
        cause = error.__cause__
        forgotten = isinstance(cause, hci.HCI_Error) and cause.error_code in KEY_MISSING
        if not forgotten and not isinstance(cause, core.InvalidOperationError):  # a bond without the key that it takes
            raise
        _log.warning("%s has forgotten its bond with this computer; pairing anew", connection.peer_address)
        if device.keystore is not None:
            await device.keystore.delete(str(connection.peer_address))
        return False
    return True

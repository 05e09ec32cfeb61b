"""Update protocols that are recognised on the air and not spoken yet, by the service that they advertise.

A service says what a device may be updated by, not that it is ready to be: Nordic's secure DFU has the same one in the
application (buttonless) and in the bootloader. Nothing here is a `Sighting`: no driver will answer to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ble_ota.link import Advert, uuid16

SERVICES: Mapping[str, str] = MappingProxyType(
    {
        # Zephyr, subsys/mgmt/mcumgr/transport/src/smp_bt.c
        "8d53dc1d-1db7-4cd3-868b-8a527460aa84": "smp",
        # nRF5 SDK 12 to 17, ble_dfu.h; Bluetooth SIG member service of Nordic Semiconductor
        uuid16(0xFE59): "nordic-secure-dfu",
        # nRF5 SDK 12, experimental buttonless
        "8e400001-f315-4f60-9fb8-838830daea50": "nordic-buttonless-dfu",
        # nRF5 SDK 11 and older
        "00001530-1212-efde-1523-785feabcd123": "nordic-legacy-dfu",
        # esp-iot-solution, components/bluetooth/ble_services/ota
        uuid16(0x8018): "espressif-ota",
    }
)


def unspoken(advert: Advert) -> str:
    """The name of the protocol that `advert` tells of and that is not spoken yet; "" where there is none."""
    return next((SERVICES[uuid] for uuid in advert.services if uuid in SERVICES), "")

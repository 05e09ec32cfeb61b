"""What a QuecThing device advertises, and its GATT table.

The newer manufacturer data, after company 0x5551 ("QU" as sent), big endian::

    "EC" | version u16 | length u8, product key | length u8, device key as bytes of hexadecimal | status u8 | flags u16
"""

from __future__ import annotations

import struct

from ble_ota.link import uuid16
from ble_ota.virtual.peripheral import Advertisement, VirtualCharacteristic, VirtualService
from ble_ota.virtual.peripherals.quecthing.habits import Habits
from ble_ota.virtual.world import World, WorldDevice

SERVICE = uuid16(0x180A)
PROTOCOL = uuid16(0x9C40)  # write requests in, indications out
LOG = uuid16(0x9C41)
FIRMWARE_REVISION = uuid16(0x2A26)

COMPANY = 0x5551
FORMAT_VERSION = 1
FLAG_BOUND = 1 << 2
FLAG_ODD_KEY = 1 << 8
FLAG_UPPER_CASE_KEY = 1 << 12


def services(habits: Habits) -> tuple[VirtualService, ...]:
    """The GATT table."""
    table = [
        VirtualCharacteristic(PROTOCOL, frozenset({"write", "indicate"})),
        VirtualCharacteristic(LOG, frozenset({"notify"})),
    ]
    if habits.firmware_revision:
        table.append(VirtualCharacteristic(FIRMWARE_REVISION, frozenset({"read"})))
    return (VirtualService(SERVICE, tuple(table)),)


def advertisement(world: World, device: WorldDevice, habits: Habits) -> Advertisement:
    """What `device` puts on the air."""
    manufacturer = _of_2022(world, device, habits) if habits.advert_format == "2022" else _newer(world, device, habits)
    return Advertisement(device.name, (SERVICE,), manufacturer)


def _newer(world: World, device: WorldDevice, habits: Habits) -> dict[int, bytes]:
    key = device.device_key
    packed_key = bytes.fromhex(key + "0" * (len(key) % 2))
    flags = FLAG_BOUND * habits.bound | FLAG_ODD_KEY * (len(key) % 2) | FLAG_UPPER_CASE_KEY * key.isupper()
    product_key = world.product_key.encode()
    data = b"EC" + struct.pack(">HB", FORMAT_VERSION, len(product_key)) + product_key
    return {COMPANY: data + bytes((len(packed_key),)) + packed_key + struct.pack(">BH", 0, flags)}


def _of_2022(world: World, device: WorldDevice, habits: Habits) -> dict[int, bytes]:
    """MAC and product key fill the whole field, so its first two bytes stand where a company would."""
    field = bytes.fromhex(device.address.replace(":", ""))
    if not habits.bound:
        field += world.product_key.encode()
    return {int.from_bytes(field[:2], "little"): field[2:]}

"""What a QuecThing device advertises.

Three forms are known::

    name          QUEC_BLE_XXXX, the last four of its key or address                     (documented)
    since about   manufacturer 0x5551 ("QU"), then "EC", version u16, len + product key, len + device key,
    2023          status u8, flags u16; device key as packed digits, flags bit 8: the last digit is padding,
                  bit 12: upper case                                                     (third party)
    2022          manufacturer data is address (6) + product key (6); bound devices leave the key out  (documented)

The service 0x180A proves nothing: it is the standard Device Information service too.
"""

from __future__ import annotations

import re

from ble_ota.link import Advert
from ble_ota.protocols.driver import Sighting

NAME = "quecthing"
COMPANY = 0x5551
LEAD = b"EC"
NAME_PREFIX = "QUEC_BLE_"
ODD_LENGTH, UPPER_CASE = 1 << 8, 1 << 12
TAIL_BYTES = 3  # status and flags
_KEY = re.compile(r"[A-Za-z0-9]{4,32}")


def recognise(advert: Advert) -> Sighting | None:
    """Read an advertisement; None if it is not of a QuecThing device."""
    data = advert.manufacturer.get(COMPANY, b"")
    if data.startswith(LEAD) and (found := _newer(data)):
        return found
    if advert.name.startswith(NAME_PREFIX):
        return Sighting(NAME, _product_key_of_2022(advert))
    return None


def same(before: Advert, after: Advert) -> bool:
    """Whether `after` is the device of `before`: by its keys where it tells them, else by address."""
    was, now = recognise(before), recognise(after)
    if was and now and was.device_key and now.device_key:
        return (was.product_key, was.device_key) == (now.product_key, now.device_key)
    return before.address == after.address


def _newer(data: bytes) -> Sighting | None:
    product, rest = _counted(data[4:])
    packed, rest = _counted(rest)
    flags = int.from_bytes(rest[1:3], "big")
    if len(rest) < TAIL_BYTES:  # cut off: what was read is no key, or half of one
        return None
    device = packed.hex()
    if flags & ODD_LENGTH:
        device = device[:-1]
    if flags & UPPER_CASE:
        device = device.upper()
    product_key = product.decode("ascii", "replace")
    if not (_KEY.fullmatch(product_key) and _KEY.fullmatch(device)):
        return None
    return Sighting(NAME, product_key, device)


def _counted(data: bytes) -> tuple[bytes, bytes]:
    size = data[0] if data else 0
    return data[1 : 1 + size], data[1 + size :]


def _product_key_of_2022(advert: Advert) -> str:
    """The key behind the address; the two bytes of the company number are part of the address there."""
    for company, data in advert.manufacturer.items():
        whole = company.to_bytes(2, "little") + data
        text = whole[6:12].decode("ascii", "replace")
        if len(whole) >= 12 and _KEY.fullmatch(text):
            return text
    return ""

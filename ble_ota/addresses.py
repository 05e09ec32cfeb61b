"""Bluetooth addresses and names: what kinds there are, which of them last, and what a device is known by afterwards.

=================  ==================================  ==========================================================
kind               told by                             lasts
=================  ==================================  ==========================================================
public             "public" in the advertisement       for ever
random static      "random", top bits 11               until the device loses power; most keep it for ever
resolvable         "random", top bits 01               15 minutes or so; who has the key of the bond can resolve it
non-resolvable     "random", top bits 00               as long as the device likes
identifier         its form: a UUID                    on this computer, while it remembers the device (macOS)
=================  ==================================  ==========================================================

Top bits: Core Specification Vol 6 Part B 1.3.2; 15 minutes: Vol 3 Part C Appendix A, TGAP(private_addr_int). Whether
an address is random is said beside it, and not every system passes that on; then its kind is not known.

A device that changed its address is known by its keys, where it advertises them. Nordic's bootloaders advertise under
the address + 1, where the last octet alone is counted (FF becomes 00; Android-DFU-Library,
`BootloaderScannerFactory.getIncrementedAddress`); others count the whole number, so both are looked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

_ADDRESS = re.compile(r"[0-9A-F]{2}(?:([:_-])[0-9A-F]{2})(?:\1[0-9A-F]{2}){4}")
_IDENTIFIER = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
_BITS = 48


class AddressKind(Enum):
    """What kind an address is."""

    PUBLIC = "public"
    STATIC = "random static"
    RESOLVABLE = "resolvable"
    NON_RESOLVABLE = "non-resolvable"
    IDENTIFIER = "identifier"
    UNKNOWN = "unknown"
    """Its form does not tell, and nobody has said whether it is random; or it has the reserved top bits 10."""


class Likeness(Enum):
    """How far a second sighting is the device of a first."""

    SAME = "same"
    MAYBE = "maybe"
    """Worth asking: only what the device says of itself can tell."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Trace:
    """What a sighting leaves to know a device by. All of it is a hint: anybody can advertise anything."""

    address: str
    name: str = ""
    key: str = ""
    """What its protocol identifies it by, product and device; "" where it is not advertised."""
    services: frozenset[str] = frozenset()
    random: bool | None = None
    """Whether the address is random; None where the system does not say."""


def normal(text: str) -> str | None:
    """Read an address as people write it (colons, dashes, underscores, any case); upper case with colons, or None.

    Twelve digits without anything between them are none: a device key looks like that.
    """
    text = text.strip().upper()
    if _IDENTIFIER.fullmatch(text):
        return text
    return re.sub("[_-]", ":", text) if _ADDRESS.fullmatch(text) else None


def kind_of(address: str, *, random: bool | None) -> AddressKind:
    """The kind of `address`, in the form `normal` gives."""
    if _IDENTIFIER.fullmatch(address):
        return AddressKind.IDENTIFIER
    if random is None:
        return AddressKind.UNKNOWN
    if not random:
        return AddressKind.PUBLIC
    kinds = (AddressKind.NON_RESOLVABLE, AddressKind.RESOLVABLE, AddressKind.UNKNOWN, AddressKind.STATIC)
    return kinds[int(address[:2], 16) >> 6]


def lasts(kind: AddressKind) -> bool:
    """Whether a device can be expected to have its address of this kind tomorrow. What is not known is believed."""
    return kind not in {AddressKind.RESOLVABLE, AddressKind.NON_RESOLVABLE}


def after_jump(address: str) -> tuple[str, ...]:
    """Addresses a device may have in its bootloader: + 1 in the last octet, and + 1 of the whole number."""
    if not _ADDRESS.fullmatch(address):
        return ()
    number = int(address.replace(":", ""), 16)
    counted = (number & ~0xFF | (number + 1) & 0xFF, (number + 1) % (1 << _BITS))
    return tuple(dict.fromkeys(_written(n) for n in counted))


def likeness(before: Trace, after: Trace, *, jumped: bool = False) -> Likeness:
    """How far `after` is the device of `before`, which may have rebooted, changed its name, or its address.

    Args:
        before: The first sighting.
        after: The second.
        jumped: Whether the device was sent to its bootloader in between.
    """
    if before.key and after.key:
        return Likeness.SAME if before.key == after.key else Likeness.OTHER
    if before.address == after.address:
        return Likeness.SAME
    if jumped and after.address in after_jump(before.address):
        return Likeness.MAYBE
    moves = not (lasts(_kind(before)) and lasts(_kind(after)))
    alike = bool(before.name) and before.name == after.name and before.services == after.services
    return Likeness.MAYBE if moves and alike else Likeness.OTHER


def missing(address: str, heard: Collection[str]) -> str | None:
    """What to do about `address` that was not heard while the addresses `heard` were; None if there is no telling."""
    identifier = _IDENTIFIER.fullmatch(address) is not None
    others = {_IDENTIFIER.fullmatch(other) is not None for other in heard}
    if others == {True} and not identifier:
        return (
            "This system does not tell Bluetooth addresses: name the device as PRODUCT_KEY/DEVICE_KEY, by its name, "
            "or by the identifier that `ble-ota scan` prints here"
        )
    if others == {False} and identifier:
        return "An identifier is known only to the computer that printed it: see `ble-ota scan` on this one"
    jumped = next((other for other in after_jump(address) if other in heard), None)
    if jumped:
        return f"A device is on the air as {jumped}, one higher: it may be in its bootloader, so restart it"
    return None


def _kind(trace: Trace) -> AddressKind:
    return kind_of(trace.address, random=trace.random)


def _written(number: int) -> str:
    return number.to_bytes(_BITS // 8, "big").hex(":").upper()

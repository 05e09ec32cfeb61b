"""What a file notification (0x7022) offers, and which part of the device it is for."""

from __future__ import annotations

from ble_ota.virtual.peripherals.quecthing.boot import DIGEST_BYTES, Staged, digest
from ble_ota.virtual.peripherals.quecthing.habits import Habits
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields, binary, whole
from ble_ota.virtual.world import World, WorldFile

# TTLV ids of the file transfer, and the one file type there is
TYPE, NAME, ALGORITHM, CHECK, SIZE, VERSION = 1, 3, 4, 5, 6, 12
FOTA = 1
MAIN = "MAIN"
VERSION_MAX = 64  # bytes; no published version is longer
UNVERSIONED = "unversioned"  # what runs after a file that nobody gave a version


def understand(world: World, fields: Fields, habits: Habits) -> Staged | str:
    """Read a notification; a text says why the device declines it.

    A file of a package that the world knows belongs to its component; any other is taken for the main component,
    so that arbitrary firmware can be flashed.
    """
    size, algorithm, version = whole(fields, SIZE), whole(fields, ALGORITHM), binary(fields, VERSION) or b""
    if whole(fields, TYPE) != FOTA:
        return "not firmware"
    if not size or size > habits.flash_bytes:
        return "no room for that size"
    if algorithm not in DIGEST_BYTES:
        return "no such check algorithm"
    check = _check_code(binary(fields, CHECK) or b"", DIGEST_BYTES[algorithm], habits)
    if check is None:
        return "not a check code"
    if len(version) > VERSION_MAX:
        return "version too long"
    stated = version.decode(errors="replace")
    known = _known(world, size, algorithm, check, stated)
    return known or Staged(main(world), 0, 1, stated or UNVERSIONED, size, algorithm, check)


def main(world: World) -> str:
    """The component that is the device itself."""
    numbers = [c.no for c in world.components]
    return MAIN if MAIN in numbers else numbers[0]


def _check_code(value: bytes, size: int, habits: Habits) -> str | None:
    if habits.check_code == "raw":
        return value.hex() if len(value) == size else None
    try:
        return bytes.fromhex(value.decode("ascii")).hex() if len(value) == 2 * size else None
    except ValueError:
        return None


def _known(world: World, size: int, algorithm: int, check: str, version: str) -> Staged | None:
    def fits(file: WorldFile) -> bool:
        return file.size_bytes == size and digest(algorithm, world.firmware(file)) == check

    for component in world.components:
        if version in ("", component.target):
            for n, file in enumerate(component.files):
                if fits(file):
                    return Staged(component.no, n, len(component.files), component.target, size, algorithm, check)
    return None

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import pytest

from ble_ota.virtual.peripherals import Habits
from ble_ota.virtual.peripherals.quecthing.boot import Staged
from ble_ota.virtual.peripherals.quecthing.offer import main, understand
from ble_ota.virtual.peripherals.quecthing.ttlv import Value
from ble_ota.virtual.world import World

MAIN, MCU = b"main image", b"mcu image!"
FOREIGN = b"nobody knows this"


def offer(image: bytes, **changed: Value | None) -> dict[int, Value]:
    """A notification's fields; `id5=…` puts another value, None leaves it out."""
    fields: dict[int, Value] = {1: 1, 4: 2, 5: hashlib.sha256(image).digest(), 6: len(image), 12: b"1.1.0"}
    for name, value in changed.items():
        if value is None:
            del fields[int(name.removeprefix("id"))]
        else:
            fields[int(name.removeprefix("id"))] = value
    return fields


def world(folder: Path) -> World:
    return World.create(folder, packages={"MCU": (MCU, MCU * 2), "MAIN": (MAIN,)})


def understood(folder: Path, fields: dict[int, Value], habits: Habits | None = None) -> Staged:
    found = understand(world(folder), fields, habits or Habits())
    assert isinstance(found, Staged), found
    return found


def place(staged: Staged) -> tuple[str, int, int, str]:
    return staged.component, staged.file, staged.files, staged.version


def test_a_known_file_belongs_to_its_component(tmp_path: Path) -> None:
    assert place(understood(tmp_path, offer(MCU * 2))) == ("MCU", 1, 2, "1.1.0")


def test_a_known_file_without_a_version_brings_the_version_of_its_package(tmp_path: Path) -> None:
    assert place(understood(tmp_path, offer(MCU, id12=None))) == ("MCU", 0, 2, "1.1.0")


@pytest.mark.parametrize(
    ("algorithm", "check"),
    [
        (0, hashlib.md5(MCU, usedforsecurity=False).digest()),
        (1, zlib.crc32(MCU).to_bytes(4, "big")),
        (2, hashlib.sha256(MCU).digest()),
    ],
)
def test_each_documented_algorithm_finds_the_file(tmp_path: Path, algorithm: int, check: bytes) -> None:
    assert understood(tmp_path, offer(MCU, id4=algorithm, id5=check)).component == "MCU"


def test_a_foreign_file_is_for_the_main_component(tmp_path: Path) -> None:
    assert place(understood(tmp_path, offer(FOREIGN, id12=b"7"))) == ("MAIN", 0, 1, "7")


def test_a_known_file_under_another_version_is_foreign(tmp_path: Path) -> None:
    assert place(understood(tmp_path, offer(MCU, id12=b"8"))) == ("MAIN", 0, 1, "8")


def test_a_known_size_with_another_check_code_is_foreign(tmp_path: Path) -> None:
    assert understood(tmp_path, offer(MCU[::-1])).component == "MAIN"


def test_a_foreign_file_without_a_version_is_called_so(tmp_path: Path) -> None:
    assert understood(tmp_path, offer(FOREIGN, id12=None)).version == "unversioned"


def test_a_world_without_main_has_its_first_component_as_main(tmp_path: Path) -> None:
    assert main(World.create(tmp_path, packages={"A": (b"1",), "B": (b"2",)})) == "A"


@pytest.mark.parametrize("text", [str.lower, str.upper])
def test_a_hexadecimal_check_code_is_understood_by_habit(tmp_path: Path, text: type[str]) -> None:
    check = text(hashlib.sha256(MCU).hexdigest()).encode()
    assert understood(tmp_path, offer(MCU, id5=check), Habits(check_code="hex")).component == "MCU"


@pytest.mark.parametrize(
    "changed",
    [
        {"id1": None},
        {"id1": 2},
        {"id1": True},
        {"id4": None},
        {"id4": 3},
        {"id5": None},
        {"id5": b""},
        {"id5": b"\0" * 31},
        {"id5": hashlib.sha256(FOREIGN).hexdigest().encode()},
        {"id6": None},
        {"id6": 0},
        {"id6": -1},
        {"id6": 100_000_001},
        {"id12": b"v" * 65},
    ],
)
def test_what_is_not_as_documented_is_declined_with_a_reason(tmp_path: Path, changed: dict[str, Value]) -> None:
    assert isinstance(understand(world(tmp_path), offer(FOREIGN, **changed), Habits()), str)


@pytest.mark.parametrize("check", [hashlib.sha256(MCU).digest(), b"x" * 64, b"\xff" * 64])
def test_what_is_not_hexadecimal_is_declined_by_habit(tmp_path: Path, check: bytes) -> None:
    assert isinstance(understand(world(tmp_path), offer(MCU, id5=check), Habits(check_code="hex")), str)


@pytest.mark.parametrize(("room", "taken"), [(len(FOREIGN), True), (len(FOREIGN) - 1, False)])
def test_the_flash_takes_what_it_has_room_for(tmp_path: Path, room: int, taken: bool) -> None:
    found = understand(world(tmp_path), offer(FOREIGN), Habits(flash_bytes=room))
    assert isinstance(found, Staged) is taken

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ble_ota.virtual.peripherals.quecthing.boot import CRC32, MD5, SHA256, Boot, Staged, digest
from ble_ota.virtual.peripherals.quecthing.flash import Flash, PowerCutError
from ble_ota.virtual.world import World

FIRST, SECOND = b"first file" * 9, b"second" * 5


def staged(content: bytes, file: int = 0, files: int = 1, *, component: str = "MAIN", version: str = "2") -> Staged:
    return Staged(component, file, files, version, len(content), SHA256, hashlib.sha256(content).hexdigest())


def world(folder: Path) -> World:
    return World.create(folder, packages={"MAIN": (b"a",), "MCU 1": (b"b",)})


def powered(folder: Path) -> Boot:
    """The device's memory as it is after power came back."""
    found = World.open(folder)
    return Boot(found, Flash(found.home(found.devices[0])))


def new(folder: Path) -> Boot:
    world(folder)
    return powered(folder)


def put(boot: Boot, file: Staged, content: bytes) -> Staged:
    """Receive and accept a file."""
    placed = boot.stage(file)
    boot.flash.write(placed.area, 0, content)
    boot.accept(placed)
    return placed


def test_a_factory_fresh_device_has_the_versions_of_its_world(tmp_path: Path) -> None:
    assert new(tmp_path).versions == {"MAIN": "1.0.0", "MCU 1": "1.0.0"}


def test_a_factory_fresh_device_holds_no_image(tmp_path: Path) -> None:
    assert new(tmp_path).image("MAIN") == ()


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (MD5, "25f9e794323b453885f5181f1b624d0b"),
        (CRC32, "cbf43926"),
        (SHA256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    ],
)
def test_a_digest_is_the_one_of_its_documented_number(algorithm: int, expected: str) -> None:
    assert digest(algorithm, b"123456789") == expected


def test_a_crc_keeps_its_leading_zeros() -> None:
    content = next(b for b in (n.to_bytes(2, "big") for n in range(9999)) if zlib.crc32(b) < 0x1000000)
    assert len(digest(CRC32, content)) == 8


def test_an_accepted_file_does_not_run_before_the_reboot(tmp_path: Path) -> None:
    boot = new(tmp_path)
    put(boot, staged(FIRST), FIRST)
    assert (boot.versions["MAIN"], boot.image("MAIN")) == ("1.0.0", ())


def test_an_accepted_file_runs_after_the_reboot(tmp_path: Path) -> None:
    boot = new(tmp_path)
    put(boot, staged(FIRST), FIRST)
    boot.reboot()
    assert (boot.versions["MAIN"], boot.image("MAIN")) == ("2", (FIRST,))


def test_what_runs_outlives_the_object(tmp_path: Path) -> None:
    boot = new(tmp_path)
    put(boot, staged(FIRST), FIRST)
    boot.reboot()
    again = powered(tmp_path)
    assert (again.versions["MAIN"], again.image("MAIN")) == ("2", (FIRST,))


def test_a_received_file_that_was_not_accepted_does_not_run(tmp_path: Path) -> None:
    boot = new(tmp_path)
    boot.flash.write(boot.stage(staged(FIRST)).area, 0, FIRST)
    boot.reboot()
    assert boot.versions["MAIN"] == "1.0.0"


@pytest.mark.parametrize("content", [FIRST[:-1], FIRST + b"x", b"x" + FIRST[1:], b""])
def test_an_image_that_is_not_whole_and_intact_does_not_run(tmp_path: Path, content: bytes) -> None:
    boot = new(tmp_path)
    put(boot, staged(FIRST), content)
    boot.reboot()
    assert (boot.versions["MAIN"], boot.staged) == ("1.0.0", ())


def test_a_package_runs_with_all_its_files_in_order(tmp_path: Path) -> None:
    boot = new(tmp_path)
    put(boot, staged(SECOND, 1, 2), SECOND)
    put(boot, staged(FIRST, 0, 2), FIRST)
    boot.reboot()
    assert boot.image("MAIN") == (FIRST, SECOND)


def test_a_package_without_one_file_does_not_run(tmp_path: Path) -> None:
    boot = new(tmp_path)
    put(boot, staged(SECOND, 1, 2), SECOND)
    assert boot.missing("MAIN") == 1
    boot.reboot()
    assert (boot.versions["MAIN"], boot.staged) == ("1.0.0", ())


def test_one_damaged_file_keeps_the_whole_package_from_running(tmp_path: Path) -> None:
    boot = new(tmp_path)
    put(boot, staged(FIRST, 0, 2), FIRST)
    put(boot, staged(SECOND, 1, 2), SECOND[::-1])
    boot.reboot()
    assert boot.image("MAIN") == ()


def test_a_smaller_package_leaves_nothing_of_the_larger_running(tmp_path: Path) -> None:
    boot = new(tmp_path)
    put(boot, staged(FIRST, 0, 2), FIRST)
    put(boot, staged(SECOND, 1, 2), SECOND)
    boot.reboot()
    put(boot, staged(SECOND, version="3"), SECOND)
    boot.reboot()
    assert boot.image("MAIN") == (SECOND,)


def test_components_have_images_of_their_own(tmp_path: Path) -> None:
    boot = new(tmp_path)
    put(boot, staged(FIRST), FIRST)
    put(boot, staged(SECOND, component="MCU 1"), SECOND)
    boot.reboot()
    assert (boot.image("MAIN"), boot.image("MCU 1")) == ((FIRST,), (SECOND,))


def test_a_file_of_another_package_takes_the_place_of_what_was_accepted(tmp_path: Path) -> None:
    boot = new(tmp_path)
    put(boot, staged(FIRST, 0, 2, version="2"), FIRST)
    put(boot, staged(SECOND, 1, 2, version="3"), SECOND)
    assert [s.version for s in boot.staged] == ["3"]


def test_two_staged_files_lie_apart(tmp_path: Path) -> None:
    boot = new(tmp_path)
    first, second = boot.stage(staged(FIRST, 0, 2)), boot.stage(staged(SECOND, 1, 2))
    assert first.area != second.area


def test_a_new_try_starts_on_erased_flash(tmp_path: Path) -> None:
    boot = new(tmp_path)
    boot.flash.write(boot.stage(staged(FIRST)).area, 0, b"old bytes")
    assert boot.flash.size(boot.stage(staged(FIRST)).area) == 0


def test_a_dropped_file_leaves_its_flash(tmp_path: Path) -> None:
    boot = new(tmp_path)
    placed = put(boot, staged(FIRST), FIRST)
    boot.drop(lambda s: s.accepted)
    assert boot.flash.size(placed.area) == 0


@pytest.mark.parametrize("keep", range(12))
def test_a_reboot_cut_at_any_operation_runs_all_of_the_new_image_in_the_end(tmp_path: Path, keep: int) -> None:
    boot = new(tmp_path)
    put(boot, staged(FIRST, 0, 2), FIRST)
    put(boot, staged(SECOND, 1, 2), SECOND)
    until = boot.flash.operations + keep

    def cut(_operation: str) -> None:
        if boot.flash.operations > until:
            raise PowerCutError

    boot.flash.on_operation = cut
    try:
        boot.reboot()
    except PowerCutError:
        boot = powered(tmp_path)
        boot.reboot()
    assert (boot.versions["MAIN"], boot.image("MAIN")) == ("2", (FIRST, SECOND))
    assert boot.staged == ()


# ---------------------------------------------------------------------- falling back

THIRD = b"third" * 7


def runs(boot: Boot) -> tuple[str, tuple[bytes, ...]]:
    return boot.versions["MAIN"], boot.image("MAIN")


def updated(folder: Path, *packages: tuple[bytes, ...]) -> Boot:
    """A device that went from package to package, versions "2", "3" …, each kept aside for a fall back."""
    boot = new(folder)
    for version, package in enumerate(packages, 2):
        for n, content in enumerate(package):
            put(boot, staged(content, n, len(package), version=str(version)), content)
        boot.reboot(keeps_old=True)
    return boot


@pytest.mark.parametrize("old", [(FIRST,), (FIRST, SECOND), (SECOND, FIRST, SECOND)])
@pytest.mark.parametrize("now", [(THIRD,), (THIRD, FIRST)])
def test_what_ran_before_comes_back_by_a_reboot(tmp_path: Path, old: tuple[bytes, ...], now: tuple[bytes, ...]) -> None:
    boot = updated(tmp_path, (b"1", b"2", b"3", b"4"), old, now)
    assert runs(boot) == ("4", now)
    boot.revert()
    boot.reboot()
    assert runs(boot) == ("3", old)
    assert runs(powered(tmp_path)) == ("3", old)


def test_a_factory_fresh_device_comes_back_too(tmp_path: Path) -> None:
    boot = updated(tmp_path, (FIRST,))
    boot.revert()
    boot.reboot()
    assert runs(boot) == ("1.0.0", ())


def test_what_was_put_aside_may_come_back(tmp_path: Path) -> None:
    assert updated(tmp_path, (FIRST,), (SECOND,)).provisional


def test_what_fell_back_does_not_fall_back_again(tmp_path: Path) -> None:
    boot = updated(tmp_path, (FIRST,), (SECOND,))
    boot.revert()
    boot.reboot()
    assert not boot.provisional
    boot.revert()
    boot.reboot()
    assert runs(boot) == ("2", (FIRST,))


def test_an_image_that_was_not_put_aside_does_not_come_back(tmp_path: Path) -> None:
    boot = updated(tmp_path, (FIRST,), (SECOND,))
    put(boot, staged(THIRD, version="9"), THIRD)
    boot.reboot()
    assert not boot.provisional


def test_a_reboot_that_does_not_install_keeps_what_runs(tmp_path: Path) -> None:
    boot = updated(tmp_path, (FIRST,))
    put(boot, staged(SECOND, version="9"), SECOND)
    boot.reboot(installs=False)
    assert (runs(boot), boot.staged) == (("2", (FIRST,)), ())


def test_the_state_of_an_older_device_is_read(tmp_path: Path) -> None:
    boot = updated(tmp_path, (FIRST,))
    state = json.loads(boot.flash.content("state.json"))
    del state["before"], state["reverting"]
    boot.flash.save("state.json", json.dumps(state).encode())
    assert not powered(tmp_path).provisional


@pytest.mark.parametrize("keep", range(12))
def test_an_installation_that_puts_aside_may_be_cut_at_any_operation(tmp_path: Path, keep: int) -> None:
    boot = updated(tmp_path, (FIRST, SECOND))
    for n, content in enumerate((THIRD, FIRST)):
        put(boot, staged(content, n, 2, version="3"), content)
    boot = cut_after(tmp_path, boot, keep, lambda boot: boot.reboot(keeps_old=True))
    assert runs(boot) == ("3", (THIRD, FIRST))
    boot.revert()
    boot.reboot()
    assert runs(boot) == ("2", (FIRST, SECOND))


@pytest.mark.parametrize("keep", range(6))
def test_a_fall_back_may_be_cut_at_any_operation(tmp_path: Path, keep: int) -> None:
    boot = updated(tmp_path, (FIRST, SECOND), (THIRD, FIRST))
    boot.revert()
    boot = cut_after(tmp_path, boot, keep, Boot.reboot)
    assert runs(boot) == ("2", (FIRST, SECOND))


def cut_after(folder: Path, boot: Boot, operations: int, doing: Callable[[Boot], None]) -> Boot:
    """Do it, with a power cut after so many flash operations, and then in full."""
    until = boot.flash.operations + operations

    def cut(_operation: str) -> None:
        if boot.flash.operations > until:
            raise PowerCutError

    boot.flash.on_operation = cut
    try:
        doing(boot)
    except PowerCutError:
        boot = powered(folder)
        doing(boot)
    boot.flash.on_operation = None
    return boot

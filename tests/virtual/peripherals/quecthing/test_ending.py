"""How a file ends; virtual time, plain payloads unless the test is about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.virtual.peripherals.quecthing.bench import (
    CANCEL,
    PLAIN,
    bench,
)

pytestmark = pytest.mark.looptime

IMAGE = bytes(n * 7 % 256 for n in range(1000))


# ---------------------------------------------------------------------- the end, and what follows it


async def test_a_success_nobody_took_note_of_is_forgotten(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.now(0x7023)
    await host.quiet(60)
    assert host.thing.version("MAIN") == "1.0.0"


async def test_taking_note_of_another_frame_is_not_taking_note_of_the_success(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.now(0x7023)
    host.say(0x7024, packet_id=1)  # the packet id of "receive"; the success has 2
    await host.quiet(60)


async def test_a_reboot_without_taking_note_by_habit(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, reboots_without_ack=True))
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.now(0x7023)
    await host.rebooted()
    assert host.thing.running("MAIN") == IMAGE


async def test_it_settles_before_it_reboots(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.transfer(IMAGE)
    await host.quiet(1.9)
    await host.falls_off(within_s=0.2)


async def test_a_package_of_two_files_runs_as_one(tmp_path: Path) -> None:
    first, second = b"first" * 100, b"second" * 100
    host = bench(tmp_path, MAIN=(first, second))
    host.transfer(first, "1.1.0")
    await host.quiet(1)
    host.transfer(second, "1.1.0")
    await host.rebooted()
    assert (host.thing.running("MAIN"), host.thing.version("MAIN")) == (first + second, "1.1.0")


async def test_an_incomplete_package_does_not_reboot(tmp_path: Path) -> None:
    host = bench(tmp_path, MAIN=(b"first" * 100, b"second" * 100))
    host.transfer(b"first" * 100, "1.1.0")
    await host.quiet(60)
    assert host.thing.boot.staged == ()


async def test_the_second_file_may_take_longer_than_the_settling(tmp_path: Path) -> None:
    host = bench(tmp_path, MAIN=(b"first" * 100, b"second" * 100))
    host.transfer(b"first" * 100, "1.1.0")
    await host.quiet(10)
    host.transfer(b"second" * 100, "1.1.0")
    await host.rebooted()
    assert host.thing.version("MAIN") == "1.1.0"


async def test_a_second_file_that_is_cancelled_does_not_undo_the_first(tmp_path: Path) -> None:
    host = bench(tmp_path, MAIN=(b"main",), MCU=(b"mcu",))
    host.transfer(IMAGE)
    host.offer(b"mcu", "1.1.0")
    host.say(0x7023, CANCEL)
    host.now(0x7024)
    await host.rebooted()
    assert host.thing.running("MAIN") == IMAGE


async def test_two_components_are_updated_in_one_reboot(tmp_path: Path) -> None:
    host = bench(tmp_path, MAIN=(b"main" * 100,), MCU=(b"mcu" * 100,))
    host.transfer(b"mcu" * 100, "1.1.0")
    host.transfer(b"main" * 100, "1.1.0")
    await host.rebooted()
    assert (host.thing.running("MCU"), host.thing.running("MAIN")) == (b"mcu" * 100, b"main" * 100)


async def test_a_success_is_counted_each_time_it_is_said(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.now(0x7023)
    host.send_from(IMAGE, 800)
    assert host.thing.stats.successes == 2

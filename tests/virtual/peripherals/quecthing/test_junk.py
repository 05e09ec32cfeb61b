from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from ble_ota.virtual.peripherals.quecthing import junk, ttlv
from ble_ota.virtual.peripherals.quecthing.frame import Decoder
from tests.virtual.peripherals.quecthing.bench import CANCEL, PLAIN, bench, notification

IMAGE = b"image" * 100
MEANT = {*range(0x7020, 0x7027), *range(0x7032, 0x7036), 0x7040, 0x7041}


def test_noise_is_of_every_size_that_fits() -> None:
    chance = random.Random(1)
    assert {len(junk.noise(chance, 5)) for _ in range(500)} == {1, 2, 3, 4, 5}


def test_some_noise_begins_as_a_frame_does() -> None:
    chance = random.Random(1)
    begins = sum(junk.noise(chance, 20).startswith(b"\xaa\xaa") for _ in range(100))
    assert 20 < begins < 80


def test_the_same_chance_makes_the_same_noise() -> None:
    assert junk.noise(random.Random(7), 99) == junk.noise(random.Random(7), 99)


def test_messages_say_everything_a_device_can_say() -> None:
    chance = random.Random(1)
    said = {junk.message(chance, ("v",))[0] for _ in range(500)}
    assert {0x7023, 0x7024, 0x7026, 0x7033, 0x7035, 0x7041} < said


def test_messages_are_of_the_right_form() -> None:
    chance = random.Random(1)
    for _ in range(500):
        _, fields = junk.message(chance, ("v",))
        assert ttlv.unpack(ttlv.pack(fields)) == fields


def test_a_version_that_is_told_is_one_of_those_given() -> None:
    chance = random.Random(1)
    told = {f[12] for c, f in (junk.message(chance, ("a", "b")) for _ in range(500)) if c == 0x7041}
    assert told == {b"a", b"b"}


def test_nothing_unasked_is_a_frame_with_a_meaning() -> None:
    chance = random.Random(1)
    read = [f.command for _ in range(2000) for f in Decoder().feed(junk.unasked(chance, 244))]
    assert read
    assert not MEANT & set(read)


def test_nothing_unasked_is_larger_than_a_value() -> None:
    chance = random.Random(1)
    assert max(len(junk.unasked(chance, 100_000)) for _ in range(2000)) <= 512


@pytest.mark.looptime
async def test_a_flood_comes_in_bursts(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, floods=25))
    host.say(0x7022, notification(IMAGE))
    counts: list[int] = []
    for _ in range(3):
        counts.append(len(host.sizes))
        host.raw()
        await host.lasts(0.5)
    assert counts == [11, 21, 26]  # "receive", and junk


@pytest.mark.looptime
async def test_a_flood_waits_for_nobody_once_its_link_is_gone(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, floods=10**6, keeps_session_over_disconnect=True))
    host.say(0x7022, notification(IMAGE))
    host.lose()
    host.connect()
    await host.quiet(10)


@pytest.mark.looptime
async def test_a_device_without_the_habit_says_no_junk(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    await host.quiet(10)
    host.say(0x7023, CANCEL)
    assert host.now(0x7024) == b""

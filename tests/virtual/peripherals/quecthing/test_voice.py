from __future__ import annotations

import base64
import hashlib
import random

import pytest

from ble_ota.virtual.peripherals.quecthing.body import Stats
from ble_ota.virtual.peripherals.quecthing.habits import Habits
from ble_ota.virtual.peripherals.quecthing.login import WELCOME, Login
from ble_ota.virtual.peripherals.quecthing.voice import Voice
from tests.virtual.peripherals.quecthing.bench import frame, num

SECRET = b"sixteen bytes..."
HABITS = Habits()


def voice(*, logged_in: bool) -> Voice:
    login = Login(base64.b64encode(SECRET).decode(), random.Random(1))
    if logged_in:
        proof = hashlib.sha256(SECRET.hex().encode() + b";" + login.challenge()).hexdigest()
        assert login.attempt(proof.encode()) == WELCOME
    return Voice(login, Stats())


def test_a_frame_is_plain_before_the_login() -> None:
    assert voice(logged_in=False).frame(0x7023, num(7, 2), 5, HABITS) == frame(0x7023, num(7, 2), 5)


@pytest.mark.parametrize(
    ("command", "habits", "sealed"),
    [
        (0x7023, HABITS, True),
        (0x7023, Habits(encrypt_transfer=False), False),
        (0x7041, Habits(encrypt_transfer=False), True),
        (0x7035, HABITS, False),
    ],
)
def test_a_session_seals_what_was_agreed(command: int, habits: Habits, sealed: bool) -> None:
    said = voice(logged_in=True).frame(command, num(7, 2), 5, habits)
    assert (said != frame(command, num(7, 2), 5)) is sealed


@pytest.mark.parametrize(
    ("logged_in", "command", "habits", "may"),
    [
        (False, 0x7023, HABITS, False),
        (False, 0x7033, HABITS, True),
        (False, 0x7023, Habits(login_required=False), True),
        (True, 0x7023, HABITS, True),
    ],
)
def test_only_whoever_is_logged_in_may_hear_more_than_the_login(
    logged_in: bool, command: int, habits: Habits, may: bool
) -> None:
    assert voice(logged_in=logged_in).may_say(command, habits) is may


def test_what_one_says_the_other_hears() -> None:
    said = voice(logged_in=True).frame(0x7023, num(7, 2), 5, HABITS)
    ((heard, fields),) = voice(logged_in=True).hear(said, HABITS)
    assert (heard.packet_id, heard.command, fields) == (5, 0x7023, {7: 2})


def test_packet_ids_begin_anew_before_they_are_reserved() -> None:
    it = voice(logged_in=False)
    ids = [it.next_id() for _ in range(0xFFFF)]
    assert (ids[0], max(ids), ids[-1]) == (1, 0xFFFE, 1)


def test_half_a_frame_is_forgotten_at_a_reset() -> None:
    it = voice(logged_in=False)
    assert list(it.hear(frame(0x7040)[:5], HABITS)) == []
    it.reset()
    assert list(it.hear(frame(0x7040)[5:], HABITS)) == []

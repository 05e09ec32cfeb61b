"""What ends a wait; virtual time, plain payloads unless the test is about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from ble_ota.virtual.peripherals import Pause
from tests.virtual.peripherals.quecthing.bench import (
    CANCEL,
    CHAR,
    FAILURE,
    PAUSE,
    PLAIN,
    PROCEED,
    Bench,
    bench,
    binary,
    frame,
    num,
    packet,
)

pytestmark = pytest.mark.looptime

IMAGE = bytes(n * 7 % 256 for n in range(1000))


# ---------------------------------------------------------------------- the 15 seconds


async def test_fifteen_silent_seconds_are_cancelled(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    await host.quiet(14.9)
    assert await host.later(0x7023, within_s=0.2) == CANCEL


async def test_any_correct_frame_starts_the_fifteen_seconds_again(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    await host.quiet(10)
    host.say(0x7040)
    host.now(0x7041)
    await host.quiet(14.9)
    assert await host.later(0x7023, within_s=0.2) == CANCEL


async def test_a_frame_with_a_wrong_sum_does_not_start_them_again(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    await host.quiet(10)
    damaged = bytearray(frame(0x7040))
    damaged[4] ^= 1
    host.thing.written(CHAR, bytes(damaged))
    assert await host.later(0x7023, within_s=5.1) == CANCEL


async def test_after_a_cancel_a_new_file_is_taken(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    await host.later(0x7023)
    host.transfer(IMAGE)


async def test_nothing_is_cancelled_where_nothing_is_under_way(tmp_path: Path) -> None:
    await bench(tmp_path).quiet(100)


# ---------------------------------------------------------------------- pause, proceed, cancel: the host's


async def test_a_pause_of_the_host_is_answered_and_waited_for(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.say(0x7023, PAUSE + num(8, 60), packet_id=77)
    assert host.now(0x7024, packet_id=77) == b""
    await host.quiet(59)
    host.say(0x7023, PROCEED, packet_id=78)
    assert host.now(0x7024, packet_id=78) == b""
    host.send_from(IMAGE)
    host.finish()


async def test_a_pause_of_the_host_that_outlasts_its_delay_is_cancelled(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.say(0x7023, PAUSE + num(8, 5))
    host.now(0x7024)
    await host.quiet(4.9)
    assert await host.later(0x7023, within_s=0.2) == CANCEL


async def test_a_packet_during_the_hosts_own_pause_is_not_answered(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.say(0x7023, PAUSE + num(8, 5))
    host.now(0x7024)
    host.say(0x7025, packet(0, IMAGE[:200]))
    assert host.silent()


@pytest.mark.parametrize("data", [PAUSE, b"", num(8, 5), PAUSE + binary(8, b"5")])
async def test_a_control_frame_that_lacks_something_is_not_answered(tmp_path: Path, data: bytes) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.say(0x7023, data)
    assert host.silent()


async def test_a_cancel_of_the_host_ends_the_transfer(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.say(0x7023, CANCEL)
    host.now(0x7024)
    await host.quiet(60)
    assert host.thing.boot.staged == ()


async def test_a_cancel_of_the_host_before_it_took_note_keeps_the_old_image(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.now(0x7023)
    host.say(0x7023, CANCEL)
    host.now(0x7024)
    await host.quiet(60)
    assert host.thing.version("MAIN") == "1.0.0"


# ---------------------------------------------------------------------- pause, cancel, silence: the device's


def at_400(folder: Path, pause: Pause) -> Bench:
    """A device that pauses in its third packet, and the third packet sent."""
    host = bench(folder, replace(PLAIN, pauses=(pause,)))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.say(0x7025, packet(400, IMAGE[400:600]))
    return host


async def test_a_pause_after_the_answer(tmp_path: Path) -> None:
    host = at_400(tmp_path, Pause(400))
    assert (host.now(0x7026), host.now(0x7023)) == (num(9, 400), PAUSE + num(8, 5))


async def test_a_pause_before_the_answer(tmp_path: Path) -> None:
    host = at_400(tmp_path, Pause(599, answer="then"))
    assert (host.now(0x7023), host.now(0x7026)) == (PAUSE + num(8, 5), num(9, 400))


async def test_a_pause_that_holds_the_answer_back(tmp_path: Path) -> None:
    host = at_400(tmp_path, Pause(401, answer="held"))
    assert host.now(0x7023) == PAUSE + num(8, 5)
    await host.quiet(1.9)
    assert await host.later(0x7023, within_s=0.2) == PROCEED
    assert host.now(0x7026) == num(9, 400)


@pytest.mark.parametrize("answer", ["first", "then", "held"])
async def test_a_transfer_goes_on_after_a_pause(tmp_path: Path, answer: Literal["first", "then", "held"]) -> None:
    host = at_400(tmp_path, Pause(400, lasts_s=3, answer=answer))
    await host.quiet_after(2.9)
    assert await host.later(0x7023) == PROCEED
    if answer == "held":
        host.now(0x7026)
    host.send_from(IMAGE, 600)
    host.finish()


async def test_a_packet_in_flight_into_a_pause_is_answered_after_it(tmp_path: Path) -> None:
    host = at_400(tmp_path, Pause(400))
    host.now(0x7026)
    host.now(0x7023)
    host.say(0x7025, packet(600, IMAGE[600:800]))
    assert host.silent()
    assert await host.later(0x7023) == PROCEED
    assert host.now(0x7026) == num(9, 600)


async def test_what_a_pause_held_back_is_given_once(tmp_path: Path) -> None:
    """Its answer, and the packet that came into it; a second pause does not give them again."""
    host = bench(tmp_path, replace(PLAIN, pauses=(Pause(400, answer="held"), Pause(600))))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    for at in (400, 600):
        host.say(0x7025, packet(at, IMAGE[at : at + 200]))
    assert host.now(0x7023) == PAUSE + num(8, 5)
    assert await host.later(0x7023) == PROCEED
    assert (host.now(0x7026), host.now(0x7026)) == (num(9, 400), num(9, 600))
    assert host.now(0x7023) == PAUSE + num(8, 5)
    assert await host.later(0x7023) == PROCEED
    assert host.silent()
    assert host.thing.stats.duplicates == 0


async def test_only_one_packet_in_flight_is_kept(tmp_path: Path) -> None:
    host = at_400(tmp_path, Pause(400))
    for at in (600, 800):
        host.say(0x7025, packet(at, IMAGE[at : at + 200]))
    await host.quiet_after(1)
    assert host.thing.stats.ignored == 1


async def test_a_packet_in_flight_into_a_pause_is_lost_by_habit(tmp_path: Path) -> None:
    host = at_400(tmp_path, Pause(400))
    host.thing.habits = replace(host.thing.habits, drops_while_paused=True)
    host.now(0x7026)
    host.now(0x7023)
    host.say(0x7025, packet(600, IMAGE[600:800]))
    assert await host.later(0x7023) == PROCEED
    assert host.silent()


async def test_a_pause_in_the_last_packet_ends_before_the_success(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, pauses=(Pause(999),)))
    host.offer(IMAGE)
    host.send_from(IMAGE)
    assert host.now(0x7023) == PAUSE + num(8, 5)
    assert await host.later(0x7023) == PROCEED
    host.finish()


async def test_a_pause_that_never_ends_is_not_ended_within_its_delay(tmp_path: Path) -> None:
    host = at_400(tmp_path, Pause(400, delay_s=7, lasts_s=None))
    await host.quiet_after(21.9)
    assert await host.later(0x7023, within_s=0.2) == CANCEL


async def test_the_host_may_cancel_a_pause_that_never_ends(tmp_path: Path) -> None:
    host = at_400(tmp_path, Pause(400, lasts_s=None))
    await host.quiet_after(5)
    host.say(0x7023, CANCEL)
    host.now(0x7024)
    host.transfer(IMAGE[:300])


async def test_a_device_cancels_at_its_offset(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, cancel_at=400))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.say(0x7025, packet(400, IMAGE[400:600]))
    assert host.now(0x7023) == CANCEL


async def test_a_device_that_falls_silent_says_nothing_more(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, silent_after=400))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.say(0x7025, packet(400, IMAGE[400:600]))
    host.say(0x7040)
    await host.quiet(100)


async def test_a_silent_device_speaks_on_the_next_link(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, silent_after=0))
    host.offer(IMAGE)
    host.say(0x7025, packet(0, IMAGE[:200]))
    host.lose()
    host.connect().offer(IMAGE)


async def test_a_device_fails_a_good_file_by_habit(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, fail_at_end=True))
    host.offer(IMAGE)
    host.send_from(IMAGE)
    assert host.now(0x7023) == FAILURE


async def test_a_pause_without_end_comes_again_after_each_proceed(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, endless_pauses=True))
    host.offer(IMAGE)
    host.say(0x7025, packet(0, IMAGE[:200]))
    host.now(0x7026)
    for _ in range(50):
        assert host.now(0x7023) == PAUSE + num(8, 5)
        assert await host.later(0x7023, within_s=2.1) == PROCEED


async def test_pauses_without_end_begin_where_the_first_one_is_due(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, endless_pauses=True, pauses=(Pause(400, delay_s=7),)))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.say(0x7025, packet(400, IMAGE[400:600]))
    host.now(0x7026)
    assert host.now(0x7023) == PAUSE + num(8, 7)
    await host.later(0x7023)
    assert host.now(0x7023) == PAUSE + num(8, 7)


async def test_pauses_without_end_do_not_keep_a_file_that_nobody_takes_up(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, endless_pauses=True, keeps_session_over_disconnect=True))
    host.offer(IMAGE)
    host.say(0x7025, packet(0, IMAGE[:200]))
    host.lose()
    await host.quiet_after(17.1)  # the pause, and then the fifteen seconds
    assert host.thing.boot.staged == ()

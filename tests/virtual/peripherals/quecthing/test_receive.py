"""The transfer, step by step; virtual time, plain payloads unless the test is about them."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from ble_ota.virtual.peripherals import Habits, Pause
from tests.virtual.peripherals.quecthing.bench import (
    CANCEL,
    CHAR,
    DECLINE,
    FAILURE,
    PAUSE,
    PLAIN,
    PROCEED,
    RECEIVE,
    SUCCESS,
    Bench,
    bench,
    binary,
    frame,
    notification,
    num,
    packet,
)

pytestmark = pytest.mark.looptime

IMAGE = bytes(n * 7 % 256 for n in range(1000))


# ---------------------------------------------------------------------- the published bytes


async def test_the_documented_conversation_is_held_byte_for_byte(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.thing.written(
        CHAR, bytes.fromhex("aaaa00228903e87022000a000100220001002b0004cbf439260032000900630005312e302e31")
    )
    assert host.raw() == "aaaa000df200017023003a0002005a00c8"
    host.thing.written(CHAR, bytes.fromhex("aaaa00160403e97025004a000000530009313233343536373839"))
    assert host.raw() == "aaaa0009cc03e97026004a0000" + "aaaa0009d500027023003a0006"
    host.say(0x7024, packet_id=2)
    await host.rebooted()
    assert (host.thing.running("MAIN"), host.thing.version("MAIN")) == (b"123456789", "1.0.1")


async def test_stuffed_packets_arrive_unstuffed(tmp_path: Path) -> None:
    image = bytes.fromhex("aaaaaa55aa")
    host = bench(tmp_path)
    host.offer(image)
    host.thing.written(CHAR, bytes.fromhex("aaaa00122103ea7025004a000000530005aa55aa55aa5555aa"))
    assert host.now(0x7026, packet_id=1002) == num(9, 0)
    host.finish()
    await host.rebooted()
    assert host.thing.running("MAIN") == image


@pytest.mark.parametrize(
    ("algorithm", "code"),
    [
        (0, hashlib.md5(IMAGE, usedforsecurity=False).digest()),
        (1, zlib.crc32(IMAGE).to_bytes(4, "big")),
        (2, hashlib.sha256(IMAGE).digest()),
    ],
)
async def test_each_check_algorithm_accepts_the_right_file(tmp_path: Path, algorithm: int, code: bytes) -> None:
    host = bench(tmp_path)
    host.say(0x7022, num(1, 1) + num(4, algorithm) + binary(5, code) + num(6, len(IMAGE)))
    assert host.now(0x7023) == RECEIVE
    host.send_from(IMAGE)
    assert host.now(0x7023) == SUCCESS


async def test_a_file_that_is_not_its_check_code_fails(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE[:-1] + b"!")
    assert host.now(0x7023) == FAILURE
    await host.quiet(60)
    assert host.thing.version("MAIN") == "1.0.0"


async def test_a_failed_file_may_be_sent_again(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE[:-1] + b"!")
    host.now(0x7023)
    host.transfer(IMAGE)


async def test_chunk_bytes_are_dictated(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, chunk_bytes=64))
    host.say(0x7022, notification(IMAGE))
    assert host.now(0x7023) == bytes.fromhex("003a0002 005a0040")


async def test_the_next_offset_is_told_by_habit(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, id9="next"))
    host.offer(IMAGE)
    host.say(0x7025, packet(0, IMAGE[:200]))
    assert host.now(0x7026) == num(9, 200)


# ---------------------------------------------------------------------- refusals


async def test_a_device_that_declines_says_so(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, declines=True))
    host.say(0x7022, notification(IMAGE))
    assert host.now(0x7023) == DECLINE


async def test_a_file_that_does_not_fit_is_declined(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, flash_bytes=len(IMAGE) - 1))
    host.say(0x7022, notification(IMAGE))
    assert host.now(0x7023) == DECLINE


async def test_the_reason_of_a_decline_is_in_the_log(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, declines=True))
    host.say(0x7022, notification(IMAGE))
    assert host.logged == [b"declined: not now"]


async def test_a_second_transfer_is_declined_and_the_first_goes_on(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.say(0x7022, notification(b"another"))
    assert host.now(0x7023) == DECLINE
    host.send_from(IMAGE, 400)
    host.finish()


async def test_a_packet_without_a_transfer_is_not_answered(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.say(0x7025, packet(0, IMAGE[:200]))
    assert host.silent()
    assert host.thing.stats.ignored == 1


@pytest.mark.parametrize("data", [num(9, 0), binary(10, b"x"), num(9, 0) + binary(10, b"")])
async def test_a_packet_that_lacks_something_is_not_answered(tmp_path: Path, data: bytes) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.say(0x7025, data)
    assert host.silent()


@pytest.mark.parametrize(("size", "taken"), [(200, True), (201, False)])
async def test_data_larger_than_dictated_is_not_taken(tmp_path: Path, size: int, taken: bool) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.say(0x7025, packet(0, IMAGE[:size]))
    assert host.silent() is not taken


@pytest.mark.parametrize(("size", "taken"), [(183, True), (184, False)])
async def test_a_frame_larger_than_dictated_is_not_taken_by_habit(tmp_path: Path, size: int, taken: bool) -> None:
    host = bench(tmp_path, replace(PLAIN, packet_bound="frame"))  # 9 header + 4 offset + 4 + data
    host.offer(IMAGE)
    host.say(0x7025, packet(0, IMAGE[:size]))
    assert host.silent() is not taken


async def test_a_packet_past_the_end_of_the_file_is_cancelled(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=800)
    host.say(0x7025, packet(900, b"x" * 101))
    assert host.now(0x7023) == CANCEL


# ---------------------------------------------------------------------- offsets


async def test_a_packet_sent_twice_is_answered_twice_and_stored_once(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.send_from(IMAGE, 200, until=400)
    assert (host.thing.stats.duplicates, host.thing.stats.bytes) == (1, 400)


async def test_packets_that_overlap_make_the_file_all_the_same(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.send_from(IMAGE, 300)
    host.finish()


@pytest.mark.parametrize(("gap", "said"), [("tells", num(9, 200)), ("cancels", CANCEL), ("ignores", None)])
async def test_a_gap_is_met_by_habit(
    tmp_path: Path, gap: Literal["tells", "ignores", "cancels"], said: bytes | None
) -> None:
    host = bench(tmp_path, replace(PLAIN, gap=gap))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=200)
    host.say(0x7025, packet(400, IMAGE[400:600]))
    assert (None if host.silent() else host.now(0x7026 if gap == "tells" else 0x7023)) == said


async def test_a_packet_after_a_gap_is_not_stored(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.say(0x7025, packet(400, IMAGE[400:600]))
    assert host.thing.stats.bytes == 0


@pytest.mark.parametrize(("id9", "said"), [("echo", 201), ("next", 401)])
async def test_a_wrong_offset_is_told_by_habit(tmp_path: Path, id9: Literal["echo", "next"], said: int) -> None:
    host = bench(tmp_path, replace(PLAIN, id9=id9, wrong_offset_at=250))
    host.offer(IMAGE)
    for at in (0, 200):
        host.say(0x7025, packet(at, IMAGE[at : at + 200]))
    host.now(0x7026)
    assert host.now(0x7026) == num(9, said)


# ---------------------------------------------------------------------- a lost link

KEEPS = replace(PLAIN, keeps_session_over_disconnect=True)


def cut_at_400(folder: Path, habits: Habits = KEEPS) -> Bench:
    """A device that has 400 bytes and no link."""
    host = bench(folder, habits)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.lose()
    return host


async def test_a_lost_link_forgets_an_unfinished_file(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path, PLAIN)
    assert host.thing.boot.staged == ()


@pytest.mark.parametrize(("stray", "said"), [("ignores", None), ("cancels", CANCEL), ("declines", DECLINE)])
async def test_a_packet_of_a_forgotten_file_is_met_by_habit(
    tmp_path: Path, stray: Literal["ignores", "cancels", "declines"], said: bytes | None
) -> None:
    host = cut_at_400(tmp_path, replace(PLAIN, stray_packet=stray))
    host.connect().say(0x7025, packet(400, IMAGE[400:600]))
    assert (None if host.silent() else host.now(0x7023)) == said


async def test_a_packet_in_the_hosts_own_pause_is_no_stray_one(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, stray_packet="cancels"))
    host.offer(IMAGE)
    host.say(0x7023, PAUSE + num(8, 5))
    host.now(0x7024)
    host.say(0x7025, packet(0, IMAGE[:200]))
    assert host.silent()


@pytest.mark.parametrize("at", [200, 400])  # the last packet again, or the next one
async def test_a_kept_file_goes_on_with_a_packet(tmp_path: Path, at: int) -> None:
    host = cut_at_400(tmp_path)
    await host.quiet_after(14.9)
    host.connect().send_from(IMAGE, at)
    host.finish()
    assert host.thing.stats.bytes == len(IMAGE)


async def test_a_kept_file_goes_on_after_a_new_login(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits(keeps_session_over_disconnect=True))
    code = host.thing.world.devices[0].binding_code
    host.login(code)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.lose()
    host.connect().login(code)
    host.send_from(IMAGE, 400)
    host.finish()


async def test_whoever_is_not_logged_in_is_told_nothing_of_a_kept_file(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits(keeps_session_over_disconnect=True))
    host.login(host.thing.world.devices[0].binding_code)
    host.offer(IMAGE)
    host.lose()
    host.connect()
    await host.quiet(60)


async def test_a_kept_file_is_forgotten_after_the_fifteen_seconds(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path)
    await host.quiet_after(15.1)
    assert host.thing.boot.staged == ()


async def test_the_fifteen_seconds_run_on_while_there_is_no_link(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path)
    await host.quiet_after(10)
    host.connect()
    await host.quiet(4.9)
    assert await host.later(0x7023, within_s=0.2) == CANCEL


async def test_a_packet_after_the_fifteen_seconds_is_a_stray_one(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path)
    await host.quiet_after(15.1)
    host.connect().say(0x7025, packet(400, IMAGE[400:600]))
    assert host.silent()


async def test_half_a_packet_does_not_make_the_file_of_the_next_link(tmp_path: Path) -> None:
    host = bench(tmp_path, KEEPS)
    host.offer(IMAGE)
    host.thing.written(CHAR, frame(0x7025, packet(0, IMAGE[:200]))[:100])
    host.lose()
    host.connect().send_from(IMAGE)
    host.finish()


# ---------------------------------------------------------------------- a lost link, and a new notification


async def test_a_kept_file_is_taken_from_the_start(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path)
    host.connect().offer(IMAGE)
    host.say(0x7025, packet(400, IMAGE[400:600]))
    assert host.now(0x7026) == num(9, 0)


async def test_a_kept_file_is_continued_by_habit(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path, replace(KEEPS, on_new_offer="continues"))
    host.connect().offer(IMAGE)
    host.send_from(IMAGE, 400)
    host.finish()


async def test_a_continued_file_may_be_sent_from_the_start(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path, replace(KEEPS, on_new_offer="continues"))
    host.connect().transfer(IMAGE)
    assert (host.thing.stats.duplicates, host.thing.stats.bytes) == (2, len(IMAGE))


async def test_another_file_is_not_a_continuation(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path, replace(KEEPS, on_new_offer="continues"))
    host.connect().offer(IMAGE[::-1])
    host.say(0x7025, packet(400, IMAGE[400:600]))
    assert host.now(0x7026) == num(9, 0)


async def test_a_file_that_is_whole_is_finished_at_once_when_it_is_continued(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(KEEPS, on_new_offer="continues", pauses=(Pause(999),)))
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.lose()
    host.connect().offer(IMAGE)
    host.finish()


async def test_a_kept_file_is_not_given_up_for_another_by_habit(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path, replace(KEEPS, on_new_offer="declines"))
    host.connect().say(0x7022, notification(IMAGE))
    assert host.now(0x7023) == DECLINE
    host.send_from(IMAGE, 400)
    host.finish()


async def test_nothing_is_declined_for_a_kept_file_after_the_fifteen_seconds(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path, replace(KEEPS, on_new_offer="declines"))
    await host.quiet_after(15.1)
    host.connect().transfer(IMAGE)


async def test_a_file_that_was_taken_up_again_is_under_way(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path)
    host.connect().send_from(IMAGE, 400, until=600)
    host.say(0x7022, notification(IMAGE))
    assert host.now(0x7023) == DECLINE


# ---------------------------------------------------------------------- a lost link, in other phases


@pytest.mark.parametrize("answer", ["first", "then", "held"])
async def test_a_pause_goes_on_without_a_link(tmp_path: Path, answer: Literal["first", "then", "held"]) -> None:
    host = bench(tmp_path, replace(KEEPS, pauses=(Pause(400, answer=answer),)))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.say(0x7025, packet(400, IMAGE[400:600]), packet_id=1)
    host.lose()
    host.connect().say(0x7025, packet(400, IMAGE[400:600]), packet_id=2)
    await host.quiet(1.9)
    assert await host.later(0x7023, within_s=0.2) == PROCEED
    assert host.now(0x7026, packet_id=2) == num(9, 400)
    host.send_from(IMAGE, 600)
    host.finish()


async def test_a_packet_in_flight_into_a_pause_is_lost_with_its_link(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(KEEPS, pauses=(Pause(0),)))
    host.offer(IMAGE)
    for at in (0, 200):
        host.say(0x7025, packet(at, IMAGE[at : at + 200]))
    host.lose()
    host.connect()
    assert await host.later(0x7023) == PROCEED
    assert (host.silent(), host.thing.stats.bytes) == (True, 200)


async def test_a_pause_of_the_host_outlives_its_link(tmp_path: Path) -> None:
    host = bench(tmp_path, KEEPS)
    host.offer(IMAGE)
    host.say(0x7023, PAUSE + num(8, 60))
    host.lose()
    await host.quiet_after(59)
    host.connect().say(0x7023, PROCEED)
    host.now(0x7024)
    host.send_from(IMAGE)
    host.finish()


async def test_a_success_that_was_not_heard_is_said_again_for_the_last_packet(tmp_path: Path) -> None:
    host = bench(tmp_path, KEEPS)
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.lose()
    await host.quiet_after(14.9)
    host.connect().send_from(IMAGE, 800)
    host.finish()
    await host.rebooted()
    assert host.thing.running("MAIN") == IMAGE


async def test_the_first_success_may_still_be_acknowledged(tmp_path: Path) -> None:
    host = bench(tmp_path, KEEPS)
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.lose()
    host.connect().send_from(IMAGE, 800)
    host.say(0x7024, packet_id=2)  # the packet id of the first success
    await host.rebooted()
    assert host.thing.running("MAIN") == IMAGE


async def test_the_last_packet_is_answered_again_on_the_same_link(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE)
    assert host.now(0x7023) == SUCCESS
    host.send_from(IMAGE, 800)
    host.finish()


async def test_no_other_packet_is_answered_once_all_is_there(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.now(0x7023)
    host.say(0x7025, packet(600, IMAGE[600:800]))
    assert host.silent()


async def test_a_silent_device_keeps_its_file_for_the_fifteen_seconds_and_no_longer(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(KEEPS, silent_after=400))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.say(0x7025, packet(400, IMAGE[400:600]))
    await host.quiet(14)
    assert host.thing.boot.staged
    await host.quiet(1.1)
    assert host.thing.boot.staged == ()


# ---------------------------------------------------------------------- trouble


async def test_a_busy_device_declines_so_often_and_then_takes_the_file(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, busy_times=2))
    for _ in range(2):
        host.say(0x7022, notification(IMAGE))
        assert host.now(0x7023) == DECLINE
    host.transfer(IMAGE)


async def test_erasing_takes_its_time_before_receive(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, erase_s=37))
    host.say(0x7022, notification(IMAGE))
    await host.quiet(36.9)
    assert await host.later(0x7023, within_s=0.2) == RECEIVE
    host.send_from(IMAGE)
    host.finish()


async def test_a_host_may_cancel_while_the_device_erases(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, erase_s=37))
    host.say(0x7022, notification(IMAGE))
    host.say(0x7023, CANCEL)
    host.now(0x7024)
    await host.quiet(60)
    assert host.thing.boot.staged == ()


async def test_a_link_that_goes_while_the_device_erases_ends_it(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, erase_s=37))
    host.say(0x7022, notification(IMAGE))
    host.lose()
    host.connect()
    await host.quiet(60)


async def test_a_continued_file_is_not_erased_again(tmp_path: Path) -> None:
    host = cut_at_400(tmp_path, replace(KEEPS, on_new_offer="continues"))
    host.thing.habits = replace(host.thing.habits, erase_s=37)
    host.connect().offer(IMAGE)


async def test_each_packet_is_answered_late_by_habit(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, slow_answer_s=20))  # longer than its own patience
    host.offer(IMAGE)
    for at in range(0, len(IMAGE), 200):
        host.say(0x7025, packet(at, IMAGE[at : at + 200]))
        await host.quiet(19.9)
        assert await host.later(0x7026, within_s=0.2) == num(9, at)
    host.finish()


async def test_a_packet_sent_again_before_its_late_answer_is_answered_after_it(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, slow_answer_s=8))
    host.offer(IMAGE)
    for packet_id in (1, 2, 3):
        host.say(0x7025, packet(0, IMAGE[:200]), packet_id=packet_id)
    await host.later(0x7026)
    assert host.silent()
    await host.quiet(7.9)
    await host.later(0x7026)
    await host.quiet(14.9)  # one may wait; the third was lost
    assert (host.thing.stats.duplicates, host.thing.stats.ignored) == (1, 1)


async def test_a_late_answer_of_a_lost_link_is_no_sign_of_a_host(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(KEEPS, slow_answer_s=8))
    host.offer(IMAGE)
    host.say(0x7025, packet(0, IMAGE[:200]))
    host.lose()
    await host.quiet_after(8.1)
    host.connect().offer(IMAGE)


async def test_junk_comes_as_often_as_told_and_the_file_all_the_same(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, floods=25))
    host.say(0x7022, notification(IMAGE))
    for _ in range(5):
        await host.quiet_after(0.5)
        host.say(0x7023, num(7, 99))  # a sign of life
    assert len(host.sizes) == 1 + 25 + 5
    host.raw()
    host.send_from(IMAGE)
    host.finish()


async def test_junk_ends_with_the_file(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, floods=10**9))
    host.say(0x7022, notification(IMAGE))
    host.say(0x7023, CANCEL)
    await host.quiet_after(60)


@pytest.mark.parametrize(("habit", "said"), [("ahead", 800), ("behind", 0), ("beyond", 1400)])
async def test_a_lie_about_the_offset_is_told_once(
    tmp_path: Path, habit: Literal["ahead", "behind", "beyond"], said: int
) -> None:
    host = bench(tmp_path, replace(PLAIN, answers_offset=habit, answers_offset_at=400))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.say(0x7025, packet(400, IMAGE[400:600]))
    assert host.now(0x7026) == num(9, said)
    host.send_from(IMAGE, 400)
    host.finish()


async def test_a_device_may_accept_without_bytes_and_reboot_into_what_it_was(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, accepts_without_bytes=True))
    host.offer(IMAGE)
    host.finish()
    await host.rebooted()
    assert (host.thing.version("MAIN"), host.thing.boot.staged) == ("1.0.0", ())

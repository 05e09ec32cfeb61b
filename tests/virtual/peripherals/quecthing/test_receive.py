"""The transfer, step by step; virtual time, plain payloads unless the test is about them."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from ble_ota.virtual.peripherals import Pause
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


# ---------------------------------------------------------------------- a lost link


async def test_a_lost_link_forgets_an_unfinished_file(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.lose()
    host.connect().offer(IMAGE)
    host.say(0x7025, packet(400, IMAGE[400:600]))
    assert host.now(0x7026) == num(9, 0)


async def test_a_lost_link_keeps_an_unfinished_file_by_habit(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, keeps_session_over_disconnect=True))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.lose()
    await host.quiet(100)
    host.connect().offer(IMAGE)
    host.send_from(IMAGE, 400)
    host.finish()


async def test_a_kept_file_may_be_sent_from_the_start(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, keeps_session_over_disconnect=True))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.lose()
    host.connect().transfer(IMAGE)


async def test_a_kept_file_is_never_mixed_with_another(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, keeps_session_over_disconnect=True))
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.lose()
    host.connect().offer(IMAGE[::-1])
    host.say(0x7025, packet(400, IMAGE[400:600]))
    assert host.now(0x7026) == num(9, 0)


async def test_a_kept_file_that_is_whole_is_finished_at_once(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, keeps_session_over_disconnect=True, pauses=(Pause(999),)))
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.lose()
    host.connect().offer(IMAGE)
    host.finish()


async def test_a_kept_file_whose_success_nobody_took_note_of_is_finished_at_once(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, keeps_session_over_disconnect=True))
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.lose()
    await host.quiet_after(60)
    host.connect().offer(IMAGE)
    host.finish()


async def test_a_link_lost_before_anybody_took_note_keeps_the_old_image(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE)
    host.lose()
    await host.quiet_after(60)
    assert host.thing.version("MAIN") == "1.0.0"


async def test_a_link_lost_after_it_does_not_stop_the_reboot(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.transfer(IMAGE)
    host.lose()
    await host.rebooted()
    assert host.thing.running("MAIN") == IMAGE

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ble_ota.content import BLOCK_BYTES
from ble_ota.errors import BleOtaError, DeviceSilentError, MalformedError, StorageError, TrustError
from ble_ota.protocols.driver import Hint
from ble_ota.protocols.quecthing import frame, packets
from ble_ota.protocols.quecthing.packets import PACKET_S
from ble_ota.protocols.quecthing.transfer import upload
from ble_ota.protocols.quecthing.ttlv import Value
from ble_ota.script import ReadBlock, Script
from tests.protocols.conversation import Row
from tests.protocols.quecthing.ladder import (
    ACCEPTED,
    CHECKING,
    ECHO,
    FIRST,
    FIRST_SENT,
    LAST,
    LAST_SENT,
    NEXT,
    SUCCESS,
    WHOLE,
    cancels,
    control,
    fails,
    heard,
    reached,
    send,
)
from tests.protocols.quecthing.liar import Liar
from tests.protocols.quecthing.words import CONTENT, component, hears, image, progress, session, silence, told

SECOND_SENT = LAST_SENT[len(FIRST) :]
NOT_A_NUMBER: st.SearchStrategy[Value | None] = st.none() | st.booleans() | st.binary(max_size=2) | st.just(())


def test_answers_may_name_the_next_offset() -> None:
    first = (hears(reached(1001, 5), within_s=PACKET_S), progress(5, 9, learned=NEXT))
    second = (hears(reached(1002, 9), within_s=PACKET_S), progress(9, 9, learned=NEXT))
    send(*FIRST_SENT, *first, *SECOND_SENT, *second, progress(9, 9, learned=NEXT, wait_s=60.0), SUCCESS)


@pytest.mark.parametrize("said", [1, 4, 6, 9, -5, Decimal("0.5"), False, True, b"\0", 2**64 - 1])
def test_a_first_answer_with_an_offset_not_ours_is_a_lie(said: Value) -> None:
    fails(MalformedError, "answered offset", *FIRST_SENT, hears(reached(1001, said), within_s=PACKET_S), cancels(1002))


def test_an_answer_without_an_offset_is_a_lie() -> None:
    fails(MalformedError, "offset None", *FIRST_SENT, hears(told(0x7026, 1001), within_s=PACKET_S), cancels(1002))


@pytest.mark.parametrize(("first", "second"), [(0, 9), (5, 5), (0, 0), (5, 0)])
def test_what_the_first_answer_meant_is_held(first: int, second: int) -> None:
    learned = NEXT if first else ECHO
    rows = (*FIRST_SENT, hears(reached(1001, first), within_s=PACKET_S), progress(5, 9, learned=learned), *SECOND_SENT)
    fails(MalformedError, "was due", *rows, hears(reached(1002, second), within_s=PACKET_S), cancels(1003))


def test_an_unanswered_packet_goes_again_under_its_number() -> None:
    again = (silence(PACKET_S), FIRST_SENT[-1])
    answered = (hears(reached(1001, 0), within_s=PACKET_S), progress(5, 9, resent=10, learned=ECHO))
    second = (*LAST[len(FIRST) : -1], progress(9, 9, resent=10, learned=ECHO))
    send(*FIRST_SENT, *again, *again, *answered, *second, progress(9, 9, 10, learned=ECHO, wait_s=60.0), SUCCESS)


def test_after_three_tries_a_device_is_silent_and_not_told_to_forget() -> None:
    again = (silence(PACKET_S), SECOND_SENT[-1])
    match = r"packet at 5 in 3 tries of 4\.5 s"
    fails(DeviceSilentError, match, *LAST_SENT, *again, *again, silence(PACKET_S))


def test_three_tries_stay_under_the_devices_fifteen_seconds() -> None:
    assert packets.PACKET_TRIES * PACKET_S < 15


def test_an_answer_to_an_earlier_packet_is_passed_over() -> None:
    late = hears(reached(1001, 0), within_s=PACKET_S, after_s=1.5)
    send(*LAST_SENT, late, hears(reached(1002, 5), within_s=3.0), *LAST[-1:], CHECKING, SUCCESS)


def test_an_answer_over_three_indications_is_one_answer() -> None:
    wire = frame.encode(reached(1001, 0))
    pieces = [hears(wire[at : at + 5], within_s=PACKET_S) for at in (0, 5, 10)]
    send(*FIRST_SENT, *pieces, *WHOLE[len(FIRST) - 1 :], SUCCESS)


def test_success_may_come_in_the_last_answers_place() -> None:
    assert send(*LAST_SENT, hears(control(6), within_s=PACKET_S), LAST[-1]).owed == control(6)


def test_success_too_early_is_a_lie() -> None:
    fails(MalformedError, "success after 5 of 9", *FIRST_SENT, hears(control(6), within_s=PACKET_S), cancels(1002))


def test_success_waiting_before_the_next_packet_is_a_lie() -> None:
    fails(MalformedError, "success after 5 of 9", *FIRST, hears(control(6), within_s=0), cancels(1002))


@pytest.mark.parametrize(
    ("rows", "within_s", "match", "number"),
    [(FIRST, 0, "receive after 5", 1002), (LAST_SENT, PACKET_S, "after 9 of 9", 1003), (WHOLE, 60, "after 9", 1003)],
)
def test_receive_in_the_midst_is_a_lie(rows: tuple[Row, ...], within_s: float, match: str, number: int) -> None:
    fails(MalformedError, match, *rows, hears(control(2, chunk=5), within_s=within_s), heard(), cancels(number))


def test_a_device_that_never_says_what_it_makes_of_the_file_is_silent() -> None:
    fails(DeviceSilentError, "has the whole file", *WHOLE, silence(60.0))


@given(st.integers(1, 12), st.sampled_from(["echo", "next"]), st.integers(0, 8), st.integers(-12, 12) | NOT_A_NUMBER)
def test_a_device_that_names_a_wrong_offset_gets_no_success(chunk: int, id9: str, at: int, said: Value | None) -> None:
    """`said`: so far from what is due, or instead of it."""
    off = isinstance(said, int) and not isinstance(said, bool)
    start = at // chunk * chunk
    assume(not off or said not in (0, min(chunk, 9 - start), -min(chunk, 9 - start)))
    liar = Liar(chunk, id9=id9, misnames=at, by=said)
    with pytest.raises(MalformedError, match="was due"):
        liar.play(upload(session(), component(), image()), most=200)


@given(st.integers(1, 8), st.sampled_from(["echo", "next"]), st.data())
def test_a_device_that_names_a_wrong_offset_after_a_resume_gets_no_success(
    chunk: int, id9: str, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(1, 8 // chunk)) * chunk
    at = data.draw(st.integers(offset, 8))
    hint = Hint(offset, 1.0, f"{chunk} {id9}")
    liar = Liar(chunk, id9=id9, misnames=at, by=100, size=9, keeps=True)
    with pytest.raises(MalformedError, match="was due"):
        liar.play(upload(session(), component(), image(CONTENT), hint), most=300)


# ---------------------------------------------------------------- a file that is no longer what was verified

BROKEN = [TrustError("the file has changed"), StorageError("the disk says no")]


@pytest.mark.parametrize("error", BROKEN, ids=lambda e: e.reason)
def test_a_file_that_cannot_be_trusted_is_not_sent_and_the_device_forgets_it(error: BleOtaError) -> None:
    fails(type(error), str(error), *ACCEPTED, (ReadBlock(image().content, 0), error), cancels(1001))


@pytest.mark.parametrize("error", BROKEN, ids=lambda e: e.reason)
def test_a_later_block_that_cannot_be_trusted_ends_the_transfer(error: BleOtaError) -> None:
    content = bytes(range(256)) * 600
    liar, half = Liar(20_000), BLOCK_BYTES // 20_000
    what = image(content)

    def spoilt(script: Script[None]) -> Script[None]:
        """`script`, whose second block is not what it was."""
        step = next(script)
        while True:
            second = isinstance(step, ReadBlock) and step.index == 1
            step = script.throw(error) if second else script.send((yield step))

    with pytest.raises(type(error)):
        liar.play(spoilt(upload(session(), component(), what)), most=1000)
    assert liar.sent == [(n * 20_000, (n + 1) * 20_000) for n in range(half)]
    assert liar.cancelled == 1


def test_a_carried_on_file_that_cannot_be_trusted_is_not_sent() -> None:
    rows = ((ReadBlock(image().content, 0), TrustError("the file has changed")), cancels(1000))
    fails(TrustError, "changed", *rows, hint=Hint(5, 3.0, ECHO))


@pytest.mark.parametrize("size", [BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 1])
def test_a_file_of_many_blocks_arrives_byte_for_byte(size: int) -> None:
    content = random.Random(size).randbytes(size)
    liar = Liar(7_777)
    liar.play(upload(session(), component(), image(content)), most=2000)
    assert liar.content == content

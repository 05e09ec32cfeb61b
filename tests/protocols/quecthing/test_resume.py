"""A hint, the packet that asks, and every way a device may take it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ble_ota.errors import (
    BleOtaError,
    CancelledByDeviceError,
    DeviceSilentError,
    FailedByDeviceError,
    LinkLostError,
    MalformedError,
    StopAsked,
)
from ble_ota.protocols.driver import Hint
from ble_ota.protocols.quecthing.learned import NO_QUESTION
from ble_ota.protocols.quecthing.packets import COMPLETE_S, PACKET_S
from ble_ota.protocols.quecthing.transfer import OFFER_S, upload
from ble_ota.protocols.quecthing.ttlv import Value
from ble_ota.script import Progress, Reply
from tests.protocols.conversation import Row
from tests.protocols.quecthing.ladder import (
    ACCEPTED,
    ANNOUNCING,
    CHECKING,
    ECHO,
    FAILURE,
    NEXT,
    NOTHING_YET,
    SUCCESS,
    WHOLE,
    cancels,
    control,
    fails,
    heard,
    packet,
    reached,
    renumbered,
    send,
)
from tests.protocols.quecthing.liar import Liar, Whim
from tests.protocols.quecthing.lies import WHIMS
from tests.protocols.quecthing.words import CONTENT, component, hears, image, progress, session, silence, told

LEFT_AT_5 = Hint(5, 3.0, ECHO)
LEFT_AT_END = Hint(9, 3.0, ECHO)
ASKS = packet(1000, 5, CONTENT[5:])  # for both: the packet at 5 is the next one, and the last one
ANSWERED = (ASKS, hears(reached(1000, 5), within_s=PACKET_S))
KNOWN = (*ANSWERED, progress(5, 9, learned=ECHO), progress(9, 9, learned=ECHO))
KNOWN_WHOLE = (*ANSWERED, progress(9, 9, 4, learned=ECHO))
CHECKING_AGAIN = progress(9, 9, 4, learned=ECHO, wait_s=COMPLETE_S)


def from_the_start(by: int, *, again: int | None = None, fact: str = "") -> list[Row]:
    """The whole transfer, behind a first attempt that used `by` packet ids.

    That sent all bytes once and `again` of them twice; left out, it was the packet that asks, alone and in vain. Once
    the announcement is answered, `fact` is told of the product.
    """
    rows = renumbered((*WHOLE, SUCCESS), by=by, again=again)
    answered = next(n for n, (_, reply) in enumerate(rows) if isinstance(reply, Reply) and reply.value is not None)

    def row(n: int, step: Progress) -> Progress:
        step = replace(step, resent=len(CONTENT[5:])) if again is None else step
        return replace(step, product=fact) if n > answered else step

    return [(row(n, step) if isinstance(step, Progress) else step, reply) for n, (step, reply) in enumerate(rows)]


# ------------------------------------------------------------------ the device still knows


def test_a_device_that_answers_as_before_is_sent_the_rest() -> None:
    assert send(*KNOWN, CHECKING, SUCCESS, hint=LEFT_AT_5).owed == control(6)


def test_both_meanings_of_an_answer_are_carried_on() -> None:
    rows = (ASKS, hears(reached(1000, 9), within_s=PACKET_S), progress(5, 9, learned=NEXT))
    ends = (progress(9, 9, learned=NEXT), progress(9, 9, learned=NEXT, wait_s=COMPLETE_S), SUCCESS)
    send(*rows, *ends, hint=Hint(5, 3.0, NEXT))


@pytest.mark.parametrize(("meaning", "off"), [("echo", 0), ("next", 3)])
def test_every_packet_behind_the_first_is_sent_as_ever(meaning: str, off: int) -> None:
    known = f"3 {meaning}"
    asks = (packet(1000, 3, b"456"), hears(reached(1000, 3 + off), within_s=PACKET_S))
    told_so = (progress(3, 9, learned=known), progress(6, 9, learned=known), NOTHING_YET)
    last = (packet(1001, 6, b"789"), hears(reached(1001, 6 + off), within_s=PACKET_S), progress(9, 9, learned=known))
    ends = (progress(9, 9, learned=known, wait_s=COMPLETE_S), SUCCESS)
    send(*asks, *told_so, *last, *ends, hint=Hint(3, 3.0, known))


def test_a_device_that_had_it_all_is_sent_the_last_packet_again() -> None:
    send(*KNOWN_WHOLE, CHECKING_AGAIN, SUCCESS, hint=LEFT_AT_END)


@pytest.mark.parametrize("hint", [LEFT_AT_5, LEFT_AT_END])
def test_success_in_the_last_packets_answers_place_is_earned(hint: Hint) -> None:
    told_so = KNOWN[2:] if hint is LEFT_AT_5 else KNOWN_WHOLE[2:]
    assert send(ASKS, hears(control(6), within_s=PACKET_S), *told_so, hint=hint).owed == control(6)


def test_a_pause_before_the_answer_is_kept_and_told() -> None:
    pause = (hears(control(3, delay=20), within_s=PACKET_S), heard(), progress(5, 9, learned=ECHO, wait_s=22.0))
    proceeds = (hears(control(4), within_s=22.0), heard(), hears(reached(1000, 5), within_s=PACKET_S))
    send(ASKS, *pause, *proceeds, *KNOWN[2:], CHECKING, SUCCESS, hint=LEFT_AT_5)


def test_a_stop_behind_the_answer_leads_to_one_cancel() -> None:
    stopped = (*KNOWN[:-1], (KNOWN[-1][0], StopAsked("stop")), cancels(1001))
    fails(StopAsked, "stop", *stopped, hint=LEFT_AT_5)


def test_a_stop_before_the_answer_leads_to_one_cancel() -> None:
    fails(StopAsked, "stop", ASKS, (silence(PACKET_S)[0], StopAsked("stop")), cancels(1001), hint=LEFT_AT_5)


@pytest.mark.parametrize("hint", [LEFT_AT_5, LEFT_AT_END])
def test_a_device_that_never_says_what_it_makes_of_the_rest_is_silent(hint: Hint) -> None:
    rows = (*KNOWN, CHECKING) if hint is LEFT_AT_5 else (*KNOWN_WHOLE, CHECKING_AGAIN)
    fails(DeviceSilentError, "has the whole file", *rows, silence(COMPLETE_S), hint=hint)


def test_a_cancel_of_what_was_carried_on_is_the_devices_word() -> None:
    rows = (*KNOWN, CHECKING, hears(control(5), within_s=COMPLETE_S), heard())
    fails(CancelledByDeviceError, "cancelled", *rows, hint=LEFT_AT_5)


def test_a_link_that_goes_meanwhile_is_lost_and_not_written_to() -> None:
    fails(LinkLostError, "gone", (ASKS[0], LinkLostError("gone")), hint=LEFT_AT_5)


# ------------------------------------------------------------------ it does not, and the file is sent whole


ENDED_IT = {"cancel": 5, "decline": 1, "failure": 7}
OUT_OF_PLACE: dict[str, tuple[Row, ...]] = {
    "silence": (silence(PACKET_S),),
    "an answer to something else, then silence": (
        hears(reached(999, 5), within_s=PACKET_S, after_s=1.5),
        silence(3.0),
    ),
    "receive": (hears(control(2, chunk=5), within_s=PACKET_S), heard()),
    "an action that is none": (hears(control(9), within_s=PACKET_S),),
    "a pause without a delay": (hears(control(3), within_s=PACKET_S), heard()),
    "a pause without an end": (
        hears(control(3, delay=20), within_s=PACKET_S),
        heard(),
        progress(5, 9, learned=ECHO, wait_s=22.0),
        silence(22.0),
    ),
    "an answer without an offset": (hears(told(0x7026, 1000), within_s=PACKET_S),),
}


@pytest.mark.parametrize("what", ENDED_IT)
def test_a_device_that_ends_the_file_is_sent_it_whole_at_once(what: str) -> None:
    answer = (hears(control(ENDED_IT[what]), within_s=PACKET_S), heard())
    send(ASKS, *answer, *from_the_start(1), hint=LEFT_AT_5)


@pytest.mark.parametrize("what", OUT_OF_PLACE)
def test_a_device_that_does_otherwise_is_cancelled_and_sent_the_file_whole(what: str) -> None:
    fact = NO_QUESTION if "silence" in what else ""
    send(ASKS, *OUT_OF_PLACE[what], cancels(1001), *from_the_start(2, fact=fact), hint=LEFT_AT_5)


@pytest.mark.parametrize("said", [9, 0, 4, 6, -5, True, Decimal("5.5"), b"\5", 2**64 - 1])
def test_an_answer_other_than_the_learned_one_is_cancelled_and_sent_whole(said: Value) -> None:
    answer = hears(reached(1000, said), within_s=PACKET_S)
    send(ASKS, answer, cancels(1001), *from_the_start(2), hint=LEFT_AT_5)


def test_an_echo_where_next_was_learned_is_cancelled_and_sent_whole() -> None:
    answer = hears(reached(1000, 5), within_s=PACKET_S)
    send(ASKS, answer, cancels(1001), *from_the_start(2), hint=Hint(5, 3.0, NEXT))


def test_success_before_the_last_packet_is_cancelled_and_sent_whole() -> None:
    asks = (packet(1000, 3, b"456"), hears(control(6), within_s=PACKET_S))
    rows = renumbered((*ACCEPTED,), by=2, again=3)
    first = (NOTHING_YET, packet(1003, 0, CONTENT[:5]), hears(reached(1003, 0), within_s=PACKET_S))
    second = (NOTHING_YET, packet(1004, 5, CONTENT[5:]), hears(reached(1004, 5), within_s=PACKET_S))
    # sent twice over this link: the three bytes of the packet that asks
    one, two = progress(5, 9, 3, learned=ECHO), progress(9, 9, 3, learned=ECHO)
    ends = (progress(9, 9, 3, learned=ECHO, wait_s=COMPLETE_S), SUCCESS)
    send(*asks, cancels(1001), *rows, *first, one, *second, two, *ends, hint=Hint(3, 3.0, "3 echo"))


def test_success_before_the_last_packet_of_what_was_carried_on_is_cancelled_and_sent_whole() -> None:
    known = "3 echo"
    asks = (packet(1000, 3, b"456"), hears(reached(1000, 3), within_s=PACKET_S))
    told_so = (progress(3, 9, learned=known), progress(6, 9, learned=known), hears(control(6), within_s=0))
    declined = (hears(control(1), within_s=OFFER_S), heard())
    rows = (*asks, *told_so, cancels(1001), *renumbered((*ANNOUNCING, *declined), by=2))
    fails(BleOtaError, "declined", *rows, hint=Hint(3, 3.0, known))


def test_a_late_answer_to_the_packet_that_asked_is_passed_over() -> None:
    late = hears(reached(1000, 5), within_s=OFFER_S, after_s=1.0)
    rows = from_the_start(2, fact=NO_QUESTION)
    accepted = hears(control(2, chunk=5), within_s=OFFER_S - 1.0)
    send(ASKS, silence(PACKET_S), cancels(1001), *rows[:2], late, accepted, *rows[3:], hint=LEFT_AT_5)


def test_a_pause_that_was_never_ended_does_not_outlive_the_cancel() -> None:
    declined = (hears(control(1), within_s=OFFER_S), heard())
    again = renumbered((*ANNOUNCING, *declined), by=2, again=4)
    rows = (ASKS, *OUT_OF_PLACE["a pause without an end"], cancels(1001), *again)
    fails(BleOtaError, "declined", *rows, hint=LEFT_AT_5)


def test_a_stop_while_the_device_is_made_to_forget_leads_to_a_cancel() -> None:
    stopped = (ASKS, silence(PACKET_S), (cancels(1001)[0], StopAsked("stop")), cancels(1002))
    fails(StopAsked, "stop", *stopped, hint=LEFT_AT_5)


def test_a_product_that_did_not_answer_the_question_is_not_asked_again() -> None:
    rows = [
        (replace(step, product=NO_QUESTION) if isinstance(step, Progress) else step, reply)
        for step, reply in (*WHOLE, SUCCESS)
    ]
    send(*rows, hint=replace(LEFT_AT_5, product=NO_QUESTION))


@pytest.mark.parametrize(
    "hint", [Hint(5, 15.0, ECHO), Hint(5, 3.0, ""), Hint(5, 3.0, "5 maybe"), Hint(4, 3.0, ECHO), Hint(0, 3.0, ECHO)]
)
def test_a_hint_that_cannot_be_used_asks_nothing(hint: Hint) -> None:
    send(*WHOLE, SUCCESS, hint=hint)


# ------------------------------------------------------------------ failure, and once more


def test_what_was_carried_on_and_found_bad_is_sent_once_more_whole() -> None:
    send(*KNOWN, CHECKING, *FAILURE, *from_the_start(1, again=0), hint=LEFT_AT_5)


def test_what_was_all_there_and_found_bad_is_sent_once_more_whole() -> None:
    send(*KNOWN_WHOLE, CHECKING_AGAIN, *FAILURE, *from_the_start(1, again=4), hint=LEFT_AT_END)


def test_found_bad_a_second_time_is_given_up_on() -> None:
    again = renumbered((*WHOLE, *FAILURE), by=1, again=0)
    fails(FailedByDeviceError, "found it bad", *KNOWN, CHECKING, *FAILURE, *again, hint=LEFT_AT_5)


def test_success_for_nothing_after_a_failure_is_sent_over_once() -> None:
    nothing = (*ACCEPTED, hears(control(6), within_s=0), cancels(1001))
    once = renumbered(nothing, by=1)
    rows = (*KNOWN, CHECKING, *FAILURE, *once, *renumbered(nothing, by=3))
    fails(MalformedError, "success after 0 of 9", *rows, hint=LEFT_AT_5)


# ------------------------------------------------------------------ whatever comes

HINTS = st.builds(
    Hint,
    st.integers(-1, 10),
    st.sampled_from([0.0, 14.0, 15.0, -1.0]),
    st.builds("{} {}".format, st.integers(0, 9), st.sampled_from(["echo", "next"])) | st.text(max_size=8),
)
ID9 = st.sampled_from(["echo", "next"])


@settings(max_examples=500)
@given(HINTS, WHIMS, st.integers(1, 9), ID9, st.booleans())
@example(Hint(3, 0.0, "3 echo"), [], 3, "echo", True)
def test_any_hint_and_any_device_end_in_bytes_that_were_sent_or_a_named_error(
    hint: Hint, whims: list[Whim], chunk: int, id9: str, keeps: bool
) -> None:
    liar = Liar(chunk, deque([*whims, *[None] * 40]), size=9, id9=id9, keeps=keeps)
    try:
        liar.play(upload(session(), component(), image(), hint), most=600)
    except BleOtaError:
        return
    must = range(0 if liar.announced else hint.offset, 9)
    assert {at for start, end in liar.sent for at in range(start, end)} >= set(must)


@given(st.integers(1, 8), ID9, st.data())
def test_a_device_that_kept_the_file_is_sent_each_missing_byte_once(chunk: int, id9: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(1, 8 // chunk)) * chunk
    liar = Liar(chunk, size=9, id9=id9, keeps=True, flash={0: CONTENT[:offset]})
    liar.play(upload(session(), component(), image(), Hint(offset, 0.0, f"{chunk} {id9}")), most=200)
    assert (liar.announced, liar.content) == (0, CONTENT)
    assert sum(end - start for start, end in liar.sent) == 9 - offset


@given(HINTS, st.integers(1, 9), ID9)
def test_a_device_that_forgot_the_file_gets_it_whole(hint: Hint, chunk: int, id9: str) -> None:
    liar = Liar(chunk, id9=id9)
    liar.play(upload(session(), component(), image(), hint), most=200)
    assert (liar.announced, liar.content) == (1, CONTENT)

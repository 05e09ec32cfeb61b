from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ble_ota.errors import (
    BleOtaError,
    CancelledByDeviceError,
    DeclinedByDeviceError,
    DeviceSilentError,
    FailedByDeviceError,
    LinkLostError,
    MalformedError,
    StopAsked,
)
from ble_ota.protocols.quecthing import conversation, frame, ttlv
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.packets import COMPLETE_S, PACKET_S
from ble_ota.protocols.quecthing.session import Options
from ble_ota.protocols.quecthing.transfer import OFFER_S, REBOOT_S, activate, upload
from ble_ota.protocols.quecthing.ttlv import Field
from ble_ota.protocols.quecthing.vocabulary import offer
from ble_ota.script import Reply, Write
from tests.protocols.conversation import DONE, Row, play
from tests.protocols.quecthing.ladder import (
    ACCEPTED,
    ANNOUNCED,
    ANNOUNCING,
    ECHO,
    FAILURE,
    FIRST_SENT,
    HALF,
    NOTHING_YET,
    OFFER,
    RECEIVE,
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
from tests.protocols.quecthing.words import (
    CONTENT,
    HANDLE,
    component,
    hears,
    image,
    progress,
    session,
    silence,
    told,
    writes,
)


def test_the_documented_conversation_byte_for_byte() -> None:
    send(
        progress(0, 9, wait_s=OFFER_S),
        writes(ANNOUNCED),
        hears("aaaa000df200017023003a0002005a00c8", within_s=OFFER_S),
        writes("aaaa00059500017024"),
        progress(0, 9),
        NOTHING_YET,
        writes("aaaa00160403e97025004a000000530009313233343536373839"),
        hears("aaaa0009cc03e97026004a0000", within_s=PACKET_S),
        progress(9, 9, learned="200 echo"),
        progress(9, 9, learned="200 echo", wait_s=COMPLETE_S),
        hears("aaaa0009d500027023003a0006", within_s=COMPLETE_S),
    )


def test_a_packet_is_stuffed() -> None:
    content = bytes.fromhex("aaaaaa55aa")
    talk = session()
    announced = frame.encode(Frame(1000, 0x7022, talk.seal(0x7022, offer(Options(), component(), image(content)))))
    talk._next_id = 1000
    sent = writes("aaaa0012" + "20" + "03e97025004a000000530005aa55aa55aa5555aa")
    rows = (progress(0, 5, wait_s=OFFER_S), writes(announced.hex()), *RECEIVE, progress(0, 5), NOTHING_YET, sent)
    answered = (hears(reached(1001, 0), within_s=PACKET_S), progress(5, 5, learned=ECHO))
    send(*rows, *answered, progress(5, 5, learned=ECHO, wait_s=COMPLETE_S), SUCCESS, talk=talk, what=image(content))


def test_a_file_goes_in_chunks_of_the_devices_size() -> None:
    send(*WHOLE, SUCCESS)


def test_success_is_not_answered_before_the_reboot_may_begin() -> None:
    assert send(*WHOLE, SUCCESS).owed == control(6)


def test_an_empty_file_waits_for_the_devices_word() -> None:
    announcement = offer(Options(), component(), image(b""))
    announced = writes(Frame(1000, 0x7022, session().seal(0x7022, announcement)))
    granted = progress(0, 0, wait_s=OFFER_S)
    assert OFFER_S == COMPLETE_S
    send(granted, announced, *RECEIVE, progress(0, 0), granted, SUCCESS, what=image(b""))


@pytest.mark.parametrize(("max_write", "pieces"), [(20, 2), (244, 1)])
def test_a_frame_is_split_to_the_size_of_a_write(max_write: int, pieces: int) -> None:
    wire = bytes.fromhex(ANNOUNCED)
    rows = [(Write(HANDLE, wire[at : at + max_write], ack=True), DONE) for at in range(0, len(wire), max_write)]
    assert len(rows) == pieces
    with pytest.raises(DeclinedByDeviceError):
        send(ANNOUNCING[0], *rows, hears(control(1), within_s=OFFER_S), heard(), talk=session(max_write=max_write))


def test_after_a_login_every_payload_is_sealed() -> None:
    talk = session(key=bytes(16), iv=bytes(16))

    def sealed(clear: Frame) -> Frame:
        return Frame(clear.packet_id, clear.cmd, talk.seal(clear.cmd, ttlv.decode(clear.data)))

    send(
        ANNOUNCING[0],
        writes(sealed(OFFER)),
        hears(sealed(control(2, chunk=200)), within_s=OFFER_S),
        heard(),
        progress(0, 9),
        NOTHING_YET,
        writes(sealed(told(0x7025, 1001, {9: 0, 10: CONTENT}))),
        hears(sealed(reached(1001, 0)), within_s=PACKET_S),
        progress(9, 9, learned="200 echo"),
        progress(9, 9, learned="200 echo", wait_s=COMPLETE_S),
        hears(sealed(control(6)), within_s=COMPLETE_S),
        talk=talk,
    )


def test_a_chunk_by_frame_counts_the_padding_only_where_file_frames_are_sealed() -> None:
    options = Options(packet_bound="frame", encrypt_transfer=False)
    send(
        *ANNOUNCING,
        hears(control(2, chunk=20 + HALF), within_s=OFFER_S),
        *WHOLE[3:],
        SUCCESS,
        talk=replace(session(key=bytes(16), iv=bytes(16), options=options), key_shown=True),
    )


def test_a_declined_file_is_named() -> None:
    fails(DeclinedByDeviceError, "declined", *ANNOUNCING, hears(control(1), within_s=OFFER_S), heard())


def test_a_device_that_does_not_answer_the_offer_is_silent() -> None:
    fails(DeviceSilentError, "did not answer the announcement", *ANNOUNCING, silence(OFFER_S))


def test_success_in_place_of_the_leave_is_sent_over_once() -> None:
    """The device kept a file of an earlier link: it is told to forget it, and gets the whole."""
    kept = (*ANNOUNCING, hears(control(6), within_s=OFFER_S), cancels(1001))
    send(*kept, *renumbered((*WHOLE, SUCCESS), by=2))
    twice = (*kept, *renumbered((*ANNOUNCING, hears(control(6), within_s=OFFER_S), cancels(1001)), by=2))
    fails(MalformedError, "success before the first", *twice)


def test_a_chunk_size_that_is_none_is_a_lie() -> None:
    rows = (*ANNOUNCING, hears(control(2), within_s=OFFER_S), heard(), cancels(1001))
    fails(MalformedError, "maximum packet length None", *rows)


def test_a_failure_of_the_whole_file_is_named() -> None:
    fails(FailedByDeviceError, "found it bad", *WHOLE, *FAILURE)


UNEARNED = (*ACCEPTED, hears(control(6), within_s=0), cancels(1001))


def test_success_for_nothing_is_cancelled_and_the_file_sent_all_the_same() -> None:
    send(*UNEARNED, *renumbered((*WHOLE, SUCCESS), by=2))


def test_success_for_nothing_twice_is_a_lie() -> None:
    error = fails(MalformedError, "success after 0 of 9", *UNEARNED, *renumbered(UNEARNED, by=2))
    assert error.reason == "malformed"


def test_a_stop_before_anything_is_said_leads_to_a_cancel() -> None:
    fails(StopAsked, "stop", ANNOUNCING[0], (ANNOUNCING[1][0], StopAsked("stop")), cancels(1001))


def test_a_stop_in_the_midst_of_a_write_leads_to_a_cancel() -> None:
    fails(StopAsked, "stop", *FIRST_SENT[:-1], (FIRST_SENT[-1][0], StopAsked("stop")), cancels(1002))


def test_a_lost_link_is_not_written_to() -> None:
    fails(LinkLostError, "gone", *FIRST_SENT[:-1], (FIRST_SENT[-1][0], LinkLostError("gone")))


def test_a_device_that_keeps_the_link_was_not_seen_to_reboot() -> None:
    talk = session()
    talk.owed = control(6, 9)
    rows = (heard(9), hears(told(0x7065, 1), within_s=REBOOT_S, after_s=10.0), silence(20.0))
    assert play(activate(talk), *rows) is False
    assert talk.owed is None


def test_a_link_that_goes_behind_the_last_answer_is_the_reboot() -> None:
    talk = session()
    talk.owed = control(6, 9)
    assert play(activate(talk), heard(9), (silence(REBOOT_S)[0], LinkLostError("gone"))) is True


def test_a_link_that_goes_before_the_last_answer_is_lost() -> None:
    talk = session()
    talk.owed = control(6, 9)
    with pytest.raises(LinkLostError):
        play(activate(talk), (heard(9)[0], LinkLostError("gone")))


@pytest.mark.parametrize("rows", [(heard(9), silence(REBOOT_S)), (heard(9),)])
def test_a_stop_when_the_file_is_the_devices_says_nothing(rows: tuple[Row, ...]) -> None:
    talk = session()
    talk.owed = control(6, 9)
    with pytest.raises(StopAsked):
        play(activate(talk), *rows[:-1], (rows[-1][0], StopAsked("stop")))


def test_the_next_file_answers_the_success_of_the_one_before() -> None:
    talk = session()
    talk.owed = control(6, 9)
    send(heard(9), *WHOLE, SUCCESS, talk=talk)


def test_a_reply_that_took_time_is_time_gone() -> None:
    talk = session()
    waits = (hears(control(2, chunk=HALF), within_s=OFFER_S)[0], Reply(None, 61.0))
    with pytest.raises(DeviceSilentError):
        send(*ANNOUNCING, waits, talk=talk)
    assert talk.clock_s == 61.0


@settings(max_examples=400)
@given(WHIMS, st.integers(1, 9))
def test_a_lying_device_ends_in_the_whole_file_or_a_named_error(whims: list[Whim], chunk: int) -> None:
    liar = Liar(chunk, deque(whims))
    try:
        liar.play(upload(session(), component(), image()), most=500)
    except BleOtaError:
        return
    assert liar.content == CONTENT


@given(st.integers(1, 12))
def test_a_device_with_no_lies_gets_its_file(chunk: int) -> None:
    liar = Liar(chunk, deque([None] * 30))
    liar.play(upload(session(), component(), image()), most=200)
    assert liar.content == CONTENT


def test_a_device_that_floods_is_left_in_a_bounded_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "IGNORED_MAX", 50)
    lies: list[Whim] = [None, (0x7023, 5, (Field(7, 4),)), *([(0x7023, 5, (Field(7, 4),))] * 100)]
    with pytest.raises(MalformedError, match="lead nowhere"):
        Liar(5, deque(lies)).play(upload(session(), component(), image()), most=200)


AGAIN = writes(Frame(1001, 0x7022, OFFER.data))
GIVEN_UP = (*ANNOUNCING, hears(control(5), within_s=OFFER_S), heard(), AGAIN)
"""The device's "receive" got lost, and it has waited for a packet in vain."""


def test_a_cancel_in_place_of_the_leave_has_the_file_announced_once_more() -> None:
    leave = (hears(control(2, chunk=9), within_s=OFFER_S), heard(), progress(0, 9))
    sent = (silence(0), packet(1002, 0, CONTENT), hears(reached(1002, 0), within_s=PACKET_S))
    told_so = (progress(9, 9, learned="9 echo"), progress(9, 9, learned="9 echo", wait_s=COMPLETE_S))
    send(*GIVEN_UP, *leave, *sent, *told_so, SUCCESS)


def test_a_second_cancel_in_place_of_the_leave_is_heard() -> None:
    fails(CancelledByDeviceError, "cancelled .* 0 of 9 bytes", *GIVEN_UP, hears(control(5), within_s=OFFER_S), heard())

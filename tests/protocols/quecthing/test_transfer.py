from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

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
    PauseNeverEndedError,
    StopAsked,
)
from ble_ota.model import VerifiedImage
from ble_ota.protocols.quecthing import frame, transfer, ttlv
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.session import Options, Session
from ble_ota.protocols.quecthing.transfer import (
    COMPLETE_S,
    OFFER_S,
    PACKET_S,
    PAUSE_GRACE_S,
    REBOOT_S,
    activate,
    upload,
)
from ble_ota.protocols.quecthing.ttlv import Field, Value
from ble_ota.protocols.quecthing.vocabulary import offer
from ble_ota.script import Notified, Reply, Write
from tests.protocols.conversation import DONE, Row, play
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

ANNOUNCED = "aaaa00228903e87022000a000100220001002b0004cbf439260032000900630005312e302e31"
OFFER = Frame(1000, 0x7022, bytes.fromhex(ANNOUNCED)[9:])
HALF = 5  # two packets: 5 and 4 bytes
CANCELS = 5


def control(action: int, packet_id: int = 77, **more: int | Decimal) -> Frame:
    return told(0x7023, packet_id, {7: action} | {{"delay": 8, "chunk": 11}[name]: n for name, n in more.items()})


def heard(packet_id: int = 77) -> Row:
    return writes(told(0x7024, packet_id))


def packet(packet_id: int, at: int, data: bytes) -> Row:
    return writes(told(0x7025, packet_id, {9: at, 10: data}))


def reached(packet_id: int, at: Value) -> Frame:
    return told(0x7026, packet_id, {9: at})


def cancels(packet_id: int) -> Row:
    return writes(control(CANCELS, packet_id))


NOTHING_YET = silence(0)
ACCEPTED = (
    writes(ANNOUNCED),
    hears(control(2, chunk=HALF), within_s=OFFER_S),
    heard(),
    progress(0, 9),
)
FIRST_SENT = (*ACCEPTED, NOTHING_YET, packet(1001, 0, CONTENT[:HALF]))
FIRST = (*FIRST_SENT, hears(reached(1001, 0), within_s=PACKET_S), progress(5, 9))
LAST_SENT = (*FIRST, NOTHING_YET, packet(1002, HALF, CONTENT[HALF:]))
LAST = (*LAST_SENT, hears(reached(1002, HALF), within_s=PACKET_S), progress(9, 9))
SUCCESS = hears(control(6), within_s=COMPLETE_S)


def send(*rows: Row, talk: Session | None = None, what: VerifiedImage | None = None) -> Session:
    talk = talk or session()
    play(upload(talk, component(), what or image()), *rows)
    return talk


def fails(error: type[BleOtaError], match: str, *rows: Row) -> BleOtaError:
    with pytest.raises(error, match=match) as caught:
        send(*rows)
    return caught.value


def test_the_documented_conversation_byte_for_byte() -> None:
    send(
        writes(ANNOUNCED),
        hears("aaaa000df200017023003a0002005a00c8", within_s=OFFER_S),
        writes("aaaa00059500017024"),
        progress(0, 9),
        NOTHING_YET,
        writes("aaaa00160403e97025004a000000530009313233343536373839"),
        hears("aaaa0009cc03e97026004a0000", within_s=PACKET_S),
        progress(9, 9),
        hears("aaaa0009d500027023003a0006", within_s=COMPLETE_S),
    )


def test_a_packet_is_stuffed() -> None:
    content = bytes.fromhex("aaaaaa55aa")
    talk = session()
    announced = frame.encode(Frame(1000, 0x7022, talk.seal(0x7022, offer(Options(), component(), image(content)))))
    talk._next_id = 1000
    sent = writes("aaaa0012" + "20" + "03e97025004a000000530005aa55aa55aa5555aa")
    rows = (writes(announced.hex()), *ACCEPTED[1:3], progress(0, 5), NOTHING_YET, sent)
    send(*rows, hears(reached(1001, 0), within_s=PACKET_S), progress(5, 5), SUCCESS, talk=talk, what=image(content))


def test_a_file_goes_in_chunks_of_the_devices_size() -> None:
    send(*LAST, SUCCESS)


def test_success_is_not_answered_before_the_reboot_may_begin() -> None:
    assert send(*LAST, SUCCESS).owed == control(6)


def test_success_may_come_in_the_last_answers_place() -> None:
    assert send(*LAST_SENT, hears(control(6), within_s=PACKET_S), progress(9, 9)).owed == control(6)


def test_an_empty_file_waits_for_the_devices_word() -> None:
    announcement = offer(Options(), component(), image(b""))
    announced = writes(Frame(1000, 0x7022, session().seal(0x7022, announcement)))
    send(announced, *ACCEPTED[1:3], progress(0, 0), SUCCESS, what=image(b""))


@pytest.mark.parametrize(("max_write", "pieces"), [(20, 2), (244, 1)])
def test_a_frame_is_split_to_the_size_of_a_write(max_write: int, pieces: int) -> None:
    wire = bytes.fromhex(ANNOUNCED)
    rows = [(Write(HANDLE, wire[at : at + max_write], ack=True), DONE) for at in range(0, len(wire), max_write)]
    assert len(rows) == pieces
    with pytest.raises(DeclinedByDeviceError):
        send(*rows, hears(control(1), within_s=OFFER_S), heard(), talk=session(max_write=max_write))


def test_an_answer_over_three_indications_is_one_answer() -> None:
    wire = frame.encode(reached(1001, 0))
    pieces = [hears(wire[at : at + 5], within_s=PACKET_S) for at in (0, 5, 10)]
    send(*FIRST_SENT, *pieces, *LAST[len(FIRST) - 1 :], SUCCESS)


def test_after_a_login_every_payload_is_sealed() -> None:
    talk = session(key=bytes(16), iv=bytes(16))

    def sealed(clear: Frame) -> Frame:
        return Frame(clear.packet_id, clear.cmd, talk.seal(clear.cmd, ttlv.decode(clear.data)))

    send(
        writes(sealed(OFFER)),
        hears(sealed(control(2, chunk=200)), within_s=OFFER_S),
        heard(),
        progress(0, 9),
        NOTHING_YET,
        writes(sealed(told(0x7025, 1001, {9: 0, 10: CONTENT}))),
        hears(sealed(reached(1001, 0)), within_s=PACKET_S),
        progress(9, 9),
        hears(sealed(control(6)), within_s=COMPLETE_S),
        talk=talk,
    )


def test_a_chunk_by_frame_counts_the_padding_only_where_file_frames_are_sealed() -> None:
    options = Options(packet_bound="frame", encrypt_transfer=False)
    send(
        ACCEPTED[0],
        hears(control(2, chunk=20 + HALF), within_s=OFFER_S),
        *LAST[2:],
        SUCCESS,
        talk=session(key=bytes(16), iv=bytes(16), options=options),
    )


def test_a_declined_file_is_named() -> None:
    fails(DeclinedByDeviceError, "declined", ACCEPTED[0], hears(control(1), within_s=OFFER_S), heard())


def test_a_device_that_does_not_answer_the_offer_is_silent() -> None:
    fails(DeviceSilentError, "did not answer the announcement", ACCEPTED[0], silence(OFFER_S))


def test_success_before_the_first_packet_is_a_lie() -> None:
    fails(MalformedError, "success before the first", ACCEPTED[0], hears(control(6), within_s=OFFER_S), cancels(1001))


def test_a_chunk_size_that_is_none_is_a_lie() -> None:
    rows = (ACCEPTED[0], hears(control(2), within_s=OFFER_S), heard(), cancels(1001))
    fails(MalformedError, "maximum packet length None", *rows)


def test_answers_may_name_the_next_offset() -> None:
    send(
        *FIRST_SENT,
        hears(reached(1001, 5), within_s=PACKET_S),
        *LAST_SENT[len(FIRST) - 1 :],
        hears(reached(1002, 9), within_s=PACKET_S),
        *LAST[-1:],
        SUCCESS,
    )


@pytest.mark.parametrize("said", [1, 4, 6, 9, -5, Decimal("0.5"), False, True, b"\0", 2**64 - 1])
def test_a_first_answer_with_an_offset_not_ours_is_a_lie(said: Value) -> None:
    fails(MalformedError, "answered offset", *FIRST_SENT, hears(reached(1001, said), within_s=PACKET_S), cancels(1002))


def test_an_answer_without_an_offset_is_a_lie() -> None:
    fails(MalformedError, "offset None", *FIRST_SENT, hears(told(0x7026, 1001), within_s=PACKET_S), cancels(1002))


@pytest.mark.parametrize(("first", "second"), [(0, 9), (5, 5), (0, 0), (5, 0)])
def test_what_the_first_answer_meant_is_held(first: int, second: int) -> None:
    rows = (*FIRST_SENT, hears(reached(1001, first), within_s=PACKET_S), *LAST_SENT[len(FIRST) - 1 :])
    fails(MalformedError, "was due", *rows, hears(reached(1002, second), within_s=PACKET_S), cancels(1003))


def test_an_unanswered_packet_goes_again_under_its_number() -> None:
    again = (silence(PACKET_S), FIRST_SENT[-1])
    send(
        *FIRST_SENT,
        *again,
        *again,
        hears(reached(1001, 0), within_s=PACKET_S),
        progress(5, 9, resent=10),
        *LAST[len(FIRST) : -1],
        progress(9, 9, resent=10),
        SUCCESS,
    )


def test_after_three_tries_a_device_is_silent() -> None:
    again = (silence(PACKET_S), FIRST_SENT[-1])
    fails(DeviceSilentError, "in 3 tries of 4.5 s", *FIRST_SENT, *again, *again, silence(PACKET_S))


def test_three_tries_stay_under_the_devices_fifteen_seconds() -> None:
    assert transfer.PACKET_TRIES * PACKET_S < 15


def test_an_answer_to_an_earlier_packet_is_passed_over() -> None:
    late = hears(reached(1001, 0), within_s=PACKET_S, after_s=1.5)
    send(*LAST_SENT, late, hears(reached(1002, HALF), within_s=3.0), *LAST[-1:], SUCCESS)


def test_a_failure_of_the_whole_file_is_named() -> None:
    fails(FailedByDeviceError, "found it bad", *LAST, hears(control(7), within_s=COMPLETE_S), heard())


def test_a_device_that_never_says_what_it_makes_of_the_file_is_silent() -> None:
    fails(DeviceSilentError, "has the whole file", *LAST, silence(COMPLETE_S))


def test_success_too_early_is_a_lie() -> None:
    fails(MalformedError, "success after 5 of 9", *FIRST_SENT, hears(control(6), within_s=PACKET_S), cancels(1002))


def test_success_waiting_before_the_next_packet_is_a_lie() -> None:
    fails(MalformedError, "success after 5 of 9", *FIRST, hears(control(6), within_s=0), cancels(1002))


def renumbered(rows: tuple[Row, ...], by: int) -> list[Row]:
    """`rows` with all our own packet ids raised by `by`."""

    def raised(data: bytes) -> bytes:
        said = frame.decode_one(data)
        return frame.encode(replace(said, packet_id=said.packet_id + by * (said.packet_id >= 1000)))

    def row(one: Row) -> Row:
        step, reply = one
        if isinstance(step, Write):
            return replace(step, data=raised(step.data)), reply
        if isinstance(reply, Reply) and isinstance(reply.value, Notified):
            return step, replace(reply, value=replace(reply.value, data=raised(reply.value.data)))
        return one

    return [row(one) for one in rows]


UNEARNED = (*ACCEPTED, hears(control(6), within_s=0), cancels(1001))


def test_success_for_nothing_is_cancelled_and_the_file_sent_all_the_same() -> None:
    send(*UNEARNED, *renumbered((*LAST, SUCCESS), by=2))


def test_success_for_nothing_twice_is_a_lie() -> None:
    error = fails(MalformedError, "success after 0 of 9", *UNEARNED, *renumbered(UNEARNED, by=2))
    assert error.reason == "malformed"


def test_a_stop_before_anything_is_said_leads_to_a_cancel() -> None:
    fails(StopAsked, "stop", (ACCEPTED[0][0], StopAsked("stop")), cancels(1001))


def test_receive_twice_is_a_lie() -> None:
    fails(MalformedError, "receive after 0", *ACCEPTED, hears(control(2, chunk=5), within_s=0), heard(), cancels(1001))


def test_receive_in_the_midst_is_a_lie() -> None:
    midst = (hears(control(2, chunk=5), within_s=PACKET_S), heard(), cancels(1003))
    fails(MalformedError, "receive after 9 of 9", *LAST_SENT, *midst)


def test_an_action_that_is_none_is_a_lie() -> None:
    fails(MalformedError, "with the action 9", *FIRST_SENT, hears(control(9), within_s=PACKET_S), cancels(1002))


PHASES: dict[str, tuple[tuple[Row, ...], float]] = {
    "before the first packet": (ACCEPTED[:1], OFFER_S),
    "before a packet": (FIRST, 0),
    "while a packet is under way": (FIRST_SENT, PACKET_S),
    "at the end": (LAST, COMPLETE_S),
}
REST: dict[str, tuple[Row, ...]] = {
    "before the first packet": (*LAST[1:], SUCCESS),
    "before a packet": (*LAST[len(FIRST) :], SUCCESS),
    "while a packet is under way": (*LAST[len(FIRST_SENT) :], SUCCESS),
    "at the end": (SUCCESS,),
}
ANYWHERE = pytest.mark.parametrize("phase", PHASES)


@ANYWHERE
def test_a_cancel_is_heard(phase: str) -> None:
    rows, within_s = PHASES[phase]
    fails(CancelledByDeviceError, "cancelled", *rows, hears(control(5), within_s=within_s), heard())


@ANYWHERE
def test_a_query_is_answered_with_the_offer(phase: str) -> None:
    rows, within_s = PHASES[phase]
    asked = hears(told(0x7020, 88, {1: 1, 4: 1}), within_s=within_s)
    send(*rows, asked, writes(Frame(88, 0x7021, OFFER.data)), *REST[phase])


@ANYWHERE
def test_a_pause_is_kept_until_proceed(phase: str) -> None:
    rows, within_s = PHASES[phase]
    pause = (hears(control(3, 80, delay=20), within_s=within_s), heard(80))
    send(*rows, *pause, hears(control(4, 81), within_s=20 + PAUSE_GRACE_S), heard(81), *REST[phase])


@ANYWHERE
def test_a_pause_that_never_ends_is_named(phase: str) -> None:
    rows, within_s = PHASES[phase]
    pause = (hears(control(3, delay=20), within_s=within_s), heard(), silence(20 + PAUSE_GRACE_S))
    number = 1000 + len([r for r in rows if isinstance(r[0], Write) and r[0].data[7:9] in (b"\x70\x22", b"\x70\x25")])
    fails(PauseNeverEndedError, "did not go on", *rows, *pause, cancels(number))


@ANYWHERE
def test_a_stop_leads_to_a_cancel(phase: str) -> None:
    rows, _ = PHASES[phase]
    number = 1000 + len([r for r in rows if isinstance(r[0], Write) and r[0].data[7:9] in (b"\x70\x22", b"\x70\x25")])
    waits = REST[phase][0][0]
    fails(StopAsked, "stop", *rows, (waits, StopAsked("stop")), cancels(number))


def test_a_stop_in_the_midst_of_a_write_leads_to_a_cancel() -> None:
    fails(StopAsked, "stop", *FIRST_SENT[:-1], (FIRST_SENT[-1][0], StopAsked("stop")), cancels(1002))


def test_a_lost_link_is_not_written_to() -> None:
    fails(LinkLostError, "gone", *FIRST_SENT[:-1], (FIRST_SENT[-1][0], LinkLostError("gone")))


def test_an_answer_during_a_pause_counts_when_it_has_ended() -> None:
    pause = (hears(control(3, delay=20), within_s=PACKET_S), heard())
    answer = hears(reached(1001, 0), within_s=22.0, after_s=2.0)
    send(*FIRST_SENT, *pause, answer, hears(control(4), within_s=20.0), heard(), *LAST[len(FIRST) - 1 :], SUCCESS)


def test_a_pause_behind_the_answer_is_kept_before_the_next_packet() -> None:
    both = frame.encode(reached(1001, 0)) + frame.encode(control(3, delay=20))
    rows = (*FIRST_SENT, hears(both, within_s=PACKET_S), progress(5, 9), heard())
    send(*rows, hears(control(4), within_s=22.0), heard(), *LAST[len(FIRST) :], SUCCESS)


def test_a_second_pause_prolongs_the_first() -> None:
    first = (hears(control(3, delay=20), within_s=PACKET_S), heard())
    second = (hears(control(3, delay=20), within_s=22.0, after_s=15.0), heard())
    rows = (*first, *second, hears(control(4), within_s=22.0, after_s=16.0), heard())
    answer = [hears(reached(1001, 0), within_s=PACKET_S)]
    send(*FIRST_SENT, *rows, *answer, *LAST[len(FIRST) - 1 :], SUCCESS)


def test_a_pause_without_a_delay_is_a_lie() -> None:
    fails(MalformedError, "delay None", *FIRST_SENT, hears(control(3), within_s=PACKET_S), heard(), cancels(1002))


def floods(monkeypatch: pytest.MonkeyPatch, name: str, match: str, one: Callable[[int], list[Row]]) -> None:
    monkeypatch.setattr(transfer, name, 3)
    rows = [row for n in range(3 if name == "IGNORED_MAX" else 4) for row in one(n)]
    fails(MalformedError, match, *FIRST_SENT, *rows, cancels(1002))


def test_frames_that_lead_nowhere_end(monkeypatch: pytest.MonkeyPatch) -> None:
    floods(monkeypatch, "IGNORED_MAX", "3 frames", lambda _: [hears(told(0x7065, 1), within_s=PACKET_S)])


def test_proceeding_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    floods(monkeypatch, "IGNORED_MAX", "3 frames", lambda _: [hears(control(4), within_s=PACKET_S), heard()])


def test_pauses_without_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = [PACKET_S, 22.0, 22.0, 22.0]
    pause = control(3, delay=20)
    floods(monkeypatch, "PAUSES_MAX", "more than 3", lambda n: [hears(pause, within_s=wait[n]), heard()])


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


def test_the_next_file_answers_the_success_of_the_one_before() -> None:
    talk = session()
    talk.owed = control(6, 9)
    send(heard(9), *LAST, SUCCESS, talk=talk)


def test_a_reply_that_took_time_is_time_gone() -> None:
    talk = session()
    waits = (hears(control(2, chunk=HALF), within_s=OFFER_S)[0], Reply(None, 61.0))
    with pytest.raises(DeviceSilentError):
        send(ACCEPTED[0], waits, talk=talk)
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
    monkeypatch.setattr(transfer, "IGNORED_MAX", 50)
    lies: list[Whim] = [None, (0x7023, 5, (Field(7, 4),)), *([(0x7023, 5, (Field(7, 4),))] * 100)]
    with pytest.raises(MalformedError, match="lead nowhere"):
        Liar(5, deque(lies)).play(upload(session(), component(), image()), most=200)

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from ble_ota.errors import (
    AttRefusedError,
    BleOtaError,
    CancelledByDeviceError,
    KeyNotShownError,
    LinkLostError,
    MalformedError,
    PauseNeverEndedError,
    StopAsked,
)
from ble_ota.protocols.quecthing import conversation, frame
from ble_ota.protocols.quecthing.conversation import PAUSE_GRACE_S, PAUSED_MAX_S, Conversation
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.packets import COMPLETE_S, PACKET_S
from ble_ota.protocols.quecthing.session import Options
from ble_ota.protocols.quecthing.transfer import OFFER_S
from ble_ota.script import Progress, Write
from tests.protocols.conversation import Row, play
from tests.protocols.quecthing.ladder import (
    ANNOUNCING,
    ECHO,
    FIRST,
    FIRST_SENT,
    LAST,
    OFFER,
    SUCCESS,
    WHOLE,
    cancels,
    control,
    fails,
    heard,
    reached,
    send,
)
from tests.protocols.quecthing.words import hears, progress, session, silence, told, writes

PHASES: Final[dict[str, tuple[tuple[Row, ...], float]]] = {
    "before the first packet": (ANNOUNCING, OFFER_S),
    "before a packet": (FIRST, 0),
    "while a packet is under way": (FIRST_SENT, PACKET_S),
    "at the end": (WHOLE, COMPLETE_S),
}
REST: Final[dict[str, tuple[Row, ...]]] = {name: (*WHOLE[len(rows) :], SUCCESS) for name, (rows, _) in PHASES.items()}
ANYWHERE = pytest.mark.parametrize("phase", PHASES)
AFTER_FIRST = (*FIRST[-1:], *WHOLE[len(FIRST) :], SUCCESS)
LASTED = 20 + PAUSE_GRACE_S


def paused_at(rows: tuple[Row, ...], *, delay: float = 20) -> Row:
    """What the watcher is told when the device pauses behind `rows`."""
    so_far = [step for step, _ in rows if isinstance(step, Progress)][-1]
    return progress(so_far.done, 9, so_far.resent, learned=so_far.learned, wait_s=delay + PAUSE_GRACE_S)


def next_id(rows: tuple[Row, ...]) -> int:
    ours = (b"\x70\x22", b"\x70\x25")
    return 1000 + len([step for step, _ in rows if isinstance(step, Write) and step.data[7:9] in ours])


@pytest.mark.parametrize("phase", [p for p in PHASES if p != "before the first packet"])
def test_a_cancel_is_heard(phase: str) -> None:
    rows, within_s = PHASES[phase]
    fails(CancelledByDeviceError, "cancelled .* of 9 bytes", *rows, hears(control(5), within_s=within_s), heard())


@ANYWHERE
def test_a_query_is_answered_with_the_offer(phase: str) -> None:
    rows, within_s = PHASES[phase]
    asked = hears(told(0x7020, 88, {1: 1, 4: 1}), within_s=within_s)
    send(*rows, asked, writes(Frame(88, 0x7021, OFFER.data)), *REST[phase])


@ANYWHERE
def test_a_pause_is_told_and_kept_until_proceed(phase: str) -> None:
    rows, within_s = PHASES[phase]
    pause = (hears(control(3, 80, delay=20), within_s=within_s), heard(80), paused_at(rows))
    send(*rows, *pause, hears(control(4, 81), within_s=LASTED), heard(81), *REST[phase])


@ANYWHERE
def test_a_pause_that_never_ends_is_named(phase: str) -> None:
    rows, within_s = PHASES[phase]
    pause = (hears(control(3, delay=20), within_s=within_s), heard(), paused_at(rows), silence(LASTED))
    fails(PauseNeverEndedError, "of 9 bytes and did not go on", *rows, *pause, cancels(next_id(rows)))


@ANYWHERE
def test_a_stop_leads_to_one_cancel(phase: str) -> None:
    rows, _ = PHASES[phase]
    fails(StopAsked, "stop", *rows, (REST[phase][0][0], StopAsked("stop")), cancels(next_id(rows)))


def test_a_stop_during_a_pause_leads_to_one_cancel() -> None:
    pause = (hears(control(3, delay=20), within_s=PACKET_S), heard(), paused_at(FIRST_SENT))
    fails(StopAsked, "stop", *FIRST_SENT, *pause, (silence(LASTED)[0], StopAsked("stop")), cancels(1002))


@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_a_stop_at_any_step_leads_to_one_cancel(at: int) -> None:
    fails(StopAsked, "stop", *WHOLE[:at], (WHOLE[at][0], StopAsked("stop")), cancels(next_id(WHOLE[: at + 1])))


@pytest.mark.parametrize("error", [LinkLostError("gone"), AttRefusedError("writing", 0x0E)])
def test_a_cancel_that_cannot_be_written_hides_no_reason(error: BleOtaError) -> None:
    fails(StopAsked, "stop", *FIRST_SENT[:-1], (FIRST_SENT[-1][0], StopAsked("stop")), (cancels(1002)[0], error))


def test_an_answer_during_a_pause_counts_when_it_has_ended() -> None:
    pause = (hears(control(3, delay=20), within_s=PACKET_S), heard(), paused_at(FIRST_SENT))
    answer = hears(reached(1001, 0), within_s=LASTED, after_s=2.0)
    send(*FIRST_SENT, *pause, answer, hears(control(4), within_s=20.0), heard(), *AFTER_FIRST)


def test_a_pause_behind_the_answer_is_kept_before_the_next_packet() -> None:
    both = frame.encode(reached(1001, 0)) + frame.encode(control(3, delay=20))
    rows = (*FIRST_SENT, hears(both, within_s=PACKET_S), FIRST[-1], heard(), paused_at(FIRST))
    send(*rows, hears(control(4), within_s=LASTED), heard(), *WHOLE[len(FIRST) :], SUCCESS)


def test_a_second_pause_prolongs_the_first() -> None:
    granted = paused_at(FIRST_SENT)
    first = (hears(control(3, delay=20), within_s=PACKET_S), heard(), granted)
    second = (hears(control(3, delay=20), within_s=LASTED, after_s=15.0), heard(), granted)
    proceeds = (hears(control(4), within_s=LASTED, after_s=16.0), heard())
    send(*FIRST_SENT, *first, *second, *proceeds, hears(reached(1001, 0), within_s=PACKET_S), *AFTER_FIRST)


def test_a_wait_begins_anew_behind_a_pause() -> None:
    pause = (hears(control(3, delay=20), within_s=PACKET_S, after_s=4.0), heard(), paused_at(FIRST_SENT))
    proceeds = (hears(control(4), within_s=LASTED, after_s=16.0), heard())
    send(*FIRST_SENT, *pause, *proceeds, hears(reached(1001, 0), within_s=PACKET_S), *AFTER_FIRST)


def test_a_proceed_for_nothing_wins_no_time() -> None:
    idle = (hears(control(4), within_s=PACKET_S, after_s=4.0), heard())
    send(*FIRST_SENT, *idle, hears(reached(1001, 0), within_s=PACKET_S - 4.0), *AFTER_FIRST)


def test_a_pause_without_a_delay_is_a_lie() -> None:
    fails(MalformedError, "delay None", *FIRST_SENT, hears(control(3), within_s=PACKET_S), heard(), cancels(1002))


def test_an_action_that_is_none_is_a_lie() -> None:
    fails(MalformedError, "with the action 9", *FIRST_SENT, hears(control(9), within_s=PACKET_S), cancels(1002))


def floods(monkeypatch: pytest.MonkeyPatch, name: str, match: str, times: int, one: Callable[[int], list[Row]]) -> None:
    monkeypatch.setattr(conversation, name, 3)
    fails(MalformedError, match, *FIRST_SENT, *(row for n in range(times) for row in one(n)), cancels(1002))


def test_frames_that_lead_nowhere_end(monkeypatch: pytest.MonkeyPatch) -> None:
    floods(monkeypatch, "IGNORED_MAX", "3 frames", 3, lambda _: [hears(told(0x7065, 1), within_s=PACKET_S)])


def test_proceeding_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    floods(monkeypatch, "IGNORED_MAX", "3 frames", 3, lambda _: [hears(control(4), within_s=PACKET_S), heard()])


def test_pauses_without_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def pause(n: int) -> list[Row]:
        rows = [hears(control(3, delay=20), within_s=LASTED if n else PACKET_S), heard(), paused_at(FIRST_SENT)]
        return rows if n < 3 else rows[:-1]

    floods(monkeypatch, "PAUSES_MAX", "paused 4 times for 80 s in all, after 0 of 9 bytes; it may 3 times", 4, pause)


@pytest.mark.parametrize("delay", [3600, 2000])
def test_pauses_of_more_than_two_hours_in_all_end(delay: int) -> None:
    granted = paused_at(FIRST_SENT, delay=delay)
    whole = int(PAUSED_MAX_S) // delay
    first = (hears(control(3, delay=delay), within_s=PACKET_S), heard(), granted)
    more = (hears(control(3, delay=delay), within_s=delay + PAUSE_GRACE_S), heard(), granted)
    rows = (*FIRST_SENT, *first, *more * (whole - 1), *more[:-1], cancels(1002))
    fails(MalformedError, f"{whole + 1} times for {(whole + 1) * delay} s in all, .* and 7200 s", *rows)


def test_pauses_of_two_hours_in_all_are_granted() -> None:
    pause = (control(3, delay=3600), heard(), paused_at(FIRST_SENT, delay=3600))
    first = (hears(pause[0], within_s=PACKET_S), *pause[1:])
    second = (hears(pause[0], within_s=3602.0), *pause[1:])
    proceeds = (hears(control(4), within_s=3602.0), heard())
    send(*FIRST_SENT, *first, *second, *proceeds, hears(reached(1001, 0), within_s=PACKET_S), *AFTER_FIRST)


def test_what_is_sent_below_the_farthest_is_sent_again() -> None:
    talk = Conversation(session(), (), 9)
    for start, end in ((0, 5), (0, 5), (3, 9), (0, 9)):
        talk.sends(start, end)
    assert talk.resent == 5 + 2 + 9


def test_starting_over_keeps_what_was_spent() -> None:
    talk = Conversation(session(), (), 9, 5, ECHO, resent=4, sent=5, pauses=1, paused_s=20.0, paused_until_s=1.0)
    talk.start_over()
    assert talk == Conversation(talk.session, (), 9, 0, "", resent=4, sent=5, pauses=1, paused_s=20.0)


def test_the_watcher_is_told_the_patience_of_each_phase() -> None:
    granted = [step.wait_s for step, _ in WHOLE if isinstance(step, Progress)]
    assert granted == [OFFER_S, 0, 0, 0, COMPLETE_S]
    assert LAST[-1][0] != WHOLE[-1][0]


@pytest.mark.parametrize("action", [1, 5, 7], ids=["declines", "cancels", "fails"])
def test_a_refusal_of_a_peer_that_has_not_shown_the_key_is_not_believed(action: int) -> None:
    """The transfer is in clear, so its frames show nothing."""
    clear = session(key=bytes(16), iv=bytes(16), options=Options(encrypt_transfer=False))
    talk = Conversation(clear, (), 9)
    with pytest.raises(KeyNotShownError, match="has not shown that it has the key"):
        play(talk.next(within_s=1), hears(control(action), within_s=1), heard())

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.errors import UsageError
from ble_ota.transcript import LinkSeen, parse
from ble_ota.virtual.peripherals.quecthing import ttlv
from ble_ota.virtual.peripherals.quecthing.cues import NOISE_MAX, READ, UNREADABLE, Cue, cues, describe, word_of
from tests.taped import Line, heard, link, out, written


def seen(*entries: Line) -> LinkSeen:
    (found,) = parse(written(link(*entries))).links
    return found


def of(*entries: Line) -> list[Cue]:
    return list(cues(seen(*entries)))


PACKET = {"9": 200, "10": {"length": 100}}
LOST = {"error": "link_lost", "step": "await"}


def test_the_first_cue_is_the_link_itself() -> None:
    (first,) = of()
    assert (first.at_s, first.acts) == (0.0, [])


def test_what_the_device_says_follows_what_the_host_said() -> None:
    cue = of(out(0x7040, t=1), heard(0x7041, t=1.5), out(0x7040, t=2))[1]
    assert [(act.at_s, [s.command for s in act.said]) for act in cue.acts] == [(1.5, [0x7041])]


def test_what_the_device_says_first_follows_the_link() -> None:
    assert [s.command for s in of(heard(0x7020))[0].acts[0].said] == [0x7020]


def test_words_that_came_together_are_said_together() -> None:
    (act,) = of(heard(0x7026), heard(0x7023, joined=True))[0].acts
    assert [s.command for s in act.said] == [0x7026, 0x7023]


def test_a_joined_word_with_nothing_to_join_is_said_alone() -> None:
    assert len(of(out(0x7040), heard(0x7023, joined=True))[1].acts) == 1


def test_a_packet_is_known_by_its_offset_and_length() -> None:
    cue = of(out(0x7025, 7, PACKET))[1]
    assert cue.word == word_of(0x7025, {9: 200, 10: b"x" * 100})
    assert cue.word not in (word_of(0x7025, {9: 200, 10: b"x" * 99}), word_of(0x7025, {9: 0, 10: b"x" * 100}))


def test_a_control_is_known_by_its_action() -> None:
    cue = of(out(0x7023, 7, {"7": 5}))[1]
    assert cue.word == word_of(0x7023, {7: 5})
    assert cue.word != word_of(0x7023, {7: 3})


def test_an_announcement_is_known_whatever_its_digest() -> None:
    assert of(out(0x7022, 7, {"5": {"hex": "00"}}))[1].word == word_of(0x7022, {5: b"another"})


def test_a_read_is_a_cue_with_its_value() -> None:
    cue = of({"read": 18, "text": "1.0.0"})[1]
    assert (cue.word, cue.text) == (READ, b"1.0.0")


def test_a_link_lost_while_waiting_breaks_by_itself() -> None:
    assert [a.kind for a in of(out(0x7040), LOST | {"t": 9})[1].acts] == ["drop"]


def test_a_link_lost_right_after_a_word_breaks_with_it() -> None:
    (act,) = of(heard(0x7026), LOST)[0].acts
    assert (act.kind, act.drops) == ("say", True)


@pytest.mark.parametrize("step", ["write", "read", "subscribe"])
def test_a_link_lost_while_the_host_does_something_breaks_at_that(step: str) -> None:
    cue = of(heard(0x7026), {"error": "link_lost", "step": step})[1]
    assert (cue.word, cue.ending) == (None, "drop")


def test_a_refusal_keeps_its_code() -> None:
    cue = of({"error": "att_refused", "step": "write", "code": 5})[1]
    assert (cue.ending, cue.code) == ("refuse", 5)


def test_a_refusal_of_nothing_is_a_loss() -> None:
    assert [a.kind for a in of({"error": "att_refused", "step": "await"})[0].acts] == ["drop"]


def test_a_stop_while_waiting_is_timed() -> None:
    assert [(a.kind, a.at_s) for a in of({"error": "stop_asked", "step": "await", "t": 3})[0].acts] == [("stop", 3)]


def test_waits_and_subscriptions_are_no_matter() -> None:
    (cue,) = of({"expired": 4.5}, {"subscribed": "x"})
    assert cue.acts == []


def test_noise_is_bounded() -> None:
    (act,) = of({"in": "noise", "values": 10**9})[0].acts
    assert (act.kind, act.values) == ("noise", NOISE_MAX)


def test_fields_are_what_they_were() -> None:
    fields = {"1": True, "2": -5, "3": {"text": "ä"}, "4": {"hex": "00ff"}, "5": {"length": 3}, "6": {"members": 2}}
    (said,) = of(heard(0x7023, 7, fields))[0].acts[0].said
    assert ttlv.unpack(said.payload) == {1: True, 2: -5, 3: "ä".encode(), 4: b"\x00\xff", 5: bytes(3), 6: ()}


@pytest.mark.parametrize("number", ["2.5", "-0.25", "300.125"])
def test_a_number_that_is_not_whole_is_said_exactly(number: str) -> None:
    (said,) = of(heard(0x7023, 7, {"8": {"decimal": number}}))[0].acts[0].said
    assert str(ttlv.unpack(said.payload)[8]) == number


def test_what_could_not_be_read_cannot_be_read_again() -> None:
    (said,) = of({"in": "7026", "id": 7, "unreadable": 9})[0].acts[0].said
    assert (said.payload, said.readable) == (UNREADABLE, False)
    with pytest.raises(ttlv.TtlvError):
        ttlv.unpack(UNREADABLE)


def test_a_command_of_no_file_transfer_is_said_without_its_payload() -> None:
    (said,) = of({"in": "1234", "id": 7, "length": 9})[0].acts[0].said
    assert (said.command, said.payload) == (0x1234, b"")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (word_of(0x7025, {9: 200, 10: b"x" * 100}), "0x7025 with 100 bytes at 200"),
        (word_of(0x7023, {7: 5}), "0x7023 with action 5"),
        (word_of(0x7022, {}), "0x7022"),
        (READ, "a read"),
    ],
)
def test_a_deed_of_the_host_has_a_name(word: object, text: str) -> None:
    assert describe(word) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "entry",
    [
        {"out": "70zz", "id": 7, "fields": {}},
        {"out": "", "id": 7},
        {"out": "7040", "id": 0},
        {"in": "ffff", "id": 7},
        {"in": "7026", "id": 7, "fields": []},
        {"in": "7026", "id": 7, "fields": {"x": 1}},
        {"in": "7026", "id": 7, "fields": {"9": None}},
        {"in": "7026", "id": 7, "fields": {"9": 1 << 99}},
        {"in": "7026", "id": 7, "fields": {"99999": 1}},
        {"in": "7026", "id": 7, "fields": {"9": {"hex": "0"}}},
        {"in": "7026", "id": 7, "fields": {"9": {"length": 10**9}}},
        {"in": "7026", "id": 7, "fields": {"9": {"decimal": "1e5"}}},
        {"in": "7026", "id": 7, "fields": {"9": {"decimal": "0." + "1" * 40}}},
        {"in": "7026", "id": 7, "fields": {"9": {"length": 20000}, "10": {"length": 20000}}},
        {"in": "noise"},
        {"read": 18},
        {"error": 5, "step": "await"},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(entry: Line) -> None:
    with pytest.raises(UsageError):
        of(entry)


VALUES = st.one_of(
    st.integers(), st.booleans(), st.none(), st.fixed_dictionaries({"decimal": st.text("-.0123456789eE_ ", max_size=9)})
)


@given(st.sampled_from(["in", "out"]), st.dictionaries(st.integers(-1, 9000).map(str), VALUES, max_size=3))
def test_any_fields_are_said_or_refused(way: str, fields: dict[str, object]) -> None:
    with suppress(UsageError):
        of({way: "7023", "id": 7, "fields": fields})

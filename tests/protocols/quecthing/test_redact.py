from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.errors import BleOtaError, LinkLostError
from ble_ota.protocols.quecthing import frame
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.redact import KEPT, SHOWN_MAX, QuecThingRedaction
from ble_ota.protocols.quecthing.session import Options, Session
from ble_ota.protocols.quecthing.ttlv import Field, Value
from ble_ota.script import Await, Notified, Progress, Read, Reply, Step, Subscribe, Write
from ble_ota.transcript import Words
from tests.protocols.conversation import DONE
from tests.protocols.quecthing.words import HANDLE, session, told

KEY, IV = bytes(range(0x60, 0x70)), b"abcdefghijklmnop"
SEALED = session(key=KEY, iv=IV)


def fed(*steps: tuple[Step, Reply | BleOtaError], knows: Session | None = None) -> list[Words]:
    redaction = QuecThingRedaction()
    if knows is not None:
        redaction.know(knows)
    return [words for step, came in steps for words in redaction.feed(step, came)]


def writes(data: bytes | Frame) -> tuple[Step, Reply]:
    return Write(HANDLE, data if isinstance(data, bytes) else frame.encode(data), ack=True), DONE


def hears(data: bytes | Frame, *, within_s: float = 5.0) -> tuple[Step, Reply]:
    value = data if isinstance(data, bytes) else frame.encode(data)
    return Await((HANDLE,), within_s), Reply(Notified(HANDLE, value), 0.1)


def sealed(cmd: int, packet_id: int, values: Mapping[int, Value]) -> Frame:
    return Frame(packet_id, cmd, SEALED.seal(cmd, tuple(Field(n, v) for n, v in values.items())))


SILENCE = Await((HANDLE,), 5.0), DONE
JUNK = b"\x01\x02\x03"


def test_what_is_written_is_a_word_of_the_host() -> None:
    assert fed(writes(told(0x7040, 1000))) == [{"out": "7040", "id": 1000, "fields": {}}]


def test_what_is_heard_is_a_word_of_the_device() -> None:
    assert fed(hears(told(0x7026, 1004, {9: 200}))) == [{"in": "7026", "id": 1004, "fields": {"9": 200}}]


def test_a_frame_over_several_writes_is_one_word_when_it_is_whole() -> None:
    data = frame.encode(told(0x7023, 7, {7: 5}))
    redaction = QuecThingRedaction()
    assert [list(redaction.feed(*writes(data[at : at + 4]))) for at in range(0, len(data), 4)][:-1] == [[], [], []]
    assert fed(*(writes(data[at : at + 4]) for at in range(0, len(data), 4))) == [
        {"out": "7023", "id": 7, "fields": {"7": 5}}
    ]


def test_a_frame_over_several_indications_is_one_word_and_no_noise() -> None:
    data = frame.encode(told(0x7026, 7, {9: 5}))
    assert fed(hears(data[:5]), hears(data[5:9]), hears(data[9:]), SILENCE) == [
        {"in": "7026", "id": 7, "fields": {"9": 5}}
    ]


def test_what_the_session_encrypts_is_told_in_clear() -> None:
    assert fed(hears(sealed(0x7023, 7, {7: 2, 11: 200})), knows=SEALED) == [
        {"in": "7023", "id": 7, "fields": {"7": 2, "11": 200}}
    ]
    assert fed(writes(sealed(0x7023, 7, {7: 5})), knows=SEALED) == [{"out": "7023", "id": 7, "fields": {"7": 5}}]


def test_what_the_session_leaves_in_clear_is_read_so() -> None:
    open_files = session(key=KEY, iv=IV, options=Options(encrypt_transfer=False))
    assert fed(hears(told(0x7026, 7, {9: 5})), knows=open_files)[0]["fields"] == {"9": 5}


def test_of_a_packet_there_is_offset_and_length() -> None:
    assert fed(writes(sealed(0x7025, 7, {9: 400, 10: b"firmware"})), knows=SEALED) == [
        {"out": "7025", "id": 7, "fields": {"9": 400, "10": {"length": 8}}}
    ]


def test_an_announcement_is_told_whole() -> None:
    offer: dict[int, Value] = {1: 1, 3: b"f.bin", 4: 2, 5: b"\xff" * 32, 6: 5000, 12: b"1.1.0"}
    fields = fed(writes(told(0x7022, 7, offer)))[0]["fields"]
    assert fields == {
        "1": 1,
        "3": {"text": "f.bin"},
        "4": 2,
        "5": {"hex": "ff" * 32},
        "6": 5000,
        "12": {"text": "1.1.0"},
    }


def test_bytes_that_are_too_many_to_name_something_are_a_length() -> None:
    assert fed(writes(told(0x7022, 7, {3: b"x" * (SHOWN_MAX + 1)})))[0]["fields"] == {"3": {"length": SHOWN_MAX + 1}}


def test_text_that_would_not_be_shown_is_hexadecimal() -> None:
    assert fed(writes(told(0x7022, 7, {3: b"a\x1b"})))[0]["fields"] == {"3": {"hex": "611b"}}


def test_bytes_where_a_number_belongs_are_a_length() -> None:
    assert fed(hears(told(0x7026, 7, {9: b"s3cret"})))[0]["fields"] == {"9": {"length": 6}}


@pytest.mark.parametrize(
    ("value", "plain"), [(True, True), (-3, -3), (Decimal("2.5"), {"decimal": "2.5"}), ((), {"members": 0})]
)
def test_a_value_stays_what_it_is(value: Value, plain: object) -> None:
    assert fed(hears(told(0x7023, 7, {8: value})))[0]["fields"] == {"8": plain}


@pytest.mark.parametrize("cmd", sorted(KEPT))
def test_an_id_that_is_not_listed_is_left_out(cmd: int) -> None:
    assert fed(hears(told(cmd, 7, {77: b"s3cret"})))[0]["fields"] == {}


def test_of_versions_those_are_kept_that_the_settings_name() -> None:
    both = session(options=Options(version_ids={"": 12, "MCU": 13}))
    said = hears(told(0x7041, 7, {12: b"1.0.0", 13: b"2", 14: b"s3cret"}))
    assert fed(said, knows=both)[0]["fields"] == {"12": {"text": "1.0.0"}, "13": {"text": "2"}}


def test_of_a_random_and_a_proof_there_is_the_length() -> None:
    login = hears(told(0x7033, 7, {1: IV})), writes(told(0x7034, 8, {2: b"f" * 64})), hears(told(0x7035, 8, {3: 0}))
    for knows in (None, SEALED):  # a second login in a session is in clear too
        assert [w["fields"] for w in fed(*login, knows=knows)] == [
            {"1": {"length": 16}},
            {"2": {"length": 64}},
            {"3": 0},
        ]


def test_a_random_that_is_a_number_is_not_told() -> None:
    assert fed(hears(told(0x7033, 7, {1: 123456})))[0]["fields"] == {"1": {"length": 0}}


def test_a_command_of_no_file_transfer_is_told_by_its_length() -> None:
    assert fed(hears(Frame(7, 0x1234, b"s3cret"))) == [{"in": "1234", "id": 7, "length": 6}]


def test_a_payload_that_cannot_be_read_is_told_by_its_length() -> None:
    assert fed(hears(Frame(7, 0x7026, b"s3cret"))) == [{"in": "7026", "id": 7, "unreadable": 6}]
    assert fed(hears(told(0x7026, 7, {9: 5})), knows=SEALED)[0]["unreadable"] == 4


def test_two_frames_in_one_value_are_told_to_have_come_together() -> None:
    data = frame.encode(told(0x7026, 7, {9: 5})) + frame.encode(told(0x7023, 8, {7: 3}))
    assert [words.get("joined") for words in fed(hears(data))] == [None, True]


def test_what_a_poll_finds_had_come_before() -> None:
    assert fed(hears(told(0x7026, 7, {9: 5}), within_s=0))[0]["joined"] is True


@pytest.mark.parametrize(
    "then", [SILENCE, writes(told(0x7040, 7)), (Write(HANDLE, b"", ack=True), LinkLostError(""))], ids=str
)
def test_what_became_no_frame_is_counted_as_noise(then: tuple[Step, Reply | BleOtaError]) -> None:
    assert fed(hears(JUNK), hears(JUNK), then)[0] == {"in": "noise", "values": 2}


def test_noise_is_told_before_the_frame_that_follows() -> None:
    begun = frame.encode(told(0x7026, 7, {9: 5}))[:-2]
    words = fed(hears(begun), hears(told(0x7026, 8, {9: 6})), SILENCE)
    assert [w.get("values") or w["id"] for w in words] == [2, 8]


def test_noise_is_told_once() -> None:
    assert fed(hears(JUNK), SILENCE, SILENCE) == [{"in": "noise", "values": 1}]


def test_a_write_that_failed_is_no_word() -> None:
    assert fed((writes(told(0x7040, 7))[0], LinkLostError(""))) == []


def test_a_poll_in_vain_leaves_half_a_frame_alone() -> None:
    data = frame.encode(told(0x7026, 7, {9: 5}))
    assert [w["in"] for w in fed(hears(data[:5]), (Await((HANDLE,), 0), DONE), hears(data[5:]))] == ["7026"]


def test_what_is_read_is_shown_without_what_a_terminal_obeys() -> None:
    assert fed((Read(18), Reply(b"1.0.0\0\x1b", 0.1))) == [{"read": 18, "text": "1.0.0"}]


@pytest.mark.parametrize("step", [Subscribe(HANDLE), Progress(1, 2)], ids=str)
def test_other_steps_have_no_words(step: Step) -> None:
    assert fed((step, DONE)) == []


def spellings(secret: bytes) -> list[str]:
    return [secret.decode("latin-1"), secret.hex(), secret.hex().upper(), base64.b64encode(secret).decode()]


COMMANDS = st.sampled_from([c for c in sorted(KEPT) if c != 0x7022] + [0x7777])
VALUES = st.sampled_from([b"a secret of 16 b", (Field(9, b"a secret of 16 b"),), 5, True])


@given(st.lists(st.tuples(COMMANDS, st.integers(1, 13), VALUES, st.booleans()), max_size=8), st.booleans())
def test_no_bytes_of_a_file_or_login_are_told_whatever_is_said(
    said: list[tuple[int, int, Any, bool]], logged_in: bool
) -> None:
    """Names, versions and digests are told; they are in 0x7021, 0x7022 and 0x7041, under ids of their own."""
    kinds = {0x7021: (3, 5, 12), 0x7041: (12,)}
    steps = [
        (writes if by_host else hears)(told(cmd, 7, {n: value}))
        for cmd, n, value, by_host in said
        if n not in kinds.get(cmd, ())
    ]
    text = str(fed(*steps, knows=SEALED if logged_in else None))
    assert [s for s in spellings(b"a secret of 16 b") if s in text] == []

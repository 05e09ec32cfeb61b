from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.errors import DeviceSilentError, LoginFailedError, MalformedError, SettingsError
from ble_ota.link import Characteristic, LinkFacts, uuid16
from ble_ota.model import Secret
from ble_ota.protocols.quecthing import frame
from ble_ota.protocols.quecthing import session as sessions
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.session import ANSWER_S, Options, Session, open_session
from ble_ota.protocols.quecthing.ttlv import Field
from ble_ota.script import Await, Reply, Subscribe, Write
from tests.protocols.conversation import DONE, Row, play
from tests.protocols.quecthing.words import CHANNEL, HANDLE, hears, session, silence, told, writes

REVISION = Characteristic(0x20, uuid16(0x2A26), uuid16(0x180A), 20)
FACTS = LinkFacts("C0:DE:B0:E0:00:01", (CHANNEL, REVISION))
KEY = bytes(range(16))
RANDOM = b"0123456789abcdef"
SECRET = Secret(base64.b64encode(KEY).decode())
# sha256("000102030405060708090a0b0c0d0e0f;0123456789abcdef"), by coreutils
PROOF = b"0a80adf14b017e5ac0a1bbf957bdd3b4767e574ee7ad0f05ebfa419d54454e84"
SUBSCRIBED: Row = (Subscribe(HANDLE), DONE)
ASKED = writes("aaaa00058d03e87032")  # 7032, packet id 1000, empty
LOGGED_IN = (
    SUBSCRIBED,
    ASKED,
    hears(told(0x7033, 1000, {1: RANDOM}), within_s=ANSWER_S),
    writes(told(0x7034, 1001, {2: PROOF})),
)
INFO_ASKED = writes(told(0x7040, 1000))


def log_in(*rows: Row, secret: Secret | None = SECRET, options: Options | None = None) -> Session:
    return play(open_session(FACTS, secret, options or Options()), *rows)


@pytest.mark.parametrize("result", [0, 2])
def test_the_right_proof_opens_a_session(result: int) -> None:
    talk = log_in(*LOGGED_IN, hears(told(0x7035, 1001, {3: result}), within_s=ANSWER_S))
    assert (talk.key, talk.iv, talk.revision) == (KEY, RANDOM, REVISION)


def test_the_login_is_the_captured_frames() -> None:
    talk = session()
    talk._next_id = 2
    assert play(
        talk.ask(0x7032, answer=0x7035, within_s=1.0),
        writes("aaaa0005a400027032"),
        hears("aaaa0009c200037035001a0000", within_s=1.0),
        hears("aaaa0009c100027035001a0000", within_s=1.0),
    ) == {3: 0}


@pytest.mark.parametrize("result", [1, 3, -1, True, False, b"\0"])
def test_a_refused_login_is_named(result: int | bytes) -> None:
    with pytest.raises(LoginFailedError, match="refused the login: it answered"):
        log_in(*LOGGED_IN, hears(told(0x7035, 1001, {3: result}), within_s=ANSWER_S))


def test_a_result_without_a_number_is_a_refusal() -> None:
    with pytest.raises(LoginFailedError, match="answered None"):
        log_in(*LOGGED_IN, hears(told(0x7035, 1001), within_s=ANSWER_S))


def test_silence_after_the_proof_is_silence() -> None:
    with pytest.raises(DeviceSilentError, match="does not answer the login"):
        log_in(*LOGGED_IN, silence(ANSWER_S))


def test_a_device_that_gives_no_random_may_not_want_a_login() -> None:
    with pytest.raises(DeviceSilentError, match="does not answer the request") as failed:
        log_in(SUBSCRIBED, ASKED, silence(ANSWER_S))
    assert "quecthing.login = false" in failed.value.hint


@pytest.mark.parametrize("random", [b"", RANDOM[:15], RANDOM + b"0", 16, True])
def test_a_random_of_the_wrong_size_is_refused(random: bytes | int) -> None:
    with pytest.raises(MalformedError, match="random for the login"):
        log_in(SUBSCRIBED, ASKED, hears(told(0x7033, 1000, {1: random}), within_s=ANSWER_S))


def test_without_a_login_nothing_is_sent() -> None:
    assert log_in(SUBSCRIBED, secret=None, options=Options(login=False)).key == b""


@pytest.mark.parametrize("secret", [None, "", "not base64!", "AAEC", "ä", base64.b64encode(KEY * 2).decode()])
def test_a_secret_that_is_none_is_a_setting_to_mend(secret: str | None) -> None:
    with pytest.raises(SettingsError) as failed:
        log_in(secret=Secret(secret) if secret is not None else None)
    assert not secret or secret not in str(failed.value)


def test_a_link_without_the_characteristic_is_not_quecthing() -> None:
    with pytest.raises(MalformedError, match="no characteristic 0x9C40"):
        play(open_session(LinkFacts("x", (REVISION,)), SECRET, Options()))


def test_a_session_does_not_show_its_key() -> None:
    shown = repr(session(key=KEY, iv=RANDOM))
    assert repr(KEY) not in shown
    assert repr(RANDOM) not in shown


def test_a_payload_is_sealed_by_aes_128_cbc() -> None:
    # printf '\0\x12\0\5' | openssl enc -aes-128-cbc -K 000102…0f -iv 30313233…66
    talk = session(key=KEY, iv=RANDOM)
    assert talk.seal(0x7025, (Field(2, 5),)).hex() == "efb3a2cda1ea4bfdd6800a0086a618e3"


@given(st.binary(max_size=40))
def test_what_is_sealed_is_unsealed(data: bytes) -> None:
    talk = session(key=KEY, iv=RANDOM)
    assert talk.unseal(Frame(1, 0x7026, talk.seal(0x7026, (Field(1, data),)))) == {1: data}


def test_an_empty_payload_stays_empty() -> None:
    talk = session(key=KEY, iv=RANDOM)
    assert (talk.seal(0x7024, ()), talk.fields(Frame(1, 0x7024))) == (b"", {})


def test_an_empty_payload_is_not_believed_where_an_encrypted_one_is_due() -> None:
    talk = session(key=KEY, iv=RANDOM)
    with pytest.raises(MalformedError, match="empty payload"):
        talk.unseal(Frame(1, 0x7026))
    assert session().unseal(Frame(1, 0x7026)) == {}


def test_a_peer_shows_the_key_by_a_payload_that_decrypts_and_by_nothing_else() -> None:
    talk = session(key=KEY, iv=RANDOM, options=Options(encrypt_transfer=False))
    talk.unseal(told(0x7026, 1, {9: 0}))
    own = Frame(1, 0x7040, talk.seal(0x7040, (Field(1, True),)))
    talk.fields(own)
    with pytest.raises(MalformedError):
        talk.unseal(told(0x7041, 1, {12: b"1.1.0"}))
    assert not talk.trusted
    talk.unseal(Frame(1, 0x7041, talk.seal(0x7041, (Field(12, b"1.0.0"),))))
    assert talk.trusted


def test_a_link_without_a_key_has_none_to_show() -> None:
    assert session().trusted


@pytest.mark.parametrize(("cmd", "sealed"), [(0x701F, True), (0x7020, False), (0x7026, False), (0x7027, True)])
def test_file_frames_stay_clear_where_the_setting_says_so(cmd: int, sealed: bool) -> None:
    talk = session(key=KEY, iv=RANDOM, options=Options(encrypt_transfer=False))
    assert (talk.seal(cmd, (Field(1, True),)) != b"\x00\x09") is sealed


def test_a_clear_answer_is_read_where_file_frames_stay_clear() -> None:
    talk = session(key=KEY, iv=RANDOM, options=Options(encrypt_transfer=False))
    assert talk.unseal(told(0x7026, 1, {9: 0})) == {9: 0}


@pytest.mark.parametrize("data", [b"\x00", bytes(16), bytes(17)])
def test_a_payload_that_cannot_be_decrypted_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="cannot be decrypted"):
        session(key=KEY, iv=RANDOM).unseal(Frame(1, 0x7026, data))


def test_of_two_values_with_one_id_the_first_counts() -> None:
    assert session().unseal(Frame(1, 0x7026, bytes.fromhex("004a0001" + "004a0002"))) == {9: 1}


def test_packet_ids_begin_again_after_the_last() -> None:
    talk = session()
    talk._next_id = 65534
    assert [talk.packet_id(), talk.packet_id()] == [65534, 1000]


def test_a_frame_goes_over_several_writes() -> None:
    wire = frame.encode(told(0x7022, 1000, {12: b"1.0.1 of a long name"}))
    rows: list[Row] = [(Write(HANDLE, wire[at : at + 20], ack=True), DONE) for at in range(0, len(wire), 20)]
    assert len(rows) == 2
    assert play(session(max_write=20).send(0x7022, Field(12, b"1.0.1 of a long name")), *rows) == 1000


def test_a_frame_comes_over_several_indications() -> None:
    wire = frame.encode(told(0x7026, 5, {9: 0}))
    rows = [hears(wire[:3], within_s=9.0, after_s=4.0), hears(wire[3:], within_s=5.0, after_s=1.0)]
    assert play(session().receive(until_s=9.0), *rows) == told(0x7026, 5, {9: 0})


def test_two_frames_of_one_indication_are_given_one_by_one() -> None:
    talk = session()
    both = hears(frame.encode(told(0x7026, 5)) + frame.encode(told(0x7026, 6)), within_s=1.0)
    assert [play(talk.receive(until_s=1.0), both), play(talk.receive(until_s=1.0))] == [
        told(0x7026, 5),
        told(0x7026, 6),
    ]


def test_time_that_garbage_took_is_not_given_again() -> None:
    assert play(session().receive(until_s=9.0), hears(b"?", within_s=9.0, after_s=7.5), silence(1.5)) is None


def test_a_wait_that_is_over_is_not_begun_again() -> None:
    assert play(session().receive(until_s=9.0), hears(b"?", within_s=9.0, after_s=9.5)) is None


def test_silence_moves_the_clock_to_its_end() -> None:
    talk = session()
    play(talk.receive(until_s=9.0), (Await((HANDLE,), 9.0), Reply(None, 8.9)))
    assert talk.clock_s == 9.0


def test_indications_without_a_frame_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "IGNORED_MAX", 3)
    with pytest.raises(MalformedError, match="3 indications without one frame"):
        play(session().receive(until_s=9.0), *[hears(b"?", within_s=9.0)] * 3)


def test_frames_nobody_asked_for_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "IGNORED_MAX", 3)
    with pytest.raises(MalformedError, match="3 frames nobody asked for"):
        play(
            session().ask(0x7040, answer=0x7041, within_s=3.0), INFO_ASKED, *[hears(told(0x7065, 1), within_s=3.0)] * 3
        )


def test_the_proof_is_of_key_and_random() -> None:
    assert hashlib.sha256(KEY.hex().encode() + b";" + RANDOM).hexdigest().encode() == PROOF

from __future__ import annotations

import base64
import hashlib

from ble_ota.virtual.peripherals.quecthing import login, ttlv, words
from ble_ota.virtual.peripherals.quecthing.cues import UNREADABLE, Said
from ble_ota.virtual.peripherals.quecthing.frame import Decoder, Frame, pack
from ble_ota.virtual.peripherals.quecthing.recital import SECRET, Recital
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields


def said(command: int, fields: Fields, packet_id: int = 7) -> Said:
    return Said(command, packet_id, dict(fields), ttlv.pack(fields), readable=True)


def told(recital: Recital, *what: Said) -> list[Frame]:
    return list(Decoder().feed(recital.bytes_of(what)))


def written(command: int, fields: Fields, packet_id: int = 1000) -> bytes:
    return pack(Frame(packet_id, command, ttlv.pack(fields)))


def logged_in(recital: Recital, *, result: int = 0) -> bytes:
    """Log in as a host does; gives the random."""
    (frame,) = told(recital, said(login.TELL_RANDOM, {login.RANDOM: bytes(16)}))
    random = ttlv.unpack(frame.data)[login.RANDOM]
    assert isinstance(random, bytes)
    proof = hashlib.sha256(base64.b64decode(SECRET).hex().encode() + b";" + random).hexdigest()
    list(recital.hear(written(login.ASK_LOGIN, {login.PROOF: proof.encode()})))
    (answer,) = told(recital, said(login.TELL_LOGIN, {login.RESULT: result}))
    assert ttlv.unpack(answer.data) == {login.RESULT: result}
    return random


PAUSE = said(words.CONTROL, {words.ACTION: words.PAUSE, words.DELAY: 5})


def test_without_a_login_all_is_in_clear() -> None:
    (frame,) = told(Recital(encrypt_transfer=True), PAUSE)
    assert frame == Frame(7, words.CONTROL, PAUSE.payload)


def test_after_a_login_what_is_said_is_encrypted() -> None:
    recital = Recital(encrypt_transfer=True)
    logged_in(recital)
    (frame,) = told(recital, PAUSE)
    assert frame.data != PAUSE.payload
    assert [fields for _, fields in recital.hear(pack(frame))] == [{words.ACTION: words.PAUSE, words.DELAY: 5}]


def test_a_second_login_that_was_needless_is_one_too() -> None:
    recital = Recital(encrypt_transfer=True)
    logged_in(recital, result=login.ALREADY)
    assert told(recital, PAUSE)[0].data != PAUSE.payload


def test_a_login_that_was_refused_is_none() -> None:
    recital = Recital(encrypt_transfer=True)
    logged_in(recital, result=1)
    assert told(recital, PAUSE)[0].data == PAUSE.payload


def test_a_file_in_clear_stays_in_clear() -> None:
    recital = Recital(encrypt_transfer=False)
    logged_in(recital)
    assert told(recital, PAUSE)[0].data == PAUSE.payload


def test_a_random_of_a_wrong_length_stays_wrong() -> None:
    (frame,) = told(Recital(encrypt_transfer=True), said(login.TELL_RANDOM, {login.RANDOM: bytes(5)}))
    assert ttlv.unpack(frame.data) == {login.RANDOM: bytes(5)}


def test_a_new_link_knows_nobody() -> None:
    recital = Recital(encrypt_transfer=True)
    logged_in(recital)
    recital.begin()
    assert told(recital, PAUSE)[0].data == PAUSE.payload


def test_half_a_frame_of_the_link_before_is_forgotten() -> None:
    recital, data = Recital(encrypt_transfer=True), written(words.ASK_VERSION, {})
    list(recital.hear(data[:6]))
    recital.begin()
    assert list(recital.hear(data[6:])) == []


def test_an_answer_carries_the_packet_id_of_today() -> None:
    recital = Recital(encrypt_transfer=True)
    recital.known(1000, Frame(2000, words.PACKET, b""))
    assert told(recital, said(words.STORED, {words.OFFSET: 0}, 1000))[0].packet_id == 2000


def test_an_answer_to_nothing_keeps_its_packet_id() -> None:
    assert told(Recital(encrypt_transfer=True), said(words.STORED, {words.OFFSET: 0}, 9))[0].packet_id == 9


def test_a_word_of_its_own_keeps_its_packet_id() -> None:
    recital = Recital(encrypt_transfer=True)
    recital.known(7, Frame(2000, words.PACKET, b""))
    assert told(recital, PAUSE)[0].packet_id == 7


def test_what_could_not_be_read_is_not_encrypted_either() -> None:
    recital = Recital(encrypt_transfer=True)
    logged_in(recital)
    assert told(recital, Said(words.STORED, 7, {}, UNREADABLE, readable=False))[0].data == UNREADABLE

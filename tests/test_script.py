from __future__ import annotations

import pytest

from ble_ota.errors import AttRefusedError
from ble_ota.script import Await, Notified, Read, Reply, Subscribe, Write, notified, read, subscribe, write_whole
from tests.protocols.conversation import DONE, play

SAID = Notified(3, b"hello")


def test_subscribe_is_one_step() -> None:
    play(subscribe(3), (Subscribe(3), DONE))


def test_read_gives_the_bytes() -> None:
    assert play(read(3), (Read(3), Reply(b"1.0", 0.1))) == b"1.0"


@pytest.mark.parametrize("value", [None, SAID])
def test_a_read_answered_with_something_else_is_a_bug(value: Notified | None) -> None:
    with pytest.raises(TypeError, match="Read was answered"):
        play(read(3), (Read(3), Reply(value, 0.0)))


def test_a_refusal_comes_out_of_the_read() -> None:
    with pytest.raises(AttRefusedError):
        play(read(3), (Read(3), AttRefusedError("reading", 2)))


@pytest.mark.parametrize("value", [None, SAID])
def test_a_wait_gives_what_came_and_how_long_it_took(value: Notified | None) -> None:
    assert play(notified(3, 4, within_s=2.0), (Await((3, 4), 2.0), Reply(value, 1.5))) == (value, 1.5)


def test_a_wait_answered_with_bytes_is_a_bug() -> None:
    with pytest.raises(TypeError, match="Await was answered"):
        play(notified(3, within_s=2.0), (Await((3,), 2.0), Reply(b"x", 0.0)))


@pytest.mark.parametrize(
    ("data", "pieces"),
    [(b"", []), (b"ab", [b"ab"]), (b"abc", [b"abc"]), (b"abcd", [b"abc", b"d"]), (b"abcdef", [b"abc", b"def"])],
)
def test_a_value_is_written_in_pieces_with_an_answer_each(data: bytes, pieces: list[bytes]) -> None:
    play(write_whole(3, data, max_write=3), *[(Write(3, piece, ack=True), DONE) for piece in pieces])

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.content import BLOCK_BYTES, Content
from ble_ota.errors import AttRefusedError, TrustError
from ble_ota.script import (
    Await,
    BlockReader,
    Notified,
    Read,
    ReadBlock,
    Reply,
    Script,
    Subscribe,
    Write,
    notified,
    read,
    subscribe,
    write_whole,
)
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


FIRMWARE = random.Random(5).randbytes(4 * BLOCK_BYTES + 100)
FILE = Content.of(FIRMWARE)
EDGES = st.sampled_from([n * BLOCK_BYTES for n in range(5)])


@given(st.lists(st.tuples(EDGES, st.integers(-300, 300), st.integers(1, BLOCK_BYTES)), min_size=1, max_size=8))
def test_a_file_is_read_at_any_place_and_at_most_two_blocks_are_held(ranges: list[tuple[int, int, int]]) -> None:
    reader = BlockReader(FILE, len(FIRMWARE))
    for edge, by, length in ranges:
        start = min(max(edge + by, 0), len(FIRMWARE) - 1)
        end = min(start + length, len(FIRMWARE))
        assert play(reader.read(start, end)) == FIRMWARE[start:end]
        assert len(reader._held) <= 2


def block(index: int) -> tuple[ReadBlock, Reply]:
    return ReadBlock(FILE, index), Reply(FIRMWARE[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES], 0.0)


def test_a_block_is_read_once_while_it_is_wanted() -> None:
    reader = BlockReader(FILE, len(FIRMWARE))

    def script() -> Script[None]:
        yield from reader.read(0, 10)
        yield from reader.read(10, 20)
        yield Subscribe(1)
        yield from reader.read(BLOCK_BYTES - 5, BLOCK_BYTES + 5)
        yield from reader.read(BLOCK_BYTES - 5, BLOCK_BYTES + 5)
        yield Subscribe(2)
        yield from reader.read(BLOCK_BYTES, 2 * BLOCK_BYTES)
        yield from reader.read(0, 10)

    play(script(), block(0), (Subscribe(1), DONE), block(1), (Subscribe(2), DONE), block(0))


def test_a_block_that_is_not_trusted_comes_out_of_the_read_and_is_read_anew() -> None:
    reader = BlockReader(FILE, len(FIRMWARE))
    with pytest.raises(TrustError):
        play(reader.read(0, 10), (ReadBlock(FILE, 0), TrustError("changed")))
    assert play(reader.read(0, 10), block(0)) == FIRMWARE[:10]


@pytest.mark.parametrize("value", [None, SAID])
def test_a_block_answered_with_something_else_is_a_bug(value: Notified | None) -> None:
    with pytest.raises(TypeError, match="ReadBlock was answered"):
        play(BlockReader(FILE, len(FIRMWARE)).read(0, 1), (ReadBlock(FILE, 0), Reply(value, 0.0)))

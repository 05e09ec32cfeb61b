from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ble_ota.errors import MalformedError
from ble_ota.protocols.quecthing.frame import (
    FIXED,
    LEN_MAX,
    Decoder,
    Frame,
    additive_sum,
    decode_one,
    encode,
    stuff,
)

VECTORS = {  # the first two captured by third parties, the others computed from Quectel's page by another encoder
    "aaaa0005a400027032": Frame(2, 0x7032),
    "aaaa0009c200037035001a0000": Frame(3, 0x7035, bytes.fromhex("001a0000")),
    "aaaa00228903e87022000a000100220001002b0004cbf439260032000900630005312e302e31": Frame(
        1000, 0x7022, bytes.fromhex("000a000100220001002b0004cbf439260032000900630005312e302e31")
    ),
    "aaaa000df200017023003a0002005a00c8": Frame(1, 0x7023, bytes.fromhex("003a0002005a00c8")),
    "aaaa00160403e97025004a000000530009313233343536373839": Frame(
        1001, 0x7025, bytes.fromhex("004a000000530009313233343536373839")
    ),
    "aaaa0009cc03e97026004a0000": Frame(1001, 0x7026, bytes.fromhex("004a0000")),
    "aaaa0009d500027023003a0006": Frame(2, 0x7023, bytes.fromhex("003a0006")),
    "aaaa00122103ea7025004a000000530005aa55aa55aa5555aa": Frame(
        1002, 0x7025, bytes.fromhex("004a000000530005aaaaaa55aa")
    ),
}
NUMBERS = st.integers(1, 0xFFFE)
TRICKY = st.lists(st.sampled_from([0x00, 0x05, 0x55, 0xAA]) | st.integers(0, 255), max_size=40).map(bytes)
FRAMES = st.builds(Frame, NUMBERS, NUMBERS, TRICKY)
ENDS_IN_MARK = Frame(7, 0x7025, b"\xaa")


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = [0, *sorted(a % (len(data) + 1) for a in at), len(data)]
    return [data[a:b] for a, b in pairwise(marks)]


@pytest.mark.parametrize(("wire", "frame"), VECTORS.items())
def test_a_vector_is_encoded(wire: str, frame: Frame) -> None:
    assert encode(frame).hex() == wire


@pytest.mark.parametrize(("wire", "frame"), VECTORS.items())
def test_a_vector_is_decoded(wire: str, frame: Frame) -> None:
    assert decode_one(bytes.fromhex(wire)) == frame


@pytest.mark.parametrize(
    ("body", "stuffed"), [("aaaa", "aa55aa"), ("aa55aa", "aa5555aa"), ("aaaaaa", "aa55aa55aa"), ("aa00", "aa00")]
)
def test_stuffing_is_as_the_page_shows(body: str, stuffed: str) -> None:
    assert stuff(bytes.fromhex(body)).hex() == stuffed


@given(FRAMES)
@example(Frame(0xAAAA, 0xAA55, b"\xaa\xaa\x55\xaa"))
def test_what_is_encoded_is_decoded(frame: Frame) -> None:
    assert decode_one(encode(frame)) == frame


@given(FRAMES)
def test_a_head_never_stands_inside_a_frame(frame: Frame) -> None:
    assert b"\xaa\xaa" not in encode(frame)[2:]


@given(st.lists(FRAMES, max_size=4), st.lists(st.integers(0, 1000), max_size=12))
def test_any_cut_gives_the_same_frames(frames: list[Frame], at: list[int]) -> None:
    decoder = Decoder()
    pieces = cut(b"".join(map(encode, frames)), at)
    assert [f for piece in pieces for f in decoder.feed(piece)] == frames


def test_a_frame_that_ends_in_a_mark_is_followed_by_another() -> None:
    assert Decoder().feed(encode(ENDS_IN_MARK) * 2) == [ENDS_IN_MARK] * 2


def test_the_end_of_a_good_frame_is_no_half_of_a_head() -> None:
    decoder = Decoder()
    decoder.feed(encode(ENDS_IN_MARK) * 2)
    assert decoder.dropped == 0


def test_a_frame_that_ends_in_a_mark_is_not_waited_for() -> None:
    assert Decoder().feed(encode(ENDS_IN_MARK)) == [ENDS_IN_MARK]


@given(TRICKY, FRAMES)
@example(bytes.fromhex("aaaa0005aa000000"), ENDS_IN_MARK)  # the head's first half makes a whole frame of it
def test_after_any_garbage_the_second_frame_is_found(garbage: bytes, frame: Frame) -> None:
    assert Decoder().feed(garbage + encode(frame) * 2)[-1:] == [frame]


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param("aa", id="half a head"),
        pytest.param("aaaa", id="a head"),
        pytest.param("aaaaaa", id="a head and a half"),
        pytest.param("aaaa0005a4000270", id="a frame without its end"),
        pytest.param("aaaaffaa", id="a length that cannot be, ending in a mark"),
        pytest.param("aaaa000500aa00aa", id="a frame that the head's first half makes whole, but not good"),
    ],
)
def test_a_frame_is_found_behind(garbage: str) -> None:
    assert Decoder().feed(bytes.fromhex(garbage) + encode(ENDS_IN_MARK)) == [ENDS_IN_MARK]


def test_a_new_head_drops_the_frame_under_way() -> None:
    decoder = Decoder()
    assert decoder.feed(bytes.fromhex("aaaa0005a40002") + encode(ENDS_IN_MARK)) == [ENDS_IN_MARK]
    assert decoder.dropped == 1


def test_a_wrong_sum_is_dropped() -> None:
    decoder = Decoder()
    assert (decoder.feed(bytes.fromhex("aaaa0005a500027032")), decoder.dropped) == ([], 1)


@pytest.mark.parametrize("length", [0, FIXED - 1, LEN_MAX + 1, 0xFFFF])
def test_a_length_that_cannot_be_is_dropped_at_once(length: int) -> None:
    decoder = Decoder()
    assert (decoder.feed(b"\xaa\xaa" + length.to_bytes(2, "big")), decoder.dropped) == ([], 1)


def test_the_longest_frame_is_decoded() -> None:
    frame = Frame(1, 0x7025, bytes(LEN_MAX - FIXED))
    assert decode_one(encode(frame)) == frame


@pytest.mark.parametrize(
    "wire", ["aaaa0005a200007032", "aaaa0005a0ffff7032", "aaaa00050200020000", "aaaa0005000002ffff"]
)
def test_a_reserved_number_is_dropped(wire: str) -> None:
    decoder = Decoder()
    assert (decoder.feed(bytes.fromhex(wire)), decoder.dropped) == ([], 1)


@pytest.mark.parametrize("frame", [Frame(0, 1), Frame(0xFFFF, 1), Frame(1, 0), Frame(1, 0xFFFF)])
def test_a_reserved_number_is_not_encoded(frame: Frame) -> None:
    with pytest.raises(ValueError, match="reserved"):
        encode(frame)


def test_too_long_a_frame_is_not_encoded() -> None:
    with pytest.raises(ValueError, match=f"over {LEN_MAX}"):
        encode(Frame(1, 1, bytes(LEN_MAX - FIXED + 1)))


@given(st.binary(max_size=200))
def test_any_bytes_are_fed_without_an_error(data: bytes) -> None:
    Decoder().feed(data)


def test_the_sum_keeps_the_low_eight_bits() -> None:
    assert additive_sum(b"\xff\x02") == 1


@pytest.mark.parametrize("data", [b"", bytes.fromhex("aaaa0005a400027032" * 2)])
def test_one_frame_is_neither_none_nor_two(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_one(data)

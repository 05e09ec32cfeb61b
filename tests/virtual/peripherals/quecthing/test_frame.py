from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ble_ota.virtual.peripherals.quecthing.frame import LEN_MAX, Decoder, Frame, pack
from tests.virtual.peripherals.quecthing.bench import frame as by_hand

# quectel.md 3.4 (captured) and 3.5 (computed from the documents)
VECTORS = [
    ("aaaa0005a400027032", Frame(2, 0x7032, b"")),
    ("aaaa0009c200037035001a0000", Frame(3, 0x7035, bytes.fromhex("001a0000"))),
    ("aaaa000df200017023003a0002005a00c8", Frame(1, 0x7023, bytes.fromhex("003a0002005a00c8"))),
    ("aaaa0009cc03e97026004a0000", Frame(1001, 0x7026, bytes.fromhex("004a0000"))),
    ("aaaa00160403e97025004a000000530009313233343536373839", Frame(1001, 0x7025, b"\0J\0\0\0S\0\t123456789")),
    (
        "aaaa00122103ea7025004a000000530005aa55aa55aa5555aa",
        Frame(1002, 0x7025, bytes.fromhex("004a000000530005aaaaaa55aa")),
    ),
]
WHOLE = bytes.fromhex(VECTORS[0][0])
frames = st.builds(
    Frame,
    st.integers(1, 0xFFFE),
    st.integers(1, 0xFFFE),
    st.lists(st.sampled_from([0xAA, 0x55, 0x00, 0x7F]), max_size=40).map(bytes),
)


def read(*parts: bytes) -> list[Frame]:
    decoder = Decoder()
    return [found for part in parts for found in decoder.feed(part)]


@pytest.mark.parametrize(("raw", "frame"), VECTORS)
def test_a_published_frame_is_read(raw: str, frame: Frame) -> None:
    assert read(bytes.fromhex(raw)) == [frame]


@pytest.mark.parametrize(("raw", "frame"), VECTORS)
def test_a_published_frame_is_written(raw: str, frame: Frame) -> None:
    assert pack(frame).hex() == raw


@given(frames)
def test_stuffing_agrees_with_stuffing_by_hand(frame: Frame) -> None:
    assert pack(frame) == by_hand(frame.command, frame.data, frame.packet_id)


@given(st.lists(frames, max_size=5), st.integers(1, 50))
def test_frames_are_found_however_they_are_cut(sent: list[Frame], step: int) -> None:
    stream = b"".join(map(pack, sent))
    assert read(*(stream[at : at + step] for at in range(0, len(stream), step))) == sent


@given(st.binary(max_size=300))
def test_any_bytes_are_taken(garbage: bytes) -> None:
    read(garbage)


@given(frames, st.data())
def test_a_frame_cut_short_costs_only_itself(cut: Frame, data: st.DataObject) -> None:
    raw = pack(cut)
    short = raw[: data.draw(st.integers(2, len(raw) - 1))]
    assume(short + b"\xaa" != raw)  # the next frame's first byte would make this one whole
    assert read(short + WHOLE)[-1:] == [VECTORS[0][1]]


@pytest.mark.parametrize(
    "noise", ["00", "aa", "aa55", "aaaa", "aaaa0009", "aaaaaa", "aaaa0004", "aaaa0000", "aaaaffff"]
)
def test_noise_before_a_frame_does_not_hide_it(noise: str) -> None:
    assert read(bytes.fromhex(noise) + WHOLE) == [VECTORS[0][1]]


@pytest.mark.parametrize("at", range(4, len(WHOLE)))
def test_a_flipped_bit_is_refused(at: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] ^= 1
    assert read(bytes(damaged)) == []


@pytest.mark.parametrize("at", range(4, len(WHOLE)))
def test_a_flipped_bit_is_counted(at: int) -> None:
    decoder = Decoder()
    damaged = bytearray(WHOLE)
    damaged[at] ^= 1
    list(decoder.feed(bytes(damaged)))
    assert decoder.bad == 1


@pytest.mark.parametrize(("packet_id", "command"), [(0, 0x7032), (0xFFFF, 0x7032), (1, 0), (1, 0xFFFF)])
def test_reserved_numbers_are_refused(packet_id: int, command: int) -> None:
    assert read(by_hand(command, b"", packet_id)) == []


def test_a_length_that_cannot_be_stuffed_clearly_is_not_waited_for() -> None:
    assert read(b"\xaa\xaa" + (LEN_MAX + 1).to_bytes(2, "big") + WHOLE) == [VECTORS[0][1]]


def test_a_last_byte_aa_does_not_hide_the_next_frame() -> None:
    assert read(by_hand(0x7025, b"\xaa") + WHOLE) == [Frame(1000, 0x7025, b"\xaa"), VECTORS[0][1]]


def test_a_last_byte_aa_is_no_part_of_the_next_mark() -> None:
    assert read(by_hand(0x7025, b"\xaa") + WHOLE[1:]) == [Frame(1000, 0x7025, b"\xaa")]


def test_a_frame_that_lost_its_last_byte_does_not_eat_the_next() -> None:
    assert read(by_hand(0x7025, b"\x01")[:-1] + WHOLE) == [VECTORS[0][1]]


def test_a_reset_forgets_what_is_under_way() -> None:
    decoder = Decoder()
    list(decoder.feed(WHOLE[:5]))
    decoder.reset()
    assert list(decoder.feed(WHOLE[5:])) == []


def test_the_size_of_a_frame_counts_all_but_stuffing() -> None:
    assert VECTORS[5][1].size == len(bytes.fromhex(VECTORS[5][0])) - 3

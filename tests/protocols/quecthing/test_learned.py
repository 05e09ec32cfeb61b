from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.protocols.driver import Hint
from ble_ota.protocols.quecthing.learned import PATIENCE_S, Learned, Start, learned, start
from ble_ota.protocols.quecthing.vocabulary import CHUNK_MAX

TENS = Learned(10, next_wanted=True)
FORMS = ("", "next", "10", "{} nex", "{} NEXT", "{}  next", " {} next", "{} next ", "{} next\n", "{} echo next")
NUMBERS = ("010", "0", "-10", "+10", "1_0", "10.0", "\u0661\u0660", str(CHUNK_MAX + 1), "999999", "9" * 5000)
MALFORMED = [*(form.format(10) for form in FORMS), *(f"{number} next" for number in NUMBERS)]


def hint(offset: int = 20, age_s: float = 3.0, words: str = "10 next") -> Hint:
    return Hint(offset, age_s, words)


def test_the_words_are_kept_as_documented() -> None:
    assert [str(Learned(200, next_wanted=True)), str(Learned(64, next_wanted=False))] == ["200 next", "64 echo"]


@given(st.builds(Learned, st.integers(1, CHUNK_MAX), st.booleans()))
def test_what_is_written_is_read(known: Learned) -> None:
    assert learned(str(known)) == known


@given(st.text(max_size=12) | st.from_regex(r"[0-9]{0,6} ?(echo|next)?"))
def test_any_text_is_read_or_refused(text: str) -> None:
    known = learned(text)
    assert known is None or (str(known) == text and 1 <= known.chunk <= CHUNK_MAX)


@pytest.mark.parametrize("words", MALFORMED)
def test_malformed_words_are_no_start(words: str) -> None:
    assert (learned(words), start(hint(words=words), 25)) == (None, None)


def test_no_hint_is_no_start() -> None:
    assert start(None, 25) is None


@pytest.mark.parametrize("age_s", [PATIENCE_S, 15.5, -0.1, float("inf"), float("nan")])
def test_a_hint_of_another_age_is_no_start(age_s: float) -> None:
    assert start(hint(age_s=age_s), 25) is None


@pytest.mark.parametrize("age_s", [0.0, 14.9])
def test_a_hint_within_the_devices_patience_is_a_start(age_s: float) -> None:
    assert start(hint(age_s=age_s), 25) == Start(20, 20, TENS)


@pytest.mark.parametrize("offset", [0, -10, 30, 2**64, 1, 15, 24])
def test_an_offset_that_is_no_end_of_a_packet_is_no_start(offset: int) -> None:
    assert start(hint(offset), 25) is None


def test_nothing_of_an_empty_file_is_carried_on() -> None:
    assert start(hint(0), 0) is None


@pytest.mark.parametrize(
    ("offset", "size", "packet"), [(10, 25, 10), (20, 25, 20), (25, 25, 20), (20, 20, 10), (10, 10, 0), (7, 7, 0)]
)
def test_the_packet_that_asks_is_the_next_one_or_the_last_again(offset: int, size: int, packet: int) -> None:
    assert start(hint(offset), size) == Start(offset, packet, TENS)

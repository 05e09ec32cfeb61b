from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.text import clean

ANYTHING = st.text(st.characters(codec=None), max_size=40)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("Fixes: größer, 速い 👍", "Fixes: größer, 速い 👍", id="words of any language stay"),
        pytest.param("a\x1b[31mb", "a[31mb", id="terminal escape"),
        pytest.param("a\r\n\tb\0c", "abc", id="C0 controls"),
        pytest.param("a\x9bb", "ab", id="C1 controls"),
        pytest.param("a\u202eb\u2066c", "abc", id="bidi overrides"),
        pytest.param("a\u200bb\ufeffc", "abc", id="zero width"),
        pytest.param("a\u2028b\u2029c", "abc", id="line and paragraph separators"),
        pytest.param("a\ud800b", "ab", id="surrogates"),
        pytest.param("a\ue000b", "ab", id="private use"),
        pytest.param("a\uffffb", "ab", id="unassigned"),
    ],
)
def test_what_hides_is_removed(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_kept_character_stays() -> None:
    assert clean("a\nb\tc", keep="\n") == "a\nbc"


@pytest.mark.parametrize(("text", "shown"), [("abcd", "abcd"), ("abcde", "abc…")])
def test_a_long_text_ends_in_an_ellipsis(text: str, shown: str) -> None:
    assert clean(text, most=4) == shown


@given(ANYTHING, st.integers(1, 20))
def test_no_text_grows_or_hides(text: str, most: int) -> None:
    shown = clean(text, most=most)
    assert len(shown) <= most
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(ANYTHING)
def test_what_is_clean_stays_as_it_is(text: str) -> None:
    assert clean(clean(text)) == clean(text)

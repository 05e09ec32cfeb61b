from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.cloud.text import notes, one_line, redact


@pytest.mark.parametrize(
    ("dirty", "line"),
    [
        ("  a\n\n  b\tc ", "a b c"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\x00b\x07c\x7fd\x9be", "abcde"),
        ("abc\u202etxt.exe\u202c\u2066\u2069", "abctxt.exe"),
        ("a\ud800b", "ab"),
        ("Größe 版本 🚀", "Größe 版本 🚀"),
    ],
)
def test_a_line_holds_only_what_is_there_to_be_read(dirty: str, line: str) -> None:
    assert one_line(dirty) == line


def test_a_long_line_is_cut() -> None:
    assert one_line("x" * 201) == "x" * 199 + "…"


def test_a_line_of_just_the_length_is_whole() -> None:
    assert one_line("x" * 200) == "x" * 200


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1


def test_notes_keep_their_lines() -> None:
    assert notes("\n- first\r\n-\tsecond\x1b[2J\u202e\n") == "- first\n- second[2J"


@given(st.text())
def test_notes_hold_no_control_character_but_the_line_feed(text: str) -> None:
    assert not [c for c in notes(text) if unicodedata.category(c) in {"Cc", "Cs"} and c != "\n"]


def test_a_secret_is_replaced_wherever_it_stands() -> None:
    assert redact("pwd=a+b/c== and a+b/c==", ["a+b/c=="]) == "pwd=*** and ***"


@pytest.mark.parametrize("form", ["a%2Bb%2Fc%3D%3D", "a%2Bb/c%3D%3D"])
def test_a_secret_is_replaced_as_it_stands_in_a_url(form: str) -> None:
    assert redact(f"/login?pwd={form}&x", ["a+b/c=="]) == "/login?pwd=***&x"


def test_an_empty_secret_replaces_nothing() -> None:
    assert redact("abc", [""]) == "abc"

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.virtual.developer_center.ranges import Part, UnsatisfiableError, selected

ETAG = '"e1"'


def select(wanted: str | None, if_range: str | None = None, *, etag: str = ETAG, size: int = 100) -> Part | None:
    return selected(wanted, if_range, etag=etag, size_bytes=size)


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-", 0, 99),
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=99-", 99, 99),
        ("bytes=10-1000", 10, 99),
        ("bytes=-1", 99, 99),
        ("bytes=-30", 70, 99),
        ("bytes=-1000", 0, 99),
        (" bytes=5-6 ", 5, 6),
    ],
)
def test_one_range_is_given_as_asked(wanted: str, first: int, last: int) -> None:
    assert select(wanted) == Part(first, last)


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        "bytes=",
        "bytes=-",
        "bytes=20-10",
        "bytes=0-1,5-6",
        "bytes=a-b",
        "bytes=+1-2",
        "bytes 0-1",
        "items=0-1",
        "bytes=" + "9" * 5000 + "-",
        "bytes=٣-",
        "bytes=0-٣",
    ],
)
def test_what_is_no_single_range_of_bytes_is_ignored(wanted: str | None) -> None:
    assert select(wanted) is None


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_without_a_byte_is_unsatisfiable(wanted: str) -> None:
    with pytest.raises(UnsatisfiableError):
        select(wanted)


@pytest.mark.parametrize("wanted", ["bytes=0-", "bytes=-5"])
def test_an_empty_file_has_no_range(wanted: str) -> None:
    with pytest.raises(UnsatisfiableError):
        select(wanted, size=0)


def test_the_same_etag_lets_the_range_count() -> None:
    assert select("bytes=10-", ETAG) == Part(10, 99)


@pytest.mark.parametrize("if_range", ['"other"', f"W/{ETAG}", "e1", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_anything_but_the_same_etag_gives_everything(if_range: str) -> None:
    assert select("bytes=10-", if_range) is None


def test_a_weak_etag_never_lets_the_range_count() -> None:
    assert select("bytes=10-", 'W/"e1"', etag='W/"e1"') is None


def test_another_etag_is_seen_before_a_range_behind_the_end() -> None:
    assert select("bytes=100-", '"other"') is None


@given(wanted=st.text() | st.from_regex(r"bytes=[0-9]*-[0-9]*", fullmatch=True), size=st.integers(0, 1000))
def test_whatever_is_asked_lies_inside_the_file(wanted: str, size: int) -> None:
    try:
        part = select(wanted, size=size)
    except UnsatisfiableError:
        return
    assert part is None or 0 <= part.first <= part.last < size

from __future__ import annotations

import httpx
import pytest

from firmware_cache import ContentError
from firmware_cache.ranges import ETAG_MAX, Body, Rest, UnfitRangeError, judge, strong

ASKED = Rest(100, 1000, '"v1"')
FIT = {"Content-Range": "bytes 100-999/1000", "ETag": '"v1"', "Content-Length": "900"}


def test_a_rest_is_asked_for_with_its_condition() -> None:
    assert ASKED.headers == {"Range": "bytes=100-", "If-Range": '"v1"'}


# ---------------------------------------------------------------- entity tags


@pytest.mark.parametrize("etag", ['"v1"', '""', '"W/x"', '"' + "a" * (ETAG_MAX - 2) + '"', '"a b"'.replace(" ", "!")])
def test_a_strong_etag_is_one(etag: str) -> None:
    assert strong(etag) == etag


@pytest.mark.parametrize(
    "etag",
    [None, "", "v1", 'W/"v1"', 'w/"v1"', '"v1', 'v1"', '"a"b"', '"a"\r\n', '"a b"', '"\xe9"', f'"{"a" * ETAG_MAX}"'],
)
def test_what_is_weak_or_garbled_is_no_strong_etag(etag: str | None) -> None:
    assert strong(etag) is None


# ---------------------------------------------------------------- the whole


@pytest.mark.parametrize("asked", [None, ASKED])
@pytest.mark.parametrize("headers", [{}, {"Content-Length": "1000"}, {"Content-Encoding": "Identity"}])
def test_a_200_is_the_whole(headers: dict[str, str], asked: Rest | None) -> None:
    assert judge(200, headers, total=1000, asked=asked) is Body.WHOLE


@pytest.mark.parametrize("asked", [None, ASKED])
@pytest.mark.parametrize("headers", [{"Content-Length": "999"}, {"Content-Encoding": "gzip"}, {"Content-Length": "x"}])
def test_a_200_with_something_else_is_wrong_content(headers: dict[str, str], asked: Rest | None) -> None:
    with pytest.raises(ContentError) as caught:
        judge(200, headers, total=1000, asked=asked)
    assert type(caught.value) is ContentError


# ---------------------------------------------------------------- the rest

GOOD = {
    "all there": FIT,
    "no etag": {**FIT, "ETag": ""},
    "no length": {**FIT, "Content-Length": ""},
    "identity": {**FIT, "Content-Encoding": "identity"},
}


@pytest.mark.parametrize("name", GOOD)
def test_the_rest_exactly_as_asked_is_appended(name: str) -> None:
    headers = httpx.Headers({key: value for key, value in GOOD[name].items() if value})
    assert judge(206, headers, total=1000, asked=ASKED) is Body.APPEND


UNFIT = {
    "early start": {**FIT, "Content-Range": "bytes 99-999/1000"},
    "late start": {**FIT, "Content-Range": "bytes 101-999/1000"},
    "from the first byte": {**FIT, "Content-Range": "bytes 0-999/1000"},
    "early end": {**FIT, "Content-Range": "bytes 100-998/1000"},
    "end behind the end": {**FIT, "Content-Range": "bytes 100-1000/1000"},
    "total grew": {**FIT, "Content-Range": "bytes 100-999/1001"},
    "total and end grew": {**FIT, "Content-Range": "bytes 100-1000/1001"},
    "total shrank": {**FIT, "Content-Range": "bytes 100-998/999"},
    "total unknown": {**FIT, "Content-Range": "bytes 100-999/*"},
    "range unknown": {**FIT, "Content-Range": "bytes */1000"},
    "total missing": {**FIT, "Content-Range": "bytes 100-999"},
    "end missing": {**FIT, "Content-Range": "bytes 100-/1000"},
    "start missing": {**FIT, "Content-Range": "bytes -999/1000"},
    "negative start": {**FIT, "Content-Range": "bytes -100-999/1000"},
    "signed": {**FIT, "Content-Range": "bytes +100-999/1000"},
    "backwards": {**FIT, "Content-Range": "bytes 999-100/1000"},
    "several": {**FIT, "Content-Range": "bytes 100-499/1000, bytes 500-999/1000"},
    "several in one": {**FIT, "Content-Range": "bytes 100-499,500-999/1000"},
    "other unit": {**FIT, "Content-Range": "items 100-999/1000"},
    "no unit": {**FIT, "Content-Range": "100-999/1000"},
    "equals sign": {**FIT, "Content-Range": "bytes=100-999/1000"},
    "garbled start": {**FIT, "Content-Range": "bytes 1oo-999/1000"},
    "garbled": {**FIT, "Content-Range": "\x1b[2J"},
    "something behind": {**FIT, "Content-Range": "bytes 100-999/1000 and more"},
    "blanks": {**FIT, "Content-Range": "bytes 100 - 999 / 1000"},
    "other digits": {**FIT, "Content-Range": "bytes \u0661\u0660\u0660-999/1000"},
    "absurd": {**FIT, "Content-Range": f"bytes {'9' * 5000}-999/1000"},
    "empty": {**FIT, "Content-Range": ""},
    "missing": {"ETag": '"v1"'},
    "multipart": {"ETag": '"v1"', "Content-Type": "multipart/byteranges; boundary=x"},
    "changed etag": {**FIT, "ETag": '"v2"'},
    "etag became weak": {**FIT, "ETag": 'W/"v1"'},
    "encoded": {**FIT, "Content-Encoding": "gzip"},
    "announced shorter": {**FIT, "Content-Length": "899"},
    "announced longer": {**FIT, "Content-Length": "901"},
    "announced as the whole": {**FIT, "Content-Length": "1000"},
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_206_that_is_not_exactly_the_rest_is_unfit(name: str) -> None:
    with pytest.raises(UnfitRangeError):
        judge(206, UNFIT[name], total=1000, asked=ASKED)


def test_a_416_is_unfit() -> None:
    with pytest.raises(UnfitRangeError, match="no bytes from 100 on, of a file of 1000"):
        judge(416, {}, total=1000, asked=ASKED)


def test_what_a_server_said_is_cleaned_and_bounded() -> None:
    with pytest.raises(UnfitRangeError) as caught:
        judge(206, {"Content-Range": "\x1b[2J" * 1000}, total=1000, asked=ASKED)
    assert ("\x1b" in str(caught.value), len(str(caught.value)) < 300) == (False, True)

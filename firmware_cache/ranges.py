"""The rest of a file asked for by HTTP, and whether an answer is that rest. Pure.

::

    200                       the whole: start over
    206, exactly the rest     append
    206, anything else        unfit: never appended, asked for whole instead
    416                       unfit: where the file is complete nobody asks, its digest decides

RFC 9110: 8.8.3 entity tags, 13.1.5 If-Range, 14.4 Content-Range.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from firmware_cache.errors import ContentError, clean

ETAG_MAX = 200  # characters; those of the large stores have 34 to 70
_STRONG = re.compile(r'"[\x21\x23-\x7e]*"')  # RFC 9110 8.8.3, without the bytes above ASCII
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Rest:
    """The bytes from `start` to the end of a file of `total`, as long as it is still the one called `etag`."""

    start: int
    total: int
    etag: str

    @property
    def headers(self) -> dict[str, str]:
        """What asks for it."""
        return {"Range": f"bytes={self.start}-", "If-Range": self.etag}


class Body(Enum):
    """What the body of an answer is good for."""

    APPEND = "the rest, exactly as asked"
    WHOLE = "the whole, from its first byte"


class UnfitRangeError(ContentError):
    """A server answers a range with something else; what it has may be right all the same, as a whole."""


def strong(etag: str | None) -> str | None:
    """Give an entity tag back if it is one that promises the same bytes; None if it is weak, garbled or none."""
    return etag if etag is not None and len(etag) <= ETAG_MAX and _STRONG.fullmatch(etag) else None


def judge(status: int, headers: Mapping[str, str], *, total: int, asked: Rest | None) -> Body:
    """Say what to do with the body of an answer; the sentence of an error begins after the host's name.

    Args:
        status: 200, 206 or 416; 206 and 416 only where `asked`.
        headers: Of the answer; names in any case, repeated ones joined by commas.
        total: Size of the file in bytes.
        asked: The range that was asked for, if one was.

    Raises:
        UnfitRangeError: It is no answer to the range that was asked for.
        ContentError: It is a whole file, and another one than was asked for.
    """
    if status == 200 or asked is None:
        _check_body(headers, total)
        return Body.WHOLE
    if status == 416:
        msg = f"has no bytes from {asked.start} on, of a file of {asked.total}"
        raise UnfitRangeError(msg)
    _check_rest(headers, asked)
    return Body.APPEND


def _check_body(headers: Mapping[str, str], size_bytes: int) -> None:
    encoding = headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        msg = f"sent the file encoded ({clean(encoding)}), which was not asked for"
        raise ContentError(msg)
    length = headers.get("Content-Length")
    if length is not None and length != str(size_bytes):
        msg = f"announces {clean(length)} bytes where {size_bytes} were asked for"
        raise ContentError(msg)


def _check_rest(headers: Mapping[str, str], asked: Rest) -> None:
    found = headers.get("Content-Range", "no range")
    match = _CONTENT_RANGE.fullmatch(found)
    if match is None or tuple(map(int, match.groups())) != (asked.start, asked.total - 1, asked.total):
        msg = f"sent {clean(found)} where bytes {asked.start}-{asked.total - 1}/{asked.total} were asked for"
        raise UnfitRangeError(msg)
    if headers.get("ETag", asked.etag) != asked.etag:
        msg = "sent a part of another file than the one that was begun"
        raise UnfitRangeError(msg)
    try:
        _check_body(headers, asked.total - asked.start)
    except ContentError as error:
        raise UnfitRangeError(str(error)) from None

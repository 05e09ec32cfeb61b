"""Which bytes a GET asks for: RFC 9110 sections 13.1.5 (If-Range) and 14.2 (Range), one range; pure.

Starlette's `FileResponse` is not used: it answers 400 to what the RFC has a server ignore, gives a 416 without the
ETag, compares If-Range to a date as well, makes its ETag from a time in whole floats, and reads through a thread,
which virtual time does not wait for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SINGLE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `first` to `last`, both included."""

    first: int
    last: int


class UnsatisfiableError(Exception):
    """The range begins behind the end: 416."""


def selected(wanted: str | None, if_range: str | None, *, etag: str, size_bytes: int) -> Part | None:
    """Work out what to send; None is the whole file.

    Args:
        wanted: The Range header. Several ranges, another unit or nonsense are ignored, as the RFC allows.
        if_range: The If-Range header; only the very same strong ETag makes the range count.
        etag: Of the file as it is now.
        size_bytes: Of the file as it is now.

    Raises:
        UnsatisfiableError: The range holds no byte of the file.
    """
    if wanted is None or (if_range is not None and (if_range != etag or etag.startswith("W/"))):
        return None
    match = _SINGLE.fullmatch(wanted.strip())
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        return _last_bytes(int(last), size_bytes) if last else None
    if last and int(last) < int(first):
        return None
    if int(first) >= size_bytes:
        raise UnsatisfiableError
    return Part(int(first), min(int(last), size_bytes - 1) if last else size_bytes - 1)


def _last_bytes(count: int, size_bytes: int) -> Part:
    if count == 0 or size_bytes == 0:
        raise UnsatisfiableError
    return Part(max(size_bytes - count, 0), size_bytes - 1)

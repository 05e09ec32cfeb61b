"""What a file must be (`Ref`), and what a stream of bytes turns out to be (`Sums`). Pure."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from firmware_cache.errors import ContentError

HEX = frozenset("0123456789abcdef")
HEX_DIGITS = {"sha256": 64, "md5": 32, "crc32": 8}
"""Algorithm to the length of its digest in hexadecimal digits; in the order of trust."""


class _Running(Protocol):
    """A digest in the making."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Crc32:
    """`zlib.crc32` in the form of `hashlib`."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


_ALGORITHMS: dict[str, Callable[[], _Running]] = {
    "sha256": hashlib.sha256,
    "md5": partial(hashlib.md5, usedforsecurity=False),  # old plans carry it; it proves no origin
    "crc32": _Crc32,
}


@dataclass(frozen=True, slots=True)
class Ref:
    """The size and the digests a file must have; at least one digest.

    Raises:
        ValueError: The size is negative, no digest is given, or one is not lower-case hexadecimal of its length.
    """

    size_bytes: int
    sha256: str | None = None
    md5: str | None = None
    crc32: str | None = None

    def __post_init__(self) -> None:
        if self.size_bytes < 0:
            msg = f"a file cannot have {self.size_bytes} bytes"
            raise ValueError(msg)
        if not self.digests:
            msg = "a reference needs at least one digest"
            raise ValueError(msg)
        for name, digest in self.digests.items():
            check_hex(name, digest)

    @property
    def digests(self) -> dict[str, str]:
        """Algorithm to digest, for those that are given."""
        given = {"sha256": self.sha256, "md5": self.md5, "crc32": self.crc32}
        return {name: digest for name, digest in given.items() if digest is not None}

    def check(self, sums: Sums) -> None:
        """Compare the size and every digest given; `sums` must have been made for them.

        Raises:
            ContentError: One of them differs.
        """
        if sums.size_bytes != self.size_bytes:
            msg = f"the content has {sums.size_bytes} bytes where {self.size_bytes} were asked for"
            raise ContentError(msg)
        for name, digest in self.digests.items():
            if (found := sums.hex(name)) != digest:
                msg = f"the content is {name}:{found} where {name}:{digest} was asked for"
                raise ContentError(msg)


class Sums:
    """Count and digests of bytes as they pass; SHA-256 is always among them."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.size_bytes = 0
        self._running = {name: _ALGORITHMS[name]() for name in {"sha256", *names}}

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size_bytes += len(data)
        for running in self._running.values():
            running.update(data)

    def hex(self, name: str) -> str:
        """The digest by algorithm `name`, lower-case hexadecimal."""
        return self._running[name].hexdigest()


def check_hex(name: str, digest: str) -> None:
    """Refuse what cannot be a digest by algorithm `name`.

    Raises:
        ValueError: It is not lower-case hexadecimal of the algorithm's length.
    """
    if len(digest) != HEX_DIGITS[name] or not HEX.issuperset(digest):
        msg = f"a {name} is {HEX_DIGITS[name]} lower-case hexadecimal digits"
        raise ValueError(msg)

"""What is known of a blob besides its content: nothing that anything depends on.

::

    meta/<64 hex>.json        size, names and versions, the host it came from, when it was added; replaced whole
        its time of change    when the blob was last asked for: a touch undoes nothing that another process wrote
    pins/<64 hex>.<name>      a pin, one empty file each: made and removed in one step, so that none is ever lost

Of two that write at a time the last one wins. Metadata that is gone or cannot be read never keeps a blob from use.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from firmware_cache.errors import clean
from firmware_cache.files import sync_folder, whole

KNOWN_MAX = 32  # our choice: names a blob is known by; the oldest go first
FILE_MAX = 65_536  # bytes: above what `KNOWN_MAX` names of `TEXT_MAX` characters each take in JSON
TIME_MAX_S = 253_402_300_800  # the year 10000, which `datetime` does not know
_PIN = re.compile(r"[A-Za-z0-9_-]{1,64}")  # our choice: what every file system takes, and no dot


@dataclass(frozen=True, slots=True)
class Known:
    """A name and a version that a file goes by; each may be "". They come from outside and prove nothing."""

    name: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Meta:
    """What is known of a blob. Times are Unix seconds."""

    size_bytes: int
    added_s: float
    known_as: tuple[Known, ...] = ()
    """Oldest first."""
    source: str = ""
    """The host it came from; "" for a local file, or where it is not known."""

    def known(self, more: Iterable[Known], source: str = "") -> Meta:
        """This, with other names, and with the host it came from, where one is given."""
        names = list(self.known_as)
        for named in (Known(clean(k.name), clean(k.version)) for k in more):
            names = [*(k for k in names if k != named), named]
        kept = tuple(k for k in names if k != Known())[-KNOWN_MAX:]
        return replace(self, known_as=kept, source=clean(source) or self.source)


def read(path: Path) -> Meta | None:
    """Read metadata; None when there is none, or none that can be understood. Never fails for what it reads."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_MAX + 1)
        return _parsed(json.loads(text)) if len(text) <= FILE_MAX else None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def write(path: Path, meta: Meta) -> None:
    """Replace what is at `path`, whole. Raises `OSError`."""
    with whole(path) as file:
        file.write(json.dumps(asdict(meta), sort_keys=True, ensure_ascii=False).encode())


def touch(path: Path) -> bool:
    """Note that the blob was asked for, where that can be written; False when there is no metadata."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a cache that may only be read
    return True


def used_s(path: Path, blob: Path) -> float:
    """When the blob was last asked for, Unix seconds; when it was made, where nothing else is known.

    Raises:
        OSError: The blob is gone.
    """
    made_s = blob.stat().st_mtime
    try:
        return clamped(max(made_s, path.stat().st_mtime))
    except OSError:
        return clamped(made_s)


def clamped(time_s: float) -> float:
    """A time out of a file system, Unix seconds, as a time that can be told."""
    return min(max(time_s, 0.0), TIME_MAX_S - 1)


def known_from(found: object) -> tuple[Known, ...]:
    """Names out of JSON, cleaned, at most `KNOWN_MAX`. Raises `ValueError`, `KeyError` or `TypeError`."""
    if not isinstance(found, list):
        msg = "names are a list"
        raise TypeError(msg)
    pairs = cast("list[Mapping[str, object]]", found)[:KNOWN_MAX]
    return tuple(Known(_text(p["name"]), _text(p["version"])) for p in pairs)


def _parsed(found: Mapping[str, Any]) -> Meta:
    size_bytes, added_s = int(found["size_bytes"]), float(found["added_s"])
    if size_bytes < 0 or not 0 <= added_s < TIME_MAX_S:
        msg = "a size or a time that cannot be"
        raise ValueError(msg)
    return Meta(size_bytes, added_s, known_from(found["known_as"]), _text(found["source"]))


def _text(found: object) -> str:
    if not isinstance(found, str):
        msg = "a name is text"
        raise TypeError(msg)
    return clean(found)


# ---------------------------------------------------------------- pins


def check_pin(name: str) -> None:
    """Refuse what cannot be a pin's name.

    Raises:
        ValueError: It is not 1 to 64 of A-Z, a-z, 0-9, `-` and `_`.
    """
    if not _PIN.fullmatch(name):
        msg = "a pin's name is 1 to 64 letters, digits, - or _"
        raise ValueError(msg)


def pin(folder: Path, sha256: str, name: str) -> None:
    """Pin a blob for `name`, on disk before this returns; twice is as good as once. Raises `OSError`."""
    (folder / f"{sha256}.{name}").touch(mode=0o644)
    sync_folder(folder)


def unpin(folder: Path, sha256: str, name: str) -> bool:
    """Remove the pin; whether there was one. Raises `OSError`."""
    try:
        (folder / f"{sha256}.{name}").unlink()
    except FileNotFoundError:
        return False
    sync_folder(folder)
    return True


def pins(folder: Path) -> dict[str, tuple[str, ...]]:
    """Digest to the names it is pinned for, sorted. Raises `OSError`."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 -- names are all there is to it
    except FileNotFoundError:
        return found
    for sha256, _, name in (n.partition(".") for n in names):
        found[sha256] = (*found.get(sha256, ()), name)
    return found

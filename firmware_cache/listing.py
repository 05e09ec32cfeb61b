"""What is in the cache, as it is listed and as it is checked."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from firmware_cache import meta
from firmware_cache.blob import CHUNK_BYTES, intact, storage_errors
from firmware_cache.errors import DamagedBlobError, NotCachedError
from firmware_cache.meta import Known
from firmware_cache.ref import Sums, check_hex
from firmware_cache.store import Store


@dataclass(frozen=True, slots=True)
class Entry:
    """A blob as it is listed, unread: whether it is intact is another question. Times are Unix seconds."""

    sha256: str
    size_bytes: int
    """What it takes on disk."""
    path: Path
    added_s: float
    last_used_s: float
    known_as: tuple[Known, ...] = ()
    """Oldest first."""
    source: str = ""
    """The host it came from; "" where none is known."""
    pins: tuple[str, ...] = ()
    """Names it is pinned for, sorted."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The digests that were looked for, each in its order."""

    intact: tuple[str, ...]
    damaged: tuple[str, ...]
    """They are in quarantine now."""


def entries(store: Store) -> tuple[Entry, ...]:
    """Every blob, by digest.

    Raises:
        CacheStorageError: The cache cannot be read, or is open to others.
    """
    with storage_errors(f"reading {store.root}"):
        pins = store.pins()
        found = (_entry(store, sha256, pins.get(sha256, ())) for sha256 in store.digests())
        return tuple(e for e in found if e is not None)


def _entry(store: Store, sha256: str, pins: tuple[str, ...]) -> Entry | None:
    path = store.path(sha256)
    known = meta.read(store.meta(sha256))
    try:
        found = path.lstat()
        used_s = meta.used_s(store.meta(sha256), path)
    except FileNotFoundError:
        return None  # removed by another process since its name was read, or a link to nothing
    if known is None:
        return Entry(sha256, found.st_size, path, meta.clamped(found.st_mtime), used_s, pins=pins)
    return Entry(sha256, found.st_size, path, known.added_s, used_s, known.known_as, known.source, pins)


def verify(store: Store, digests: Iterable[str] | None = None) -> Verified:
    """Read every blob, or those of `digests`, and put what is damaged into quarantine.

    Raises:
        ValueError: One of `digests` is no SHA-256.
        NotCachedError: One of `digests` is not here; those before it were checked.
        CacheStorageError: The cache cannot be read, or a damaged blob cannot be moved.
    """
    sound: list[str] = []
    damaged: list[str] = []
    with storage_errors(f"reading {store.root}"):
        wanted = tuple(store.digests() if digests is None else digests)
    for sha256 in wanted:
        try:
            file = intact(store.path(sha256), sha256, store.quarantine, Sums())
        except DamagedBlobError:
            damaged.append(sha256)
            continue
        if file is not None:
            file.close()
            sound.append(sha256)
        elif digests is not None:
            raise NotCachedError(sha256)
    return Verified(tuple(sound), tuple(damaged))


def chosen(store: Store, digests: Iterable[str] | None) -> tuple[Entry, ...]:
    """Every blob, or those of `digests`, by digest.

    Raises:
        ValueError: One of `digests` is no SHA-256.
        NotCachedError: One of `digests` is not here.
        CacheStorageError: The cache cannot be read, or is open to others.
    """
    here = {e.sha256: e for e in entries(store)}
    if digests is None:
        return tuple(here.values())
    wanted = sorted(set(digests))
    for sha256 in wanted:
        check_hex("sha256", sha256)
        if sha256 not in here:
            raise NotCachedError(sha256)
    return tuple(here[d] for d in wanted)


def copy(store: Store, sha256: str, out: BinaryIO) -> None:
    """Write a blob into `out`, from the very file that was hashed.

    Raises:
        NotCachedError: It is not here.
        DamagedBlobError: It is damaged, and in quarantine now.
        CacheStorageError: It cannot be read.
        OSError: `out` cannot be written.
    """
    file = intact(store.path(sha256), sha256, store.quarantine, Sums())
    if file is None:
        raise NotCachedError(sha256)
    with file:
        shutil.copyfileobj(file, out, CHUNK_BYTES)

"""Makes room: what was not used for the longest time goes first, until the rest is within a budget.

::

    a blob stays when it is   pinned │ open, here or in another process │ used within `min_age_s`
    and with the garbage go   parts nobody wrote to for a day │ quarantine after a week │ metadata and locks of no blob

Which parts are stale `parts.py` knows: nobody wrote to them for a day, and no process that lives will.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from firmware_cache import meta
from firmware_cache.blob import isolate, storage_errors
from firmware_cache.errors import DamagedBlobError
from firmware_cache.files import remove, unread
from firmware_cache.listing import Entry, entries
from firmware_cache.store import Store
from firmware_cache.trust import open_blob

DAY_S = 86_400.0
QUARANTINE_S = 7 * DAY_S  # our choice: long enough to look into what damages files


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went, or in a dry run would go."""

    removed: tuple[Entry, ...]
    """The least recently used first."""
    spared: dict[str, str] = field(default_factory=dict[str, str])
    """Digest to why it stays though the budget is exceeded: `pinned`, `in use` or `fresh`."""
    left_bytes: int = 0
    """What the blobs take that stay."""
    swept_bytes: int = 0
    """Of stale parts, old quarantine, metadata and locks of no blob."""

    @property
    def freed_bytes(self) -> int:
        """All that went."""
        return self.swept_bytes + sum(e.size_bytes for e in self.removed)


def prune(store: Store, max_bytes: int, min_age_s: float = DAY_S, *, dry_run: bool = False) -> Pruned:
    """Remove the least recently used blobs until all take at most `max_bytes`, and what was left behind.

    Raises:
        ValueError: One of the numbers is negative.
        CacheStorageError: The cache cannot be read, or something cannot be removed.
    """
    if max_bytes < 0 or min_age_s < 0:
        msg = "neither a budget nor an age can be negative"
        raise ValueError(msg)
    now_s = time.time()
    with storage_errors(f"making room in {store.root}"):
        listed = sorted(entries(store), key=lambda e: (e.last_used_s, e.sha256))
        left, removed, spared = sum(e.size_bytes for e in listed), list[Entry](), dict[str, str]()
        for entry in listed:
            if left <= max_bytes:
                break
            if why := _spared(store, entry, now_s - min_age_s, dry_run=dry_run):
                spared[entry.sha256] = why
            else:
                removed.append(entry)
                left -= entry.size_bytes
        swept = sum(_swept(path, dry_run=dry_run) for path in _stale(store, now_s))
    return Pruned(tuple(removed), spared, left, swept)


def _spared(store: Store, entry: Entry, since_s: float, *, dry_run: bool) -> str:
    """Remove a blob, or say why it stays."""
    try:
        file = open_blob(entry.path)
    except DamagedBlobError:
        if not dry_run:
            isolate(entry.path, store.quarantine)
        return ""
    if file is None:
        return ""  # another process was faster
    with file:
        if not unread(file):
            return "in use"
        # From here to the end of the block a pin waits for us, and whoever opens the file keeps its content.
        if entry.sha256 in store.pins():
            return "pinned"
        if meta.used_s(store.meta(entry.sha256), entry.path) > since_s:
            return "fresh"
        if not dry_run and not remove(file, entry.path):
            return "in use"
    if not dry_run:
        store.meta(entry.sha256).unlink(missing_ok=True)
    return ""


def _stale(store: Store, now_s: float) -> Iterator[Path]:
    """What was left behind, and nobody comes back for."""
    yield from store.parts.sweep(DAY_S, dry_run=True)
    yield from (p for p in _inside(store.quarantine) if _put_aside_s(p) < now_s - QUARANTINE_S)
    here = set(store.digests())
    for path in (*_inside(store.layout / "meta"), *_inside(store.locks)):
        if path.stem not in here and _changed_s(path) < now_s - DAY_S:
            yield path


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _put_aside_s(path: Path) -> float:
    """When a file came into quarantine, Unix seconds: its own times are those of the blob it was."""
    _, _, rest = path.name.partition(".")
    time_s, _, _ = rest.partition(".")
    return float(time_s) if time_s.isdecimal() else _changed_s(path)


def _changed_s(path: Path) -> float:
    """When a file was written to, Unix seconds; never, as far as we are concerned, when it is gone."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return math.inf


def _swept(path: Path, *, dry_run: bool) -> int:
    """Remove a file, or a folder somebody put there; its size in bytes."""
    try:
        size_bytes = path.lstat().st_size
        if dry_run:
            return size_bytes
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return 0  # its owner came back, or another process was faster
    return size_bytes

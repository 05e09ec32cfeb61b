"""Fills a mirror: a folder of blobs by their digest, which a plain web server can serve as it is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from firmware_cache.blob import storage_errors, sum_up
from firmware_cache.files import sync_folder, whole
from firmware_cache.listing import Entry, chosen, copy
from firmware_cache.plaintar import BLOBS
from firmware_cache.ref import Sums
from firmware_cache.store import Store


@dataclass(frozen=True, slots=True)
class Pushed:
    """The digests that were to be in the mirror, each in one of these, sorted."""

    copied: tuple[str, ...]
    present: tuple[str, ...]
    """They were there already, and intact."""


def push(store: Store, folder: Path, digests: Iterable[str] | None = None) -> Pushed:
    """Fill the mirror `folder` with every blob, or those of `digests`; what is there and intact is left alone.

    Raises:
        ValueError: One of `digests` is no SHA-256.
        NotCachedError: One of `digests` is not here.
        DamagedBlobError: One is damaged, and is in quarantine now. Those before it are in the mirror.
        CacheStorageError: A blob cannot be read, or the mirror cannot be written.
    """
    copied: list[str] = []
    present: list[str] = []
    place = folder / BLOBS
    for entry in chosen(store, digests):
        target = place / entry.sha256
        with storage_errors(f"writing {target}"):
            place.mkdir(parents=True, exist_ok=True)
            if _is_there(target, entry):
                present.append(entry.sha256)
                continue
            with whole(target) as out:
                copy(store, entry.sha256, out)
            copied.append(entry.sha256)
    if copied:
        with suppress(OSError):  # a network share may not know how; the files are there all the same
            sync_folder(place)
    return Pushed(tuple(copied), tuple(present))


def _is_there(target: Path, entry: Entry) -> bool:
    if not target.is_file() or target.stat().st_size != entry.size_bytes:
        return False
    sums = Sums()
    with target.open("rb") as file:
        sum_up(file, sums)
    return sums.hex("sha256") == entry.sha256

"""Blobs carried to where there is no network: one plain tar, or a folder that serves as a mirror.

::

    index.json              {"format": 1, "blobs": {"<64 hex>": {"size_bytes": n, "known_as": [{"name", "version"}]}}}
    blobs/sha256/<64 hex>   sorted; every member of mode 0644, user 0, time 0: the same blobs are the same bytes

A mirror has the same without the index, so that a plain web server over its folder is one.

Coming in, the shape of a bundle is judged before anything is written: a name, a kind or a size that we do not write
refuses it whole, as somebody else made it. After that each blob stands alone by its digest: those that are damaged
or lacking are named, and the others are kept, since a flipped bit on a stick is no reason to carry twenty files again.
The names of an index prove nothing and decide nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from firmware_cache.blob import CHUNK_BYTES, storage_errors
from firmware_cache.errors import ContentError, TargetExistsError
from firmware_cache.files import whole
from firmware_cache.listing import Entry, chosen, copy
from firmware_cache.meta import Known, known_from
from firmware_cache.plaintar import BLOBS, CAPS, END, INDEX, Caps, Member, header, members, padding, refused
from firmware_cache.ref import Ref, check_hex
from firmware_cache.store import Store

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Imported:
    """The digests of a bundle, each in one of these, sorted."""

    added: tuple[str, ...]
    present: tuple[str, ...]
    """They were here already."""
    damaged: tuple[str, ...]
    """Their content is not their digest's; nothing of it was kept."""
    missing: tuple[str, ...]
    """The index names them, and they are not in the bundle."""


# ---------------------------------------------------------------- out


def export(
    store: Store, path: Path, digests: Iterable[str] | None = None, *, replace: bool = False
) -> tuple[Entry, ...]:
    """Write every blob, or those of `digests`, into one tar that takes the name `path` when it is whole.

    Args:
        store: Where from.
        path: Where to.
        digests: Which; None is all.
        replace: Whether a file or a link of that name is replaced; what a link leads to is left as it is.

    Raises:
        TargetExistsError: There is one and `replace` is False, or it is neither file nor link.
        ValueError: One of `digests` is no SHA-256.
        NotCachedError: One of `digests` is not here.
        ContentError: They are more than a bundle holds.
        DamagedBlobError: One is damaged, and is in quarantine now. No bundle was written.
        CacheStorageError: A blob cannot be read, or the bundle cannot be written.
    """
    wanted = chosen(store, digests)
    index = _index(wanted)
    CAPS.check((e.size_bytes for e in wanted), len(index))
    with _written(path, replace=replace) as out:
        out.write(header(INDEX, len(index)) + index + padding(len(index)))
        for entry in wanted:
            out.write(header(f"{BLOBS}/{entry.sha256}", entry.size_bytes))
            copy(store, entry.sha256, out)
            out.write(padding(entry.size_bytes))
        out.write(END)
    return wanted


@contextmanager
def _written(path: Path, *, replace: bool) -> Generator[BinaryIO, None, None]:
    """Give the file to write a bundle into. Raises as `export`."""
    with storage_errors(f"writing {path}"):
        if not path.is_symlink() and path.exists() and not path.is_file():
            msg = f"{path} is no ordinary file, so it is not replaced by a bundle"
            raise TargetExistsError(msg, replaceable=False)
        try:
            if not replace and os.path.lexists(path):  # before gigabytes are written, and again at the end
                raise FileExistsError
            with whole(path, over=replace) as out:
                yield out
        except FileExistsError:
            msg = f"{path} exists already, and is left as it is"
            raise TargetExistsError(msg, replaceable=True) from None


def _index(wanted: Iterable[Entry]) -> bytes:
    blobs = {e.sha256: {"size_bytes": e.size_bytes, "known_as": [asdict(k) for k in e.known_as]} for e in wanted}
    return json.dumps({"format": FORMAT, "blobs": blobs}, indent=1, sort_keys=True, ensure_ascii=False).encode()


# ---------------------------------------------------------------- in


def import_(store: Store, path: Path, *, caps: Caps = CAPS) -> Imported:
    """Take in the blobs of a bundle, each held against its digest.

    Raises:
        ContentError: This is no bundle as `export` writes it, or more than `caps`. Nothing of it was kept.
        CacheStorageError: The bundle cannot be read, or the cache cannot be written; what came before was kept.
    """
    with storage_errors(f"reading {path}"), path.open("rb") as file:
        inside = members(file, caps)
        known = _known(file, inside, caps)
        blobs = {name.rpartition("/")[2]: m for name, m in sorted(inside.items()) if name != INDEX}
        store.prepare(sum(m.size_bytes for d, m in blobs.items() if not store.path(d).exists()))
        came = {d: _take(store, file, d, m, known.get(d, ())) for d, m in blobs.items()}
    missing = tuple(sorted(known.keys() - blobs.keys()))
    added, present, damaged = (tuple(d for d, how in came.items() if how == w) for w in ("added", "present", "damaged"))
    return Imported(added, present, damaged, missing)


def _take(store: Store, file: BinaryIO, sha256: str, member: Member, known: Iterable[Known]) -> str:
    """Keep one blob, unless it is here; in which of `Imported` it belongs."""
    if store.find(sha256) is None:
        file.seek(member.at)
        try:
            with store.part(Ref(member.size_bytes, sha256=sha256)) as part:
                for done in range(0, member.size_bytes, CHUNK_BYTES):
                    part.write(file.read(min(CHUNK_BYTES, member.size_bytes - done)))
                store.publish(part, known)
        except ContentError:
            return "damaged"
        return "added"
    store.note(sha256, member.size_bytes, known)
    return "present"


def _known(file: BinaryIO, members: Mapping[str, Member], caps: Caps) -> dict[str, tuple[Known, ...]]:
    """Digest to names, out of the index."""
    if (index := members.get(INDEX)) is None:
        raise refused(f"it has no {INDEX}")
    caps.check((), index.size_bytes)
    file.seek(index.at)
    try:
        found: dict[str, Any] = json.loads(file.read(index.size_bytes))
        if found["format"] != FORMAT:
            raise refused(f"its format is not {FORMAT}: another version of this program wrote it")
        return {digest: _named(digest, blob, members) for digest, blob in found["blobs"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise refused("its index cannot be read") from error


def _named(digest: str, blob: Mapping[str, Any], members: Mapping[str, Member]) -> tuple[Known, ...]:
    check_hex("sha256", digest)
    member = members.get(f"{BLOBS}/{digest}")
    if member is not None and member.size_bytes != blob["size_bytes"]:
        raise refused(f"{digest} has not the size its index names")
    return known_from(blob["known_as"])

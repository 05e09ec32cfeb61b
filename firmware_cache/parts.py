"""The folder of parts: who may write which file, without any lock.

::

    <64 hex>.part            begun, and given back in good order; to be claimed
    <64 hex>.<uuid>.busy     being written, by the one who made that name
    <either>.json            what is known about it: see sidecar.py

    .part ── rename ──▶ .busy     one of many gets it; the others begin a file of their own
    .busy ── link ────▶ .part     given back, the longer of two
    .busy ── rename ──▶ .busy     of a dead owner: taken over, and copied

So no two processes ever append to one file, even where locks do nothing. What is taken over is copied because nobody
can be sure that an owner is dead; what has a second name is copied because someone could write to it there.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from firmware_cache import sidecar
from firmware_cache.blob import storage_errors
from firmware_cache.owner import Owner
from firmware_cache.part import Part
from firmware_cache.ref import Ref
from firmware_cache.sidecar import Sidecar

STALE_S = 86_400.0  # a download has an hour (`Limits.deadline_s`): what nobody wrote for a day nobody writes
_TRIES = 5  # to give back a file while others do the same; giving up costs bandwidth alone
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Parts:
    """The folder; it must be there. Every method blocks on the disk, none for longer than a few names take."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def scratch(self, ref: Ref) -> Generator[Part, None, None]:
        """Open a new part for the file `ref`; at the end of the block it is gone, unless `publish` took it.

        Raises:
            CacheStorageError: The folder cannot be written.
        """
        part = _create(self._name(ref), ref)
        try:
            yield part
        finally:
            self.discard(part)

    def fresh(self, ref: Ref, etag: str | None = None) -> Part:
        """Begin a file of one's own, to be given back or discarded. Raises `CacheStorageError`."""
        path = self._name(ref)
        with storage_errors(f"preparing {path}"):
            sidecar.write(path, Sidecar(ref.size_bytes, etag, Owner.here()))
        return _create(path, ref, etag)

    def claim(self, ref: Ref) -> tuple[Part, Part | None]:
        """Open the part to go on with, and the one to be copied into it first, where there is one.

        A part that was claimed holds bytes that have not been hashed yet: see `Part.recall`.

        Raises:
            CacheStorageError: The folder cannot be read or written.
        """
        if ref.sha256 is None:  # two files of one weak digest could be mixed
            return self.fresh(ref), None
        with storage_errors(f"looking into {self.folder}"):
            begun = self._claim_given_back(ref) or self._claim_orphan(ref)
        if begun is None:
            return self.fresh(ref), None
        part, alone = begun
        return (part, None) if alone else (self.fresh(ref, part.etag), part)

    def note(self, part: Part) -> None:
        """Write down the ETag of `part`, so that it can be gone on with after a crash. Raises `CacheStorageError`."""
        with storage_errors(f"writing {part.path}"):
            sidecar.write(part.path, Sidecar(part.ref.size_bytes, part.etag, Owner.here()))

    def give_back(self, part: Part) -> None:
        """Leave `part` for whoever comes next, if anybody could go on with it; else it is gone.

        Of two the longer one stays. The one that lies there is claimed before it is compared, and nothing is ever
        renamed over it: so a third one, given back in between, is not lost to an old comparison.
        """
        try:
            part.close()
            size = part.path.stat().st_size
            if part.ref.sha256 and part.etag and size:
                self._offer(part.ref, part.path, Sidecar(part.ref.size_bytes, part.etag, Owner.here()))
        except OSError:
            pass  # the disk is full, or worse: the error on its way says so better
        finally:
            self.discard(part)

    def discard(self, part: Part) -> None:
        """Remove `part`, if it is still there. Never fails."""
        with suppress(OSError):  # the bytes are not wanted any more, and the error on its way says more
            part.close()
        _remove(part.path)

    def clear(self, sha256: str) -> None:
        """Remove what was begun of a file that is whole by now, but leave what someone may be writing. Never fails."""
        _remove(self.folder / f"{sha256}.part")
        with suppress(OSError):
            for path in self._orphans(sha256):
                _remove(path)

    def sweep(self, min_age_s: float = STALE_S, *, dry_run: bool = False) -> list[Path]:
        """Remove what nobody wrote to for `min_age_s` seconds, and give its names; `dry_run` gives them alone.

        What a living process of this machine writes stays, however slowly it does. Never fails.
        """
        until, old = time.time() - min_age_s, list[Path]()
        for path in sorted(self.folder.glob("*")):
            with suppress(OSError):  # gone by now
                if path.lstat().st_mtime < until and not _alive(path):
                    old.append(path)
        for path in () if dry_run else old:
            with suppress(OSError):
                path.unlink()
        return old

    def _name(self, ref: Ref) -> Path:
        return self.folder / f"{ref.sha256 or uuid4().hex}.{uuid4().hex}.busy"

    def _claim_given_back(self, ref: Ref) -> tuple[Part, bool] | None:
        return self._take(ref, self.folder / f"{ref.sha256}.part")

    def _claim_orphan(self, ref: Ref) -> tuple[Part, bool] | None:
        for path in self._orphans(ref.sha256 or ""):
            if begun := self._take(ref, path):
                return begun[0], False
        return None

    def _take(self, ref: Ref, path: Path) -> tuple[Part, bool] | None:
        """Claim `path` if it can be gone on with, and open it; False beside it says that it has another name too."""
        known, mine = sidecar.read(path), self._name(ref)
        if known is None or known.etag is None or known.size_bytes != ref.size_bytes:
            return None
        sidecar.write(mine, Sidecar(ref.size_bytes, known.etag, Owner.here()))  # before: a crash leaves it to others
        if _rename(path, mine):
            sidecar.beside(path).unlink(missing_ok=True)
            if opened := _open(mine, ref, known.etag):
                return opened
        _remove(mine)
        return None

    def _orphans(self, sha256: str) -> list[Path]:
        """What dead processes were writing, the longest first."""
        found = list[tuple[int, Path]]()
        for path in self.folder.glob(f"{sha256}.*.busy"):
            with suppress(FileNotFoundError):  # somebody was faster
                if _orphaned(path):
                    found.append((path.lstat().st_size, path))
        return [path for _, path in sorted(found, reverse=True)]

    def _offer(self, ref: Ref, path: Path, known: Sidecar) -> None:
        given_back = self.folder / f"{ref.sha256}.part"
        for _ in range(_TRIES):
            rival = self._name(ref)
            other = sidecar.read(given_back)
            if _rename(given_back, rival):
                if other and rival.lstat().st_size > path.lstat().st_size:
                    path, known, rival = rival, other, path
                _remove(rival)
            sidecar.write(given_back, known)
            if _link(path, given_back):
                break
        _remove(path)


def _create(path: Path, ref: Ref, etag: str | None = None) -> Part:
    with storage_errors(f"preparing {path}"):
        return Part(path, path.open("x+b"), ref, etag=etag)


def _open(path: Path, ref: Ref, etag: str) -> tuple[Part, bool] | None:
    """Open a claimed file if it is an ordinary one with a prefix in it."""
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | _PLAIN), "r+b")
    except OSError:  # a link or a pipe that someone put there, or a file of another user
        return None
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= ref.size_bytes:
        file.close()
        return None
    return Part(path, file, ref, etag=etag, begun_bytes=found.st_size), found.st_nlink == 1


def _rename(path: Path, to: Path) -> bool:
    """Rename, if nobody was faster."""
    try:
        path.rename(to)
    except FileNotFoundError:
        return False
    return True


def _link(path: Path, to: Path) -> bool:
    """Give `path` a second name, if nobody has that."""
    try:
        os.link(path, to)
    except FileExistsError:
        return False
    except OSError:  # FAT and some network file systems know no links: there a race may lose the longer of two
        path.replace(to)
    return True


def _remove(path: Path) -> None:
    """Remove a part and then what is known about it, so that a part without that is of a dead process. Never fails."""
    for name in (path, sidecar.beside(path)):
        with suppress(OSError):
            name.unlink()


def _orphaned(path: Path) -> bool:
    known = sidecar.read(path)
    return (known is not None and known.owner.gone) or path.lstat().st_mtime < time.time() - STALE_S


def _alive(path: Path) -> bool:
    """Whether `path`, or what it is the sidecar of, is being written by a process of this machine that lives."""
    part = path.with_name(path.name.removesuffix(".json"))
    known = sidecar.read(part) if part.suffix == ".busy" else None
    return known is not None and known.owner.machine == Owner.here().machine and not known.owner.gone

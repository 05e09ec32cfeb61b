"""The blobs on disk: a file is there whole or not at all, its name is its digest, and reading checks again.

::

    <root>/CACHEDIR.TAG                           so that backups leave the folder out
    <root>/v1/blobs/sha256/ab/<64 hex>            immutable, 0444
    <root>/v1/meta/<64 hex>.json                  what is known of a blob: see meta.py
    <root>/v1/pins/<64 hex>.<name>                what must stay
    <root>/v1/part/                               being written, or begun: see part.py
    <root>/v1/locks/<64 hex>.lock                 held while a file is fetched; saves bandwidth, nothing else
    <root>/v1/quarantine/<64 hex>.<time>.<8 hex>  blobs found damaged, with the Unix time of that

Parts lie beside the blobs, on the same file system, so that a rename publishes them in one step. Below the root a name
takes up to 130 characters; Windows without long paths has 259 for root and name together.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from firmware_cache import meta
from firmware_cache.blob import VerifiedFile, intact, storage_errors
from firmware_cache.errors import CacheStorageError, DamagedBlobError
from firmware_cache.files import replace, share, sync_folder
from firmware_cache.meta import Known, Meta
from firmware_cache.part import Part
from firmware_cache.parts import Parts
from firmware_cache.ref import Ref, Sums, check_hex
from firmware_cache.trust import check_folder, make_folder, open_blob

LAYOUT = "v1"  # bump when the layout above changes; folders of other layouts are left alone
TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# See https://bford.info/cachedir/\n"  # that page's signature
_SHA256 = re.compile("[0-9a-f]{64}")

_log = logging.getLogger(__name__)


def default_root() -> Path:
    """The folder for caches that the system has for this user, and ours in it."""
    return Path(platformdirs.user_cache_dir("firmware-cache"))


class Store:
    """The folder. Nothing is made in it before the first part; every method blocks on the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout = root / LAYOUT
        self.quarantine = self.layout / "quarantine"
        self.parts = Parts(self.layout / "part")
        self.locks = self.layout / "locks"

    def path(self, sha256: str) -> Path:
        """Where the blob is, or would be.

        Raises:
            ValueError: That is no SHA-256.
        """
        check_hex("sha256", sha256)
        return self.layout / "blobs" / "sha256" / sha256[:2] / sha256

    def meta(self, sha256: str) -> Path:
        """Where the blob's metadata is, or would be."""
        return self.layout / "meta" / f"{sha256}.json"

    def find(self, sha256: str, ref: Ref | None = None, *, used: bool = True) -> VerifiedFile | None:
        """Give the blob if it is here and intact; a damaged one goes to quarantine and counts as absent.

        Args:
            sha256: Which.
            ref: What it must be besides.
            used: Whether this is a use of it, which keeps it from being removed for a while.

        Raises:
            ContentError: It is the blob, but `ref` asks for another size, or for another digest besides.
            CacheStorageError: The cache cannot be read or is open to others, or a damaged blob cannot be moved.
        """
        path = self.path(sha256)
        self._check(path.parent)
        sums = Sums(ref.digests if ref else ())
        try:
            file = intact(path, sha256, self.quarantine, sums)
        except DamagedBlobError as error:
            _log.warning("%s; it went to quarantine", error)
            return None
        if file is None:
            return None
        with file:
            if ref:
                ref.check(sums)
            if used:
                self._use(sha256, sums.size_bytes)
        return VerifiedFile(path, sums.size_bytes, sha256, cached=True, _quarantine=self.quarantine)

    @contextmanager
    def part(self, ref: Ref) -> Generator[Part, None, None]:
        """Open a new part for the file `ref`; at the end of the block it is gone, unless `publish` took it.

        Raises:
            CacheStorageError: Less space is free than the file needs, or the folder cannot be written.
        """
        self.prepare(ref.size_bytes)
        with self.parts.scratch(ref) as part:
            yield part

    def publish(self, part: Part, known: Iterable[Known] = ()) -> VerifiedFile:
        """Give a full part its final name. A crash leaves either the whole blob or none.

        Args:
            part: Every byte of it was written.
            known: Names and versions that it goes by.

        Raises:
            ContentError: Its size, or a digest, is not what was asked for.
            CacheStorageError: The disk says no.
        """
        part.ref.check(part.sums)
        sha256 = part.sums.hex("sha256")
        final = self.path(sha256)
        with storage_errors(f"keeping {final}"):
            part.settle()
            self._folder("blobs", "sha256", sha256[:2])
            try:
                replace(part.path, final)
            except PermissionError:
                # Windows, and who reads the same content does not let go of it: that is as good as ours.
                if (there := self.find(sha256)) is None:
                    raise
                return there
            sync_folder(final.parent)
        self.note(sha256, part.sums.size_bytes, known, part.source)
        return VerifiedFile(final, part.sums.size_bytes, sha256, cached=False, _quarantine=self.quarantine)

    def note(self, sha256: str, size_bytes: int, known: Iterable[Known] = (), source: str = "") -> None:
        """Note that the blob was asked for, and what it is known by. Never fails: nothing depends on it."""
        try:
            path = self._folder("meta") / f"{sha256}.json"
            before = meta.read(path) or Meta(size_bytes, time.time())
            meta.write(path, before.known(known, source))
        except (OSError, CacheStorageError) as error:
            _log.debug("the metadata of %s cannot be written: %s", sha256, error)

    def _use(self, sha256: str, size_bytes: int) -> None:
        if not meta.touch(self.meta(sha256)):
            self.note(sha256, size_bytes)

    def digests(self) -> Iterator[str]:
        """Every blob that has a name here, sorted; whether it is intact nobody knows yet. Raises `OSError`."""
        top = self.layout / "blobs" / "sha256"
        for folder in sorted(f for f in top.iterdir() if f.is_dir()) if top.is_dir() else ():
            self._check(folder)
            names = sorted(p.name for p in folder.iterdir())
            yield from (n for n in names if _SHA256.fullmatch(n) and n[:2] == folder.name)

    # ---------------------------------------------------------------- pins

    def pin(self, sha256: str, name: str) -> bool:
        """Keep the blob from being removed, until `unpin` with the same name; whether it is here.

        Raises:
            ValueError: That is no SHA-256, or no name for a pin.
            CacheStorageError: The disk says no.
        """
        path = self.path(sha256)
        meta.check_pin(name)
        with storage_errors(f"pinning {sha256}"):
            meta.pin(self._folder("pins"), sha256, name)
            try:
                file = open_blob(path)
            except DamagedBlobError:
                return False
            if file is None:
                return False
            with file:
                share(file)  # whoever looked for pins before ours was there has removed it by now, or has not
                return path.exists()

    def unpin(self, sha256: str, name: str) -> bool:
        """Take a pin away; whether there was one.

        Raises:
            ValueError: That is no SHA-256, or no name for a pin.
            CacheStorageError: The disk says no.
        """
        check_hex("sha256", sha256)
        meta.check_pin(name)
        with storage_errors(f"unpinning {sha256}"):
            return meta.unpin(self.layout / "pins", sha256, name)

    def pins(self) -> dict[str, tuple[str, ...]]:
        """Digest to the names it is pinned for, sorted. Raises `OSError`."""
        return meta.pins(self.layout / "pins")

    # ---------------------------------------------------------------- folders

    def prepare(self, size_bytes: int) -> None:
        """Make the folder, and see that a file of `size_bytes` has room in it.

        Raises:
            CacheStorageError: It has not, or the folder cannot be written, or is open to others.
        """
        with storage_errors(f"preparing {self.root}"):
            for folder in (self.parts.folder, self.locks):
                self._folder(folder.name)
            tag = self.root / "CACHEDIR.TAG"
            if not tag.exists():
                tag.write_bytes(TAG)
            free = shutil.disk_usage(self.layout).free
        if free < size_bytes:
            msg = f"{self.root} has {free} bytes free where the file needs {size_bytes}"
            raise CacheStorageError(msg)

    def _folder(self, *names: str) -> Path:
        return make_folder(self.root, LAYOUT, *names)

    def _check(self, inner: Path) -> None:
        """Refuse to read from a folder in which others could put files: from `inner` up to the root."""
        with storage_errors(f"reading {self.root}"):
            check_folder(self.root, link=True)
            while inner != self.root:
                check_folder(inner)
                inner = inner.parent

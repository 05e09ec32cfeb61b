"""The cache as a caller meets it: fetch, add, find."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import httpx

from firmware_cache.blob import CHUNK_BYTES, VerifiedFile, storage_errors, sum_up
from firmware_cache.bundle import Imported, export, import_
from firmware_cache.fetching import Fetching, Notice
from firmware_cache.garbage import DAY_S, Pruned, prune
from firmware_cache.getting import Progress
from firmware_cache.limits import DEFAULTS, Limits
from firmware_cache.listing import Entry, Verified, entries, verify
from firmware_cache.meta import Known
from firmware_cache.mirrors import Mirror
from firmware_cache.push import Pushed, push
from firmware_cache.ref import Ref, Sums
from firmware_cache.store import Store, default_root


class FirmwareCache:
    """Firmware files by their digest, in one folder that any number of processes may share.

    ::

        cache = FirmwareCache(Path("~/.cache/firmware").expanduser())
        file = await cache.fetch(Ref(262_144, sha256="6d0c…"), "https://cdn.example.com/fw.bin")
        content = file.read()
    """

    def __init__(self, root: Path | None = None, mirrors: Sequence[Mirror] = ()) -> None:
        """Args: `root` is made when something is kept; `mirrors` are asked in order before a file's own address.

        Without `root` it is `default_root()`.
        """
        self._store = Store(root or default_root())
        self._mirrors = tuple(mirrors)

    async def fetch(
        self,
        ref: Ref,
        url: str,
        *,
        client: httpx.AsyncClient | None = None,
        progress: Progress | None = None,
        notice: Notice | None = None,
        limits: Limits = DEFAULTS,
        offline: bool = False,
    ) -> VerifiedFile:
        """Give the file `ref`: from the cache, without a word to the network, else from a mirror or from `url`.

        What another process, or an earlier one that was killed, has begun is gone on with, if the server says that it
        has the same file still; from another address too. While another process fetches the file this one waits.
        A reference without SHA-256 cannot be looked up and is fetched every time, from its first byte.

        Args:
            ref: What the file must be.
            url: Where it is; https, or plain http on this machine. May be signed: it is shown nowhere.
            client: Carries the requests; it stays open. Its headers, cookies and login are not sent along.
            progress: Told (bytes here, bytes in all) as they come; back to 0 where a download starts over.
            notice: Told in a sentence that another process is waited for, or that a mirror is skipped.
            limits: Speed, time and attempts.
            offline: Ask folders alone, and no network.

        Raises:
            LinkExpiredError: The address is no longer good for this; what came is kept for another one.
            DownloadError: The file could not be had.
            OfflineError: It is not here, and `offline` was asked for.
            ContentError: What came is not `ref`; nothing of it was kept.
            CacheStorageError: The cache cannot be read or written, or the disk is full.
        """
        told, said = progress or _nobody, notice or _silence
        return await Fetching(ref, url, self._store, self._mirrors, limits, told, said, client, offline).run()

    def add(self, source: Path | bytes, ref: Ref | None = None, *, known: Known | None = None) -> VerifiedFile:
        """Keep a local file, or bytes; compare with `ref` where one is given. Blocks on the disk.

        Args:
            source: The file, or its content.
            ref: What it must be.
            known: A name and a version that it goes by.

        Raises:
            ContentError: It is not `ref`, or changed while it was copied.
            CacheStorageError: The file cannot be read, the cache cannot be written, or the disk is full.
        """
        name = source if isinstance(source, Path) else f"{len(source)} bytes"
        with storage_errors(f"reading {name}"), _open(source) as file:
            sums = Sums(ref.digests if ref else ())
            sum_up(file, sums)
            if ref:
                ref.check(sums)
            exact = ref or Ref(sums.size_bytes, sha256=sums.hex("sha256"))
            file.seek(0)
            kept = self._store.find(sums.hex("sha256")) or self._copy(file, exact)
        if known:
            self._store.note(kept.sha256, kept.size_bytes, [known])
        return kept

    def find(self, sha256: str) -> VerifiedFile | None:
        """Give the blob if it is here and intact; a damaged one goes to quarantine. Blocks on the disk.

        Raises:
            ValueError: That is no SHA-256 in lower-case hexadecimal.
            CacheStorageError: The cache cannot be read, or a damaged blob cannot be moved.
        """
        return self._store.find(sha256)

    # ---------------------------------------------------------------- what is here; all of it blocks on the disk

    @property
    def root(self) -> Path:
        """The folder."""
        return self._store.root

    def entries(self) -> tuple[Entry, ...]:
        """Every blob by digest, with what is known of it; unread, so that a damaged one is among them.

        Raises:
            CacheStorageError: The cache cannot be read, or is open to others.
        """
        return entries(self._store)

    def name(self, file: VerifiedFile, known: Known) -> None:
        """Note a name and a version that `file` goes by. Never fails: nothing depends on it."""
        self._store.note(file.sha256, file.size_bytes, [known])

    def pin(self, sha256: str, name: str = "user") -> bool:
        """Keep a blob from being removed until `unpin` by the same name; whether it is here.

        One that is not here is kept once it comes. Pins by several names each hold.

        Raises:
            ValueError: That is no SHA-256, or the name is not 1 to 64 letters, digits, - or _.
            CacheStorageError: The disk says no.
        """
        return self._store.pin(sha256, name)

    def unpin(self, sha256: str, name: str = "user") -> bool:
        """Take a pin away; whether there was one.

        Raises:
            ValueError: That is no SHA-256, or the name is not 1 to 64 letters, digits, - or _.
            CacheStorageError: The disk says no.
        """
        return self._store.unpin(sha256, name)

    def pins(self) -> dict[str, tuple[str, ...]]:
        """Digest to the names it is pinned by, sorted; also of what is not here.

        Raises:
            CacheStorageError: The cache cannot be read.
        """
        with storage_errors(f"reading {self.root}"):
            return self._store.pins()

    def verify(self, digests: Iterable[str] | None = None) -> Verified:
        """Read every blob, or those of `digests`; a damaged one goes to quarantine.

        Raises:
            ValueError: One of `digests` is no SHA-256.
            NotCachedError: One of `digests` is not here; those before it were checked.
            CacheStorageError: The cache cannot be read, or a damaged blob cannot be moved.
        """
        return verify(self._store, digests)

    def prune(self, max_bytes: int, min_age_s: float = DAY_S, *, dry_run: bool = False) -> Pruned:
        """Remove the least recently used blobs until all take at most `max_bytes`, and what was left behind.

        What is pinned, open in any process, or was used within `min_age_s` seconds stays, even beyond the budget.

        Args:
            max_bytes: The budget, for blobs alone.
            min_age_s: Seconds since its last use below which a blob stays.
            dry_run: Remove nothing, and say what would go.

        Raises:
            ValueError: One of the numbers is negative.
            CacheStorageError: The cache cannot be read, or something cannot be removed.
        """
        return prune(self._store, max_bytes, min_age_s, dry_run=dry_run)

    # ---------------------------------------------------------------- to where there is no network

    def push(self, folder: Path, digests: Iterable[str] | None = None) -> Pushed:
        """Fill the mirror `folder` with every blob, or those of `digests`; what is there and intact is left alone.

        Raises:
            ValueError: One of `digests` is no SHA-256.
            NotCachedError: One of `digests` is not here.
            DamagedBlobError: One is damaged, and is in quarantine now. Those before it are in the mirror.
            CacheStorageError: A blob cannot be read, or the mirror cannot be written.
        """
        return push(self._store, folder, digests)

    def export(self, path: Path, digests: Iterable[str] | None = None, *, replace: bool = False) -> tuple[Entry, ...]:
        """Write every blob, or those of `digests`, into one tar that takes the name `path` when it is whole.

        A file or a link of that name is replaced with `replace` alone; what a link leads to is left as it is.

        Raises:
            TargetExistsError: There is one and `replace` is False, or it is neither file nor link.
            ValueError: One of `digests` is no SHA-256.
            NotCachedError: One of `digests` is not here.
            ContentError: They are more than a bundle holds, see `bundle.Caps`.
            DamagedBlobError: One is damaged, and is in quarantine now. No bundle was written.
            CacheStorageError: A blob cannot be read, or the bundle cannot be written.
        """
        return export(self._store, path, digests, replace=replace)

    def import_(self, path: Path) -> Imported:
        """Take in the blobs of a bundle, each held against its digest; damaged ones are named and not kept.

        Raises:
            ContentError: This is no bundle as `export` writes it. Nothing of it was kept.
            CacheStorageError: The bundle cannot be read, or the cache cannot be written; what came before was kept.
        """
        return import_(self._store, path)

    def _copy(self, file: BinaryIO, ref: Ref) -> VerifiedFile:
        with self._store.part(ref) as part:
            for chunk in iter(partial(file.read, CHUNK_BYTES), b""):
                part.write(chunk)
            return self._store.publish(part)


def _open(source: Path | bytes) -> BinaryIO:
    return source.open("rb") if isinstance(source, Path) else BytesIO(source)


def _nobody(_done: int, _total: int) -> None:
    """A `Progress` where nobody listens."""


def _silence(_sentence: str) -> None:
    """A `Notice` where nobody listens."""

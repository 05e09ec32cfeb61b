"""The doors of the main path to firmware: downloads through the cache, and the check of what they bring."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import firmware_cache
from ble_ota import images
from ble_ota.cli.shelf import bring
from ble_ota.content import Content, Hasher
from ble_ota.errors import CloudUnreachableError, StorageError, TrustError
from ble_ota.events import (
    DownloadDone,
    DownloadProgress,
    DownloadStarted,
    Emit,
    ImageVerified,
    Warned,
)
from ble_ota.image_file import content_of
from ble_ota.model import Algorithm, Component, DeviceInfo, PlannedFile, VerifiedImage
from ble_ota.settings import Settings
from ble_ota.update import Fetch, FetchPlanOf

Again: TypeAlias = Callable[[Component, PlannedFile], Awaitable[PlannedFile | None]]
"""Asks for the plan again, for a fresh address of the same file; None where it is no longer in the plan."""


def fetcher(
    settings: Settings, emit: Emit, files: ExitStack, *, offline: bool = False, again: Again | None = None
) -> Fetch:
    """Downloads through the cache; what is hashed is what is sent, from the same open file.

    Args:
        settings: Where the cache and its mirrors are, and how slow a download may be.
        emit: Hears how it goes.
        files: Keeps the files of the cache open until they are sent; the caller closes it.
        offline: Take the file from the cache, or a folder that mirrors it, and from nowhere else.
        again: What to do about a link that has expired; None leaves it at that.
    """
    cache = firmware_cache.FirmwareCache(settings.cache_dir, mirrors=[_mirror(place) for place in settings.mirrors])
    limits = firmware_cache.Limits(window_s=settings.download_window_s, allow_hosts=frozenset(settings.download_hosts))

    async def fetch(component: Component, file: PlannedFile) -> VerifiedImage:
        emit(DownloadStarted(component.no, file.size_bytes))

        def progress(done: int, total: int) -> None:
            emit(DownloadProgress(component.no, done, total))

        def notice(sentence: str) -> None:
            emit(Warned(sentence))

        async def from_(url: str) -> firmware_cache.VerifiedFile:
            return await cache.fetch(_ref(file), url, progress=progress, notice=notice, limits=limits, offline=offline)

        with cache_errors():
            try:
                found = await from_(file.url)
            except firmware_cache.LinkExpiredError:
                fresh = await again(component, file) if again else None
                if fresh is None:
                    raise
                found = await from_(fresh.url)
            emit(DownloadDone(component.no, found.size_bytes, found.sha256, found.cached))
            content = await asyncio.to_thread(_held, found, files)
            await asyncio.to_thread(cache.name, found, firmware_cache.Known(file.name, component.target_version))
        return verify(component, file, content, emit)

    return fetch


def _held(found: firmware_cache.VerifiedFile, files: ExitStack) -> Content:
    """Open a file of the cache and sum it up, in one pass. Blocks on the disk; raises the cache's errors."""
    hasher = Hasher()
    file = files.enter_context(found.open(into=hasher.update))
    return content_of(file, hasher.summary(), str(found.path))


def relinked(fetch_plan: FetchPlanOf, device: DeviceInfo) -> Again:
    """Finds a file again in the plan of `device` as it is now: the one of the same size and digests."""

    async def again(component: Component, file: PlannedFile) -> PlannedFile | None:
        fetched = await fetch_plan(device)
        here = [f for c in (fetched.components if fetched else ()) if c.no == component.no for f in c.files]
        return next((f for f in here if (f.size_bytes, f.digests) == (file.size_bytes, file.digests)), None)

    return again


def _mirror(place: str) -> firmware_cache.Mirror:
    """A folder, or the address of a web server over one."""
    if place.startswith(("https://", "http://")):
        return firmware_cache.HttpMirror(place)
    return firmware_cache.FolderMirror(Path(place).expanduser())


def verify(component: Component, file: PlannedFile, content: Content, emit: Emit) -> VerifiedImage:
    """Check `content` against the plan. Raises `TrustError`."""
    image = VerifiedImage.of(file, content)
    emit(ImageVerified(component.no, image.size_bytes, image.sha256, images.describe(content.summary).format))
    return image


def _ref(file: PlannedFile) -> firmware_cache.Ref:
    digests = {d.algorithm: d.hex for d in file.digests}
    return firmware_cache.Ref(
        file.size_bytes,
        sha256=digests.get(Algorithm.SHA256),
        md5=digests.get(Algorithm.MD5),
        crc32=digests.get(Algorithm.CRC32),
    )


@contextmanager
def cache_errors() -> Generator[None, None, None]:
    """The cache's errors as ours."""
    try:
        yield
    except firmware_cache.DownloadError as error:
        raise CloudUnreachableError(str(error), hint=error.hint) from error
    except firmware_cache.OfflineError as error:
        raise StorageError(str(error), hint=bring(error.sha256) if error.sha256 else error.hint) from error
    except (firmware_cache.ContentError, firmware_cache.DamagedBlobError) as error:
        raise TrustError(str(error), hint=error.hint) from error
    except firmware_cache.CacheStorageError as error:
        raise StorageError(str(error), hint=error.hint) from error

"""The doors of the main path to firmware: downloads through the cache, and the check of what they bring."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import firmware_cache
from ble_ota import images
from ble_ota.errors import CloudUnreachableError, StorageError, TrustError
from ble_ota.events import (
    DownloadDone,
    DownloadProgress,
    DownloadStarted,
    Emit,
    ImageVerified,
)
from ble_ota.model import Algorithm, Component, PlannedFile, VerifiedImage
from ble_ota.settings import Settings
from ble_ota.update import Fetch


def fetcher(settings: Settings, emit: Emit) -> Fetch:
    """Downloads through the cache; the bytes that are hashed are the bytes that are sent."""
    cache = firmware_cache.FirmwareCache(settings.cache_dir)
    limits = firmware_cache.Limits(window_s=settings.download_window_s)

    async def fetch(component: Component, file: PlannedFile) -> VerifiedImage:
        emit(DownloadStarted(component.no, file.size_bytes))

        def progress(done: int, total: int) -> None:
            emit(DownloadProgress(component.no, done, total))

        with cache_errors():
            found = await cache.fetch(_ref(file), file.url, progress=progress, limits=limits)
            emit(DownloadDone(component.no, found.size_bytes, found.sha256, found.cached))
            content = await asyncio.to_thread(found.read)
        return await verify(component, file, content, emit)

    return fetch


async def verify(component: Component, file: PlannedFile, content: bytes, emit: Emit) -> VerifiedImage:
    """Check `content` against the plan. Raises `TrustError`."""
    image = await asyncio.to_thread(VerifiedImage.check, file, content)
    emit(ImageVerified(component.no, len(content), image.sha256, images.describe(content).format))
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
    except (firmware_cache.ContentError, firmware_cache.DamagedBlobError) as error:
        raise TrustError(str(error), hint=error.hint) from error
    except firmware_cache.CacheStorageError as error:
        raise StorageError(str(error), hint=error.hint) from error

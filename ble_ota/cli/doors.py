"""The doors of the main path: reports to the Developer Center, downloads through the cache."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import firmware_cache
from ble_ota import images
from ble_ota.cloud import DeveloperCenter, Reported
from ble_ota.errors import CloudError, CloudUnreachableError, SettingsError, StorageError, TrustError
from ble_ota.events import (
    ConfirmReported,
    DownloadDone,
    DownloadProgress,
    DownloadStarted,
    Emit,
    ImageVerified,
    ReportKept,
    StatusReported,
)
from ble_ota.model import Algorithm, Component, PlannedFile, VerifiedImage
from ble_ota.settings import Settings
from ble_ota.target import Target
from ble_ota.update import Fetch, Report


def reporter(center: DeveloperCenter, target: Target, emit: Emit) -> Report:
    """Reports to the Developer Center: a confirmation arrives or raises, the others are told when they do not."""

    async def report(component: Component, outcome: Reported) -> None:
        send = center.report(target.product_key, target.device_key, component.no, outcome)
        if outcome == "confirmed":
            emit(ConfirmReported(component.no, await send))
            return
        try:
            status = await send
        except (CloudError, SettingsError) as error:
            hint = f" ({error.hint})" if error.hint else ""
            emit(ReportKept(component.no, outcome, f"{error}{hint}"))
        else:
            emit(StatusReported(component.no, outcome, status))

    return report


def fetcher(settings: Settings, emit: Emit) -> Fetch:
    """Downloads through the cache; the bytes that are hashed are the bytes that are sent."""
    cache = firmware_cache.FirmwareCache(settings.cache_dir)

    async def fetch(component: Component, file: PlannedFile) -> VerifiedImage:
        emit(DownloadStarted(component.no, file.size_bytes))

        def progress(done: int, total: int) -> None:
            emit(DownloadProgress(component.no, done, total))

        with cache_errors():
            found = await cache.fetch(_ref(file), file.url, progress=progress)
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

"""Firmware files by their digest: fetched once, checked on the way in and again on every read.

A library of its own; `FirmwareCache` is the way in, `FirmwareCacheError` the root of what it raises on purpose.
"""

from __future__ import annotations

from firmware_cache.blob import VerifiedFile
from firmware_cache.cache import FirmwareCache
from firmware_cache.download import Progress
from firmware_cache.errors import (
    CacheStorageError,
    ContentError,
    DamagedBlobError,
    DownloadError,
    FirmwareCacheError,
)
from firmware_cache.limits import Limits
from firmware_cache.ref import Ref

__all__ = [
    "CacheStorageError",
    "ContentError",
    "DamagedBlobError",
    "DownloadError",
    "FirmwareCache",
    "FirmwareCacheError",
    "Limits",
    "Progress",
    "Ref",
    "VerifiedFile",
]

"""Firmware files by their digest: fetched once, checked on the way in and again on every read.

A library of its own; `FirmwareCache` is the way in, `FirmwareCacheError` the root of what it raises on purpose.
"""

from __future__ import annotations

from firmware_cache.blob import VerifiedFile
from firmware_cache.bundle import Imported
from firmware_cache.cache import FirmwareCache
from firmware_cache.errors import (
    CacheStorageError,
    ContentError,
    DamagedBlobError,
    DownloadError,
    FirmwareCacheError,
    LinkExpiredError,
    NotCachedError,
    OfflineError,
    TargetExistsError,
)
from firmware_cache.fetching import Notice
from firmware_cache.garbage import Pruned
from firmware_cache.getting import Progress
from firmware_cache.limits import Limits
from firmware_cache.listing import Entry, Verified
from firmware_cache.meta import Known
from firmware_cache.mirrors import FolderMirror, HttpMirror, Mirror
from firmware_cache.push import Pushed
from firmware_cache.ref import Ref
from firmware_cache.store import default_root

__all__ = [
    "CacheStorageError",
    "ContentError",
    "DamagedBlobError",
    "DownloadError",
    "Entry",
    "FirmwareCache",
    "FirmwareCacheError",
    "FolderMirror",
    "HttpMirror",
    "Imported",
    "Known",
    "Limits",
    "LinkExpiredError",
    "Mirror",
    "NotCachedError",
    "Notice",
    "OfflineError",
    "Progress",
    "Pruned",
    "Pushed",
    "Ref",
    "TargetExistsError",
    "Verified",
    "VerifiedFile",
    "default_root",
]

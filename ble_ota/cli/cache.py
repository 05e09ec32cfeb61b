"""`ble-ota cache`: the firmware files on this machine, and their way to machines with no network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from ble_ota.cli import shelf
from ble_ota.cli.common import Common
from ble_ota.cli.doors import cache_errors
from ble_ota.cli.render import size
from ble_ota.errors import TrustError, UsageError
from ble_ota.settings import Settings
from firmware_cache import FirmwareCache, Known, NotCachedError, TargetExistsError

SHORTEST = 6  # digits of a digest that a person must type
HEX = frozenset("0123456789abcdef")
SEE = "`ble-ota cache ls` shows what is here"


async def ls(common: Common, settings: Settings) -> int:
    """Run `ble-ota cache ls`: a line for each file, the latest used first."""
    with _errors():
        found = await asyncio.to_thread(_cache(settings).entries)
    found = tuple(sorted(found, key=lambda e: (-e.last_used_s, e.sha256)))
    total = sum(e.size_bytes for e in found)
    data = {"folder": str(settings.cache_dir), "total_bytes": total, "files": [shelf.data(e) for e in found]}
    common.result(data, shelf.table(found, time.time()) or "The cache is empty")
    return 0


async def path(common: Common, settings: Settings, which: str | None) -> int:
    """Run `ble-ota cache path`: the folder, or a file that was just seen to be intact.

    Raises:
        UsageError: There is no such file, or several begin so.
        TrustError: It is damaged, and is in quarantine now.
    """
    if which is None:
        common.result({"path": str(settings.cache_dir)}, str(settings.cache_dir))
        return 0
    cache = _cache(settings)
    with _errors():
        sha256 = await asyncio.to_thread(lambda: _one(_here(cache), which))
        found = await asyncio.to_thread(cache.find, sha256)
    if found is None:
        msg = f"{sha256} is damaged, and went to quarantine"
        raise TrustError(msg, hint=shelf.bring(sha256))
    common.result({"path": str(found.path), "sha256": sha256, "size_bytes": found.size_bytes}, str(found.path))
    return 0


async def add(common: Common, settings: Settings, file: Path, known: Known) -> int:
    """Run `ble-ota cache add`: keep a copy of a local file; it goes by its own name where none is given.

    Raises:
        UsageError: There is no such file.
        StorageError: It cannot be read, or kept.
    """
    if not await asyncio.to_thread(file.is_file):
        msg = f"{file} is no file"
        raise UsageError(msg)
    named = Known(known.name or file.name, known.version)
    with _errors():
        kept = await asyncio.to_thread(lambda: _cache(settings).add(file, known=named))
    data = {"sha256": kept.sha256, "size_bytes": kept.size_bytes, "path": str(kept.path), "present": kept.cached}
    common.result(data, f"{kept.sha256}  {size(kept.size_bytes)}{'  was here already' if kept.cached else ''}")
    return 0


async def verify(common: Common, settings: Settings, which: Sequence[str]) -> int:
    """Run `ble-ota cache verify`: read all files, or some; exit 21 where one is damaged.

    Raises:
        UsageError: There is no such file, or several begin so.
    """
    cache = _cache(settings)
    with _errors():
        found = await asyncio.to_thread(lambda: cache.verify(_some(cache, which)))
    lines = [f"{d} is damaged, and went to quarantine" for d in found.damaged]
    common.result({"intact": found.intact, "damaged": found.damaged}, shelf.lines(lines, found.intact, "is intact"))
    return 21 if found.damaged else 0


async def prune(common: Common, settings: Settings, max_bytes: int, min_age_s: float, *, dry_run: bool) -> int:
    """Run `ble-ota cache prune`: make room, the least recently used first."""
    with _errors():
        found = await asyncio.to_thread(lambda: _cache(settings).prune(max_bytes, min_age_s, dry_run=dry_run))
    data = {
        "dry_run": dry_run,
        "removed": [shelf.data(e) for e in found.removed],
        "spared": found.spared,
        "freed_bytes": found.freed_bytes,
        "left_bytes": found.left_bytes,
    }
    word = "would go" if dry_run else "went"
    lines = [f"{e.sha256[: shelf.SHOWN]}  {size(e.size_bytes)}  {shelf.names(e)}  {word}" for e in found.removed]
    lines += [f"{digest[: shelf.SHOWN]} stays: {why}" for digest, why in found.spared.items()]
    lines.append(f"{size(found.freed_bytes)} {word}, {size(found.left_bytes)} of firmware {'would ' * dry_run}stay")
    common.result(data, "\n".join(lines))
    return 0


async def pin(common: Common, settings: Settings, which: str, name: str) -> int:
    """Run `ble-ota cache pin`: keep a file, here or to come, from being removed.

    Raises:
        UsageError: There is no such file, several begin so, or the name cannot be a pin's.
    """
    cache = _cache(settings)
    with _errors():
        sha256 = await asyncio.to_thread(lambda: which if _is_digest(which) else _one(_here(cache), which))
        here = await asyncio.to_thread(cache.pin, sha256, name)
    text = f"{sha256} is pinned by {name}" + ("" if here else "; it is not here, and will stay once it comes")
    common.result({"sha256": sha256, "name": name, "present": here}, text)
    return 0


async def unpin(common: Common, settings: Settings, which: str, name: str) -> int:
    """Run `ble-ota cache unpin`: let a file be removed again, unless another name pins it.

    Raises:
        UsageError: Nothing of that name and digest is pinned, or several begin so.
    """
    cache = _cache(settings)
    with _errors():
        pinned = await asyncio.to_thread(cache.pins)
        sha256 = _one((d for d, names in pinned.items() if name in names), which, f"pinned by {name}")
        await asyncio.to_thread(cache.unpin, sha256, name)
    common.result({"sha256": sha256, "name": name}, f"{sha256} is no longer pinned by {name}")
    return 0


async def push(common: Common, settings: Settings, folder: Path, which: Sequence[str]) -> int:
    """Run `ble-ota cache push`: fill a mirror with all files, or some.

    Raises:
        UsageError: There is no such file, or several begin so.
        TrustError: One is damaged, and is in quarantine now.
    """
    cache = _cache(settings)
    with _errors():
        found = await asyncio.to_thread(lambda: cache.push(folder, _some(cache, which)))
    data = {"folder": str(folder), "copied": found.copied, "present": found.present}
    common.result(data, shelf.lines([f"{d} was copied" for d in found.copied], found.present, "was there already"))
    return 0


async def export(common: Common, settings: Settings, file: Path, which: Sequence[str], *, force: bool = False) -> int:
    """Run `ble-ota cache export`: all files, or some, as one tar; with `force` in the place of an older one.

    Raises:
        UsageError: There is no such file, or several begin so; or `file` exists and may not be replaced.
        TrustError: One is damaged, and is in quarantine now.
    """
    cache = _cache(settings)
    with _errors(), _not_over_another():
        found = await asyncio.to_thread(lambda: cache.export(file, _some(cache, which), replace=force))
    lines = [*(f"{e.sha256}  {shelf.names(e)}" for e in found), f"{shelf.count(found)} in {file}"]
    common.result({"bundle": str(file), "files": [shelf.data(e) for e in found]}, "\n".join(lines))
    return 0


async def import_(common: Common, settings: Settings, file: Path) -> int:
    """Run `ble-ota cache import`: what a bundle holds; exit 21 where some of it is damaged or lacking.

    Raises:
        TrustError: It is no bundle, or one that somebody else made.
    """
    with _errors():
        found = await asyncio.to_thread(_cache(settings).import_, file)
    lines = [f"{d} came" for d in found.added]
    lines += [f"{d} is damaged in the bundle, and was not taken" for d in found.damaged]
    lines += [f"{d} is named by the bundle, and is not in it" for d in found.missing]
    common.result(asdict(found), shelf.lines(lines, found.present, "was here already"))
    return 21 if found.damaged or found.missing else 0


@contextmanager
def _not_over_another() -> Generator[None, None, None]:
    """Raise `UsageError` for a bundle that would replace a file."""
    try:
        yield
    except TargetExistsError as error:
        flag = ", or pass `--force` to replace this one" if error.replaceable else ""
        raise UsageError(str(error), hint=f"{error.hint}{flag}") from error


# ---------------------------------------------------------------- which


def _cache(settings: Settings) -> FirmwareCache:
    return FirmwareCache(settings.cache_dir)


def _here(cache: FirmwareCache) -> list[str]:
    return [e.sha256 for e in cache.entries()]


def _some(cache: FirmwareCache, which: Sequence[str]) -> list[str] | None:
    """The digests that are meant; None for all."""
    if not which:
        return None
    here = _here(cache)
    return list(dict.fromkeys(_one(here, w) for w in which))


def _one(digests: Iterable[str], which: str, there: str = "here") -> str:
    """The digest that begins so.

    Raises:
        UsageError: None does, several do, or `which` cannot be the beginning of one.
    """
    start = which.lower().removeprefix("sha256:")
    if len(start) < SHORTEST or not HEX.issuperset(start):
        msg = "a file is named by its SHA-256, or by the first six or more digits of that"
        raise UsageError(msg, hint=SEE)
    found = [d for d in digests if d.startswith(start)]
    if len(found) != 1:
        msg = f"no file {start} is {there}" if not found else f"{len(found)} files that begin with {start} are {there}"
        raise UsageError(msg, hint=SEE)
    return found[0]


def _is_digest(which: str) -> bool:
    return len(which) == 64 and HEX.issuperset(which)


@contextmanager
def _errors() -> Generator[None, None, None]:
    """The cache's errors as ours."""
    try:
        with cache_errors():
            yield
    except NotCachedError as error:  # it was there a moment ago
        raise UsageError(str(error), hint=shelf.bring(error.sha256)) from error
    except ValueError as error:  # a name for a pin
        raise UsageError(str(error)) from error

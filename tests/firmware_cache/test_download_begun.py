from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from firmware_cache import (
    CacheStorageError,
    FirmwareCache,
)
from firmware_cache.owner import Owner
from firmware_cache.part import Part
from tests.firmware_cache.conftest import QUICK, REF, begin, blobs, orphan, parts, refused
from tests.firmware_cache.origin import (
    CONTENT,
    ETAG,
    Origin,
    answer,
    ranged,
    then_silence,
)

HALF = len(CONTENT) // 2


# ---------------------------------------------------------------- stop


async def stopped(cache: FirmwareCache, url: str) -> None:
    """Cancel a fetch as soon as the first bytes are here."""
    begun = asyncio.Event()

    def progress(done: int, _total: int) -> None:
        if done:
            begun.set()

    task = asyncio.create_task(cache.fetch(REF, url, progress=progress))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stop_in_mid_body_leaves_no_part_without_etag(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    await stopped(cache, origin.serve(then_silence(CONTENT[:HALF])))
    assert (blobs(root), parts(root)) == ([], [])


async def test_a_stop_in_mid_body_is_gone_on_with(cache: FirmwareCache, origin: Origin) -> None:
    url = origin.serve(then_silence(CONTENT[:HALF], f"ETag: {ETAG}"), ranged())
    await stopped(cache, url)
    assert (await cache.fetch(REF, url, limits=QUICK)).read() == CONTENT
    assert (origin.starts[0], len(origin.starts), (origin.starts[1] or 0) > 0) == (None, 2, True)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_stop_in_the_middle_of_what_was_begun_leaves_it_whole(
    cache: FirmwareCache, origin: Origin, root: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    part, begun, real = begin(root, CONTENT[:HALF]), asyncio.Event(), Part.recall
    if killed:
        orphan(part)

    def recall(this: Part, into: Part | None = None) -> Generator[None, None, None]:
        for step in real(this, into):
            begun.set()
            yield step

    monkeypatch.setattr("firmware_cache.part.CHUNK_BYTES", 1000)
    monkeypatch.setattr(Part, "recall", recall)
    task = asyncio.create_task(cache.fetch(REF, origin.serve(ranged())))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (origin.requests, part.read_bytes() == CONTENT[:HALF], len(parts(root))) == ([], True, 2)


async def test_a_stop_while_the_file_gets_its_name_waits_for_that(
    cache: FirmwareCache, origin: Origin, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, syncing, stop, real = asyncio.get_running_loop(), asyncio.Event(), threading.Event(), os.fsync

    def fsync(descriptor: int) -> None:
        loop.call_soon_threadsafe(syncing.set)
        stop.wait(10)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    task = asyncio.create_task(cache.fetch(REF, origin.serve(answer())))
    await syncing.wait()
    for _ in range(3):  # an impatient one does it again
        task.cancel()
        await asyncio.sleep(0)
    stop.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ([p.read_bytes() for p in blobs(root)], parts(root)) == ([CONTENT], [])


async def test_a_listener_that_breaks_leaves_no_part(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    def progress(done: int, _total: int) -> None:
        if done:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cache.fetch(REF, origin.serve(answer()), progress=progress)
    assert (blobs(root), parts(root)) == ([], [])


# ---------------------------------------------------------------- what was begun


async def test_what_is_all_there_needs_no_network(cache: FirmwareCache, root: Path) -> None:
    begin(root, CONTENT)
    assert (await cache.fetch(REF, "https://cdn.invalid/fw.bin")).read() == CONTENT


async def test_what_is_all_there_and_wrong_is_fetched_whole(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    begin(root, bytes(len(CONTENT)))
    assert (await cache.fetch(REF, origin.serve(ranged()), limits=QUICK)).read() == CONTENT
    assert origin.starts == [None]


async def test_what_was_begun_needs_room_for_its_rest_alone(
    cache: FirmwareCache, origin: Origin, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(root, CONTENT[:HALF])
    room = shutil.disk_usage(root)._replace(free=len(CONTENT) - HALF)
    monkeypatch.setattr("firmware_cache.store.shutil.disk_usage", lambda _: room)
    assert (await cache.fetch(REF, origin.serve(ranged()), limits=QUICK)).read() == CONTENT


async def test_a_disk_without_room_for_the_rest_leaves_what_was_begun(
    cache: FirmwareCache, origin: Origin, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = begin(root, CONTENT[:HALF])
    room = shutil.disk_usage(root)._replace(free=len(CONTENT) - HALF - 1)
    monkeypatch.setattr("firmware_cache.store.shutil.disk_usage", lambda _: room)
    assert isinstance(await refused(cache, origin.serve(ranged())), CacheStorageError)
    assert part.stat().st_size == HALF


async def test_what_a_killed_process_began_is_gone_on_with(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    orphan(begin(root, CONTENT[:HALF]))
    await cache.fetch(REF, origin.serve(ranged()), limits=QUICK)
    assert (origin.starts, parts(root)) == ([HALF], [])


async def test_what_a_living_process_writes_is_left_alone(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    busy = orphan(begin(root, CONTENT[:HALF]), Owner.here())
    await cache.fetch(REF, origin.serve(ranged()), limits=QUICK)
    assert (origin.starts, busy.read_bytes() == CONTENT[:HALF]) == ([None], True)


async def test_a_kept_file_takes_what_was_begun_of_it_away(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begin(root, CONTENT[:10])  # by another process, meanwhile
        await ranged()(reader, writer)

    await cache.fetch(REF, origin.serve(reply), limits=QUICK)
    assert parts(root) == []


# ---------------------------------------------------------------- memory


def peak_mb(megabytes: int) -> int:
    """Peak memory of a process that downloads a file of so many megabytes, and does little else."""
    command = [sys.executable, "-m", "tests.benchmarks.download", "--megabytes", str(megabytes), "--rounds", "0"]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=50
    )
    return int(done.stdout.removeprefix("peak memory ").removesuffix(" MB\n"))


def test_memory_does_not_grow_with_the_file() -> None:
    assert peak_mb(64) - peak_mb(4) < 16

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from hashlib import md5
from pathlib import Path

import pytest

from firmware_cache import (
    FirmwareCache,
    FolderMirror,
    HttpMirror,
    Limits,
    Mirror,
    OfflineError,
    Ref,
)
from tests.firmware_cache.conftest import QUICK, REF, begin, blobs
from tests.firmware_cache.origin import CONTENT, Origin, answer, ranged

NOWHERE = "https://cdn.invalid/fw.bin?sig=s3cret"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def stick(tmp_path: Path) -> FolderMirror:
    """A folder that has the file."""
    folder = tmp_path / "stick" / "blobs" / "sha256"
    folder.mkdir(parents=True)
    (folder / str(REF.sha256)).write_bytes(CONTENT)
    return FolderMirror(tmp_path / "stick")


def web(origin: Origin, *replies: object) -> HttpMirror:
    """A web server that says `replies`."""
    origin.serve(*replies, path=f"/mirror/blobs/sha256/{REF.sha256}")  # type: ignore[arg-type]
    return HttpMirror(f"http://127.0.0.1:{origin.port}/mirror")


# ---------------------------------------------------------------- mirrors


async def test_a_mirror_is_asked_before_the_origin(root: Path, stick: FolderMirror) -> None:
    assert (await FirmwareCache(root, [stick]).fetch(REF, NOWHERE)).read() == CONTENT


async def test_mirrors_are_asked_in_order(root: Path, stick: FolderMirror, origin: Origin) -> None:
    await FirmwareCache(root, [stick, web(origin, answer())]).fetch(REF, NOWHERE)
    assert origin.requests == []


async def test_what_is_here_is_asked_of_no_mirror(root: Path, origin: Origin) -> None:
    cache = FirmwareCache(root, [web(origin, answer())])
    cache.add(CONTENT)
    await cache.fetch(REF, NOWHERE)
    assert origin.requests == []


async def test_where_no_mirror_has_it_the_origin_is_asked(root: Path, origin: Origin, stick: FolderMirror) -> None:
    (stick.path / "blobs" / "sha256" / str(REF.sha256)).unlink()
    said: list[str] = []
    mirrors: list[Mirror] = [stick, web(origin, answer(b"", status="404 Not Found"))]
    await FirmwareCache(root, mirrors).fetch(REF, origin.serve(answer()), notice=said.append)
    assert ([head.split()[1].partition("?")[0] for head in origin.requests][1:], said) == (["/fw.bin"], [])


FAILING = {
    "wrong": (answer(bytes(len(CONTENT))), "sha256:"),
    "in trouble": (answer(b"", status="500 Oops"), "answered 500"),
    "page": (answer(b"<html>", "Content-Type: text/html"), "a web page came"),
}


@pytest.mark.parametrize("name", FAILING)
async def test_a_failing_mirror_is_skipped_and_said(
    root: Path, origin: Origin, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    reply, why = FAILING[name]
    said: list[str] = []
    cache = FirmwareCache(root, [web(origin, reply)])
    file = await cache.fetch(REF, origin.serve(answer()), limits=QUICK, notice=said.append)
    assert (file.read() == CONTENT, len(said), why in said[0]) == (True, 1, True)
    assert said[0].startswith("the mirror 127.0.0.1 is skipped: ")
    assert ("firmware_cache.fetching", logging.WARNING, said[0]) in caplog.record_tuples


async def test_a_failing_mirror_costs_nothing_of_what_was_begun(root: Path, origin: Origin) -> None:
    begin(root, CONTENT[:1000])
    mirror = web(origin, ranged(bytes(len(CONTENT)), '"other"'))
    await FirmwareCache(root, [mirror]).fetch(REF, origin.serve(ranged()), limits=QUICK)
    assert origin.starts == [None, 1000]


async def test_a_mirror_is_not_asked_without_sha256(root: Path, origin: Origin) -> None:
    ref = Ref(len(CONTENT), md5=md5(CONTENT, usedforsecurity=False).hexdigest())
    await FirmwareCache(root, [web(origin, answer())]).fetch(ref, origin.serve(answer()), limits=QUICK)
    assert [head.split()[1].partition("?")[0] for head in origin.requests] == ["/fw.bin"]


# ---------------------------------------------------------------- offline


async def test_offline_what_is_here_is_given(cache: FirmwareCache) -> None:
    cache.add(CONTENT)
    assert (await cache.fetch(REF, NOWHERE, offline=True)).read() == CONTENT


async def test_offline_a_folder_is_asked(root: Path, stick: FolderMirror) -> None:
    assert (await FirmwareCache(root, [stick]).fetch(REF, NOWHERE, offline=True)).read() == CONTENT


@pytest.mark.parametrize("kinds", [(), ("web",), ("folder",), ("web", "folder")])
async def test_offline_the_network_is_not_asked(
    root: Path, origin: Origin, stick: FolderMirror, kinds: tuple[str, ...]
) -> None:
    (stick.path / "blobs" / "sha256" / str(REF.sha256)).unlink()
    places: dict[str, Mirror] = {"web": web(origin, answer()), "folder": stick}
    cache = FirmwareCache(root, [places[kind] for kind in kinds])
    with pytest.raises(OfflineError, match=str(REF.sha256)):
        await cache.fetch(REF, origin.serve(answer()), offline=True)
    assert origin.requests == []


async def test_offline_a_reference_without_sha256_is_refused(cache: FirmwareCache, origin: Origin) -> None:
    with pytest.raises(OfflineError):
        await cache.fetch(Ref(1, crc32="0" * 8), origin.serve(answer()), offline=True)
    assert origin.requests == []


# ---------------------------------------------------------------- many at once


async def test_twenty_tasks_fetch_once(cache: FirmwareCache, origin: Origin) -> None:
    url = origin.serve(ranged())
    files = await asyncio.gather(*(cache.fetch(REF, url, limits=QUICK) for _ in range(20)))
    assert ({file.sha256 for file in files}, len(origin.requests)) == ({REF.sha256}, 1)


async def test_who_waits_is_told(cache: FirmwareCache, origin: Origin) -> None:
    url, said = origin.serve(ranged()), list[str]()
    await asyncio.gather(*(cache.fetch(REF, url, limits=QUICK, notice=said.append) for _ in range(2)))
    assert said == ["another process fetches this file: waiting for it"]


async def test_who_waits_too_long_fetches_beside(cache: FirmwareCache, origin: Origin) -> None:
    url, limits = origin.serve(ranged()), Limits(pause_s=0.0, lock_wait_s=0.0)
    files = await asyncio.gather(*(cache.fetch(REF, url, limits=limits) for _ in range(3)))
    assert ([file.read() == CONTENT for file in files], len(origin.requests)) == ([True] * 3, 3)


def in_processes(tmp_path: Path, count: int, *options: str) -> tuple[list[int], int]:
    """Fetch in `count` processes at once: how each of them ended, and how often the server was asked."""
    image = tmp_path / "fw.bin"
    image.write_bytes(CONTENT)
    command = [sys.executable, "-m", "tests.firmware_cache.file_server", str(image), "--chunk", "8192"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdin
        assert server.stdout
        url = f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}/fw.bin"
        fetching = [sys.executable, "-m", "tests.firmware_cache.processes", str(tmp_path / "cache"), url]
        done = subprocess.run(
            [*fetching, str(image), str(count), *options], check=True, stdout=subprocess.PIPE, cwd=ROOT, timeout=50
        )
        server.stdin.close()
        return list(json.loads(done.stdout)), len(server.stdout.read().splitlines())


def test_twenty_processes_fetch_once(tmp_path: Path) -> None:
    assert in_processes(tmp_path, 20) == ([0] * 20, 1)


def test_without_locks_four_processes_are_right_all_the_same(tmp_path: Path, root: Path) -> None:
    begin(root, CONTENT[:1000])
    ends, asked = in_processes(tmp_path, 4, "--no-locks")
    assert (ends, 1 <= asked <= 4, [path.read_bytes() == CONTENT for path in blobs(root)]) == ([0] * 4, True, [True])

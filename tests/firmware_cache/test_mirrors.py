from __future__ import annotations

import os
from pathlib import Path

import pytest

from firmware_cache import CacheStorageError, ContentError, DownloadError, FolderMirror, HttpMirror, VerifiedFile
from firmware_cache.store import Store
from tests.firmware_cache.conftest import QUICK, REF, blobs, parts
from tests.firmware_cache.origin import CONTENT, Origin, answer, drip, ranged, redirect

PLACE = f"/stick/blobs/sha256/{REF.sha256}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A mirror with nothing in it."""
    made = tmp_path / "mirror" / "blobs" / "sha256"
    made.mkdir(parents=True)
    return made


def nobody(_done: int, _total: int) -> None: ...


async def from_folder(made: Store, folder: Path) -> VerifiedFile | None:
    return await FolderMirror(folder.parents[1]).bring(REF, made, nobody)


async def from_http(made: Store, origin: Origin, **more: float) -> VerifiedFile | None:
    base = f"http://127.0.0.1:{origin.port}/stick/"
    return await HttpMirror(base, **more).bring(REF, made, nobody, limits=QUICK, client=None)


# ---------------------------------------------------------------- a folder


async def test_a_folder_gives_what_it_has(made: Store, folder: Path) -> None:
    (folder / str(REF.sha256)).write_bytes(CONTENT)
    found = await from_folder(made, folder)
    assert found is not None
    assert (found.read() == CONTENT, found.cached) == (True, False)


async def test_progress_rises_while_a_folder_is_copied(
    made: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / str(REF.sha256)).write_bytes(CONTENT)
    monkeypatch.setattr("firmware_cache.mirrors.CHUNK_BYTES", 100_000)
    told: list[tuple[int, int]] = []
    await FolderMirror(folder.parents[1]).bring(REF, made, lambda *at: told.append(at))
    assert told == [(at, len(CONTENT)) for at in (0, 100_000, len(CONTENT))]


async def test_a_folder_may_not_have_it(made: Store, folder: Path) -> None:
    assert await from_folder(made, folder) is None


async def test_a_folder_that_is_not_connected_is_named(made: Store, tmp_path: Path) -> None:
    with pytest.raises(CacheStorageError, match=r"stick is no mirror, or is not connected"):
        await FolderMirror(tmp_path / "stick").bring(REF, made, nobody)


@pytest.mark.parametrize("rot", [CONTENT[:-1], CONTENT + b"x", bytes(len(CONTENT)), b""])
async def test_what_a_folder_has_is_held_against_the_reference(
    made: Store, folder: Path, root: Path, rot: bytes
) -> None:
    (folder / str(REF.sha256)).write_bytes(rot)
    with pytest.raises(ContentError):
        await from_folder(made, folder)
    assert (blobs(root), parts(root)) == ([], [])


async def test_a_pipe_in_a_folder_is_not_waited_for(made: Store, folder: Path) -> None:
    os.mkfifo(folder / str(REF.sha256))
    with pytest.raises(CacheStorageError, match="has something else than a file under sha256:"):
        await from_folder(made, folder)


async def test_a_folder_that_cannot_be_read_is_named(made: Store, folder: Path) -> None:
    loop = folder / str(REF.sha256)
    loop.symlink_to(loop)
    with pytest.raises(CacheStorageError, match=r"reading .*mirror: Too many levels"):
        await from_folder(made, folder)


# ---------------------------------------------------------------- a web server


async def test_a_web_server_over_a_folder_gives_what_it_has(made: Store, origin: Origin) -> None:
    origin.serve(answer(), path=PLACE)
    found = await from_http(made, origin)
    assert found is not None
    assert found.read() == CONTENT


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
async def test_a_web_server_may_not_have_it(made: Store, origin: Origin, status: str) -> None:
    origin.serve(answer(b"", status=status), path=PLACE)
    assert await from_http(made, origin) is None


async def test_a_web_server_in_trouble_is_asked_once(made: Store, origin: Origin) -> None:
    origin.serve(answer(b"", status="500 Oops"), path=PLACE)
    with pytest.raises(DownloadError, match="answered 500"):
        await from_http(made, origin)
    assert len(origin.requests) == 1


async def test_what_a_web_server_has_is_held_against_the_reference(made: Store, origin: Origin, root: Path) -> None:
    origin.serve(answer(bytes(len(CONTENT))), path=PLACE)
    with pytest.raises(ContentError):
        await from_http(made, origin)
    assert (blobs(root), parts(root)) == ([], [])


async def test_what_a_web_server_began_is_dropped(made: Store, origin: Origin, root: Path) -> None:
    origin.serve(ranged(most=1000), answer(b"", status="500 Oops"), path=PLACE)
    with pytest.raises(DownloadError):
        await from_http(made, origin)
    assert parts(root) == []


async def test_a_web_server_that_takes_too_long_is_given_up(made: Store, origin: Origin) -> None:
    origin.serve(drip, path=PLACE)
    with pytest.raises(DownloadError, match=r"took longer than 0\.2 s"):
        await from_http(made, origin, deadline_s=0.2)


async def test_a_mirror_may_not_redirect_into_a_private_network(made: Store, origin: Origin) -> None:
    origin.serve(redirect("http://10.9.8.7/"), path=PLACE)
    with pytest.raises(DownloadError, match="private network"):
        await from_http(made, origin)


@pytest.mark.parametrize("base", ["ftp://example.com", "stick", "", "https://"])
def test_a_mirror_that_is_no_web_address_is_refused(base: str) -> None:
    with pytest.raises(DownloadError):
        HttpMirror(base)


def test_plain_http_is_good_enough_for_a_mirror() -> None:
    assert HttpMirror("http://192.168.0.7:8000/firmware").name == "192.168.0.7"


def test_of_a_web_server_only_the_host_is_named() -> None:
    assert HttpMirror("https://user:pw@mirror.example.com/s3cret?sig=s3cret").name == "mirror.example.com"


def test_a_folder_is_named_by_its_path() -> None:
    assert FolderMirror(Path("/stick")).name == "/stick"

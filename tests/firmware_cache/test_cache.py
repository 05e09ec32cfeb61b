from __future__ import annotations

import logging
import os
import socket
from hashlib import md5, sha256
from pathlib import Path

import httpx
import pytest

from firmware_cache import CacheStorageError, ContentError, FirmwareCache, FirmwareCacheError, Known, Ref, Verified
from tests.firmware_cache.conftest import REF, blobs, damage, parts, quarantined
from tests.firmware_cache.origin import CONTENT, Origin, answer, redirect

SHA256 = sha256(CONTENT).hexdigest()
MD5 = md5(CONTENT, usedforsecurity=False).hexdigest()
NOWHERE = "https://cdn.invalid/fw.bin"


# ---------------------------------------------------------------- fetch


async def test_a_file_that_is_there_needs_no_network(cache: FirmwareCache) -> None:
    cache.add(CONTENT)
    assert (await cache.fetch(REF, NOWHERE)).cached


async def test_a_second_fetch_asks_nobody(cache: FirmwareCache, origin: Origin) -> None:
    url = origin.serve(answer())
    await cache.fetch(REF, url)
    await cache.fetch(REF, url)
    assert len(origin.requests) == 1


async def test_a_damaged_file_is_fetched_again(cache: FirmwareCache, origin: Origin) -> None:
    damage(cache.add(CONTENT).path, b"rot")
    assert (await cache.fetch(REF, origin.serve(answer()))).read() == CONTENT


async def test_a_damaged_file_that_is_fetched_again_is_kept_in_quarantine(
    cache: FirmwareCache, origin: Origin, root: Path
) -> None:
    damage(cache.add(CONTENT).path, b"rot")
    await cache.fetch(REF, origin.serve(answer()))
    assert [p.read_bytes() for p in quarantined(root)] == [b"rot"]


async def test_a_file_that_is_there_is_held_against_every_digest(cache: FirmwareCache) -> None:
    cache.add(CONTENT)
    with pytest.raises(ContentError, match="md5:"):
        await cache.fetch(Ref(len(CONTENT), sha256=SHA256, md5="0" * 32), NOWHERE)


async def test_a_reference_without_sha256_is_fetched_every_time(cache: FirmwareCache, origin: Origin) -> None:
    url, ref = origin.serve(answer()), Ref(len(CONTENT), md5=MD5)
    await cache.fetch(ref, url)
    assert not (await cache.fetch(ref, url)).cached


async def test_the_callers_client_stays_open(cache: FirmwareCache, origin: Origin) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        await cache.fetch(REF, origin.serve(answer()), client=client)
        assert not client.is_closed


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_no_proxy_stands_between_this_machine_and_itself(
    cache: FirmwareCache, origin: Origin, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
    assert (await cache.fetch(REF, origin.serve(answer()))).read() == CONTENT


async def test_a_disk_without_room_is_named_before_anything_is_asked_for(cache: FirmwareCache, origin: Origin) -> None:
    with pytest.raises(CacheStorageError, match="bytes free where the file needs"):
        await cache.fetch(Ref(1 << 62, sha256=REF.sha256), origin.serve(answer()))
    assert origin.requests == []


async def test_the_whole_address_is_logged_nowhere(
    cache: FirmwareCache, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await cache.fetch(REF, origin.serve(redirect("/fw.bin?sig=s3cret"), answer()))
    assert ("s3cret" in caplog.text, "GET 127.0.0.1" in caplog.text) == (False, True)


# ---------------------------------------------------------------- add


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fw.bin"
    path.write_bytes(CONTENT)
    return path


def test_added_bytes_are_read_back(cache: FirmwareCache) -> None:
    assert cache.add(CONTENT).read() == CONTENT


def test_an_added_file_is_read_back(cache: FirmwareCache, file: Path) -> None:
    assert cache.add(file).read() == CONTENT


def test_an_added_file_is_left_where_it_was(cache: FirmwareCache, file: Path) -> None:
    cache.add(file)
    assert file.read_bytes() == CONTENT


def test_what_is_added_is_said_to_be_new(cache: FirmwareCache) -> None:
    assert not cache.add(CONTENT).cached


def test_what_is_added_twice_is_said_to_be_there(cache: FirmwareCache, file: Path) -> None:
    cache.add(CONTENT)
    assert cache.add(file).cached


def test_adding_mends_a_damaged_blob(cache: FirmwareCache) -> None:
    damage(cache.add(CONTENT).path, b"rot")
    assert cache.add(CONTENT).read() == CONTENT


@pytest.mark.parametrize("ref", [REF, Ref(len(CONTENT), md5=MD5)], ids=["sha256", "md5"])
def test_what_is_added_may_be_held_against_a_reference(cache: FirmwareCache, file: Path, ref: Ref) -> None:
    assert cache.add(file, ref).sha256 == SHA256


@pytest.mark.parametrize(
    "ref",
    [Ref(1, sha256=SHA256), Ref(len(CONTENT), sha256="0" * 64), Ref(len(CONTENT), sha256=SHA256, crc32="0" * 8)],
    ids=["size", "sha256", "crc32"],
)
def test_what_is_not_the_reference_is_not_added(cache: FirmwareCache, root: Path, ref: Ref) -> None:
    with pytest.raises(ContentError):
        cache.add(CONTENT, ref)
    assert blobs(root) == []


def test_what_is_there_already_is_held_against_the_reference_too(cache: FirmwareCache) -> None:
    cache.add(CONTENT)
    with pytest.raises(ContentError, match="crc32:"):
        cache.add(CONTENT, Ref(len(CONTENT), sha256=SHA256, crc32="0" * 8))


def test_a_file_that_is_not_there_is_named(cache: FirmwareCache, tmp_path: Path) -> None:
    with pytest.raises(CacheStorageError, match=r"reading .*none\.bin: No such file"):
        cache.add(tmp_path / "none.bin")


def test_a_pipe_is_no_file(cache: FirmwareCache) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "wb") as end:
        end.write(b"x")
        end.close()
        with pytest.raises(CacheStorageError, match="reading /proc/self/fd/"):
            cache.add(Path(f"/proc/self/fd/{reader}"))


def test_a_file_that_changes_while_it_is_copied_is_refused(
    cache: FirmwareCache, file: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = cache._store.find

    def change(digest: str) -> object:
        file.write_bytes(b"x" + CONTENT[1:])
        return look_up(digest)

    monkeypatch.setattr(cache._store, "find", change)
    with pytest.raises(ContentError, match="sha256:"):
        cache.add(file)
    assert (blobs(root), parts(root)) == ([], [])


# ---------------------------------------------------------------- find


def test_what_was_added_is_found(cache: FirmwareCache) -> None:
    cache.add(CONTENT)
    found = cache.find(SHA256)
    assert found is not None
    assert found.read() == CONTENT


def test_what_was_never_added_is_not_found(cache: FirmwareCache) -> None:
    assert cache.find(SHA256) is None


def test_a_damaged_file_is_not_found(cache: FirmwareCache) -> None:
    damage(cache.add(CONTENT).path, b"rot")
    assert cache.find(SHA256) is None


def test_two_caches_on_one_folder_share_their_files(cache: FirmwareCache, root: Path) -> None:
    cache.add(CONTENT)
    assert FirmwareCache(root).find(SHA256) is not None


def test_a_folder_that_cannot_be_one_is_an_error_of_ours(cache: FirmwareCache, root: Path) -> None:
    root.write_bytes(b"in the way")
    with pytest.raises(FirmwareCacheError):
        cache.find(SHA256)


# ---------------------------------------------------------------- what is here


def test_an_added_file_is_listed_with_its_name(cache: FirmwareCache, file: Path) -> None:
    cache.add(file, known=Known("fw.bin", "1.0"))
    assert [(e.sha256, e.known_as) for e in cache.entries()] == [(SHA256, (Known("fw.bin", "1.0"),))]


def test_what_is_added_again_gets_another_name(cache: FirmwareCache) -> None:
    cache.add(CONTENT, known=Known("a"))
    cache.add(CONTENT, known=Known("b"))
    assert cache.entries()[0].known_as == (Known("a"), Known("b"))


def test_a_file_that_is_here_can_be_named(cache: FirmwareCache) -> None:
    cache.name(cache.add(CONTENT), Known("fw.bin", "1.0"))
    assert cache.entries()[0].known_as == (Known("fw.bin", "1.0"),)


def test_a_cache_without_a_folder_is_in_the_systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert FirmwareCache().root == tmp_path / "firmware-cache"


def test_a_cache_knows_its_folder(cache: FirmwareCache, root: Path) -> None:
    assert cache.root == root


def test_a_pinned_file_stays_until_it_is_unpinned(cache: FirmwareCache) -> None:
    cache.add(CONTENT)
    assert (cache.pin(SHA256), cache.pins()) == (True, {SHA256: ("user",)})
    assert cache.prune(0, 0).spared == {SHA256: "pinned"}
    assert (cache.unpin(SHA256), cache.unpin(SHA256)) == (True, False)
    assert [e.sha256 for e in cache.prune(0, 0).removed] == [SHA256]


def test_pins_that_cannot_be_read_are_an_error_of_ours(cache: FirmwareCache, root: Path) -> None:
    (root / "v1").mkdir(parents=True)
    (root / "v1" / "pins").write_bytes(b"in the way")
    with pytest.raises(CacheStorageError, match="Not a directory"):
        cache.pins()


def test_verify_names_what_is_damaged(cache: FirmwareCache) -> None:
    damage(cache.add(CONTENT).path, b"rot")
    intact = cache.add(b"other").sha256
    assert cache.verify() == Verified((intact,), (SHA256,))


def test_a_bundle_carries_a_file_to_another_cache(cache: FirmwareCache, tmp_path: Path) -> None:
    cache.add(CONTENT)
    assert [e.sha256 for e in cache.export(tmp_path / "fw.tar", [SHA256])] == [SHA256]
    assert FirmwareCache(tmp_path / "other").import_(tmp_path / "fw.tar").added == (SHA256,)


def test_a_mirror_is_filled(cache: FirmwareCache, tmp_path: Path) -> None:
    cache.add(CONTENT)
    assert cache.push(tmp_path / "mirror").copied == (SHA256,)
    assert (tmp_path / "mirror" / "blobs" / "sha256" / SHA256).read_bytes() == CONTENT

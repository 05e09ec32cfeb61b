from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5, sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_cache import CacheStorageError, ContentError, FirmwareCache, Known, Ref, default_root, files, meta
from firmware_cache.store import Store
from tests.firmware_cache.conftest import REF, ROT, blobs, damage, parts, put, put_any, quarantined
from tests.firmware_cache.origin import CONTENT

SHA256 = sha256(CONTENT).hexdigest()


def test_a_blob_lies_under_its_digest(made: Store, root: Path) -> None:
    assert put(made).path == root / "v1" / "blobs" / "sha256" / SHA256[:2] / SHA256


def test_a_blob_is_read_only(made: Store) -> None:
    assert stat.S_IMODE(put(made).path.stat().st_mode) == 0o444


def test_a_published_file_says_what_it_is(made: Store) -> None:
    file = put(made)
    assert (file.size_bytes, file.sha256, file.cached) == (len(CONTENT), SHA256, False)


def test_no_part_is_left_of_a_published_file(made: Store, root: Path) -> None:
    put(made)
    assert parts(root) == []


def test_the_folder_is_tagged_for_backups(made: Store, root: Path) -> None:
    put(made)
    assert (root / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


def test_a_tag_that_is_there_is_left_alone(made: Store, root: Path) -> None:
    root.mkdir()
    (root / "CACHEDIR.TAG").write_bytes(b"mine")
    put(made)
    assert (root / "CACHEDIR.TAG").read_bytes() == b"mine"


def test_looking_makes_no_folder(made: Store, root: Path) -> None:
    made.find(SHA256)
    assert not root.exists()


def test_a_blob_is_found_again(made: Store) -> None:
    put(made)
    found = made.find(SHA256)
    assert found is not None
    assert (found.cached, found.read()) == (True, CONTENT)


def test_what_was_never_kept_is_not_found(made: Store) -> None:
    assert made.find(SHA256) is None


@pytest.mark.parametrize("name", ["../../../etc/passwd", "", SHA256.upper(), SHA256[:-1]])
def test_only_a_digest_is_looked_for(made: Store, name: str) -> None:
    with pytest.raises(ValueError, match="sha256"):
        made.find(name)


@pytest.mark.parametrize("rot", ROT)
def test_a_damaged_blob_is_not_found(made: Store, rot: bytes) -> None:
    damage(put(made).path, rot)
    assert made.find(SHA256) is None


def test_a_damaged_blob_that_is_looked_for_goes_to_quarantine(made: Store, root: Path) -> None:
    damage(put(made).path, b"rot")
    made.find(SHA256)
    assert (blobs(root), [p.read_bytes() for p in quarantined(root)]) == ([], [b"rot"])


def test_each_damaged_blob_has_its_own_place_in_quarantine(made: Store, root: Path) -> None:
    for rot in (b"rot 1", b"rot 2"):
        damage(put(made).path, rot)
        made.find(SHA256)
    assert sorted(p.read_bytes() for p in quarantined(root)) == [b"rot 1", b"rot 2"]


def test_a_blob_that_cannot_be_read_is_named(made: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(made)

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("firmware_cache.blob.open_blob", broken)
    with pytest.raises(CacheStorageError, match=f"reading .*{SHA256}: Input/output error"):
        made.find(SHA256)


def test_a_folder_in_place_of_a_blob_goes_to_quarantine(made: Store, root: Path) -> None:
    made.path(SHA256).mkdir(parents=True)
    assert made.find(SHA256) is None
    assert [p.is_dir() for p in quarantined(root)] == [True]


def test_what_went_to_quarantine_says_when(made: Store, root: Path) -> None:
    before_s = int(time.time())
    damage(put(made).path, b"rot")
    made.find(SHA256)
    digest, at_s, _ = quarantined(root)[0].name.split(".")
    assert (digest, before_s <= int(at_s) <= time.time()) == (SHA256, True)


def test_a_found_blob_of_another_size_than_asked_for_is_refused(made: Store) -> None:
    put(made)
    with pytest.raises(ContentError, match="bytes where 1 were asked for"):
        made.find(SHA256, Ref(1, sha256=SHA256))


def test_a_found_blob_of_another_second_digest_is_refused(made: Store) -> None:
    put(made)
    with pytest.raises(ContentError, match="md5:"):
        made.find(SHA256, Ref(len(CONTENT), sha256=SHA256, md5="0" * 32))


def test_a_refused_blob_is_not_damaged(made: Store, root: Path) -> None:
    put(made)
    with pytest.raises(ContentError):
        made.find(SHA256, Ref(1, sha256=SHA256))
    assert quarantined(root) == []


@pytest.mark.parametrize(
    "content", [pytest.param(CONTENT[:-1], id="short"), pytest.param(b"x" + CONTENT[1:], id="other bytes")]
)
def test_wrong_content_gets_no_name(made: Store, root: Path, content: bytes) -> None:
    with pytest.raises(ContentError):
        put(made, content)
    assert (blobs(root), parts(root)) == ([], [])


def test_one_byte_too_many_is_not_written(made: Store) -> None:
    with made.part(Ref(4, sha256=SHA256)) as part:
        part.write(b"1234")
        with pytest.raises(ContentError, match="more came than the 4 bytes"):
            part.write(b"5")
        assert part.sums.size_bytes == 4


def test_two_writers_of_one_file_have_two_parts(made: Store, root: Path) -> None:
    with made.part(REF), made.part(REF):
        assert len(parts(root)) == 2


def test_a_part_is_named_after_what_it_will_be(made: Store) -> None:
    with made.part(REF) as part:
        assert part.path.name.startswith(f"{SHA256}.")


def test_a_file_without_sha256_is_kept_under_the_one_it_has(made: Store) -> None:
    ref = Ref(len(CONTENT), md5=md5(CONTENT, usedforsecurity=False).hexdigest())
    assert put(made, ref=ref).path.name == SHA256


def test_a_part_is_removed_when_its_writer_fails(made: Store, root: Path) -> None:
    def write() -> None:
        with made.part(REF) as part:
            part.write(b"something")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert parts(root) == []


def test_a_second_publication_takes_the_place_of_a_damaged_one(made: Store) -> None:
    damage(put(made).path, b"rot")
    assert put(made).read() == CONTENT


def test_a_file_larger_than_the_disk_is_refused_before_it_begins(made: Store, root: Path) -> None:
    with (
        pytest.raises(CacheStorageError, match=f"bytes free where the file needs {1 << 62}"),
        made.part(Ref(1 << 62, sha256=SHA256)),
    ):
        pytest.fail("a part was opened")
    assert parts(root) == []


def test_a_folder_that_cannot_be_made_is_named(root: Path) -> None:
    root.write_bytes(b"in the way")
    with pytest.raises(CacheStorageError, match=r"preparing .*: (File exists|Not a directory)"):
        put(Store(root))


def test_the_folder_by_default_is_the_systems_for_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "firmware-cache"


@pytest.mark.parametrize("other", ["v0", "v2"])
def test_a_cache_of_another_layout_is_left_alone(made: Store, root: Path, other: str) -> None:
    theirs = root / other / "blobs" / "sha256" / SHA256[:2] / SHA256
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(CONTENT)
    assert made.find(SHA256) is None
    put(made)
    assert theirs.read_bytes() == CONTENT


def test_where_the_disk_holds_on_to_a_name_an_intact_blob_of_it_is_taken(
    made: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(made)
    monkeypatch.setattr("firmware_cache.store.replace", held)
    assert put(made).cached


def test_where_the_disk_holds_on_to_a_name_without_a_blob_that_is_an_error(
    made: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_cache.store.replace", held)
    with pytest.raises(CacheStorageError, match="is open elsewhere"):
        put(made)


def held(_source: Path, _target: Path) -> None:
    raise PermissionError(13, "is open elsewhere")


# ---------------------------------------------------------------- metadata


def test_a_published_file_has_its_size_and_source_noted(made: Store) -> None:
    with made.part(REF) as part:
        part.write(CONTENT)
        part.source = "cdn.example.com"
        made.publish(part, [Known("fw.bin", "1.2")])
    found = meta.read(made.meta(SHA256))
    assert found is not None
    assert (found.size_bytes, found.source, found.known_as) == (
        len(CONTENT),
        "cdn.example.com",
        (Known("fw.bin", "1.2"),),
    )


def test_a_name_that_is_noted_keeps_the_others_and_the_time(made: Store) -> None:
    put(made)
    made.note(SHA256, len(CONTENT), [Known("a", "1")], "host")
    before = meta.read(made.meta(SHA256))
    made.note(SHA256, len(CONTENT), [Known("b", "2")])
    after = meta.read(made.meta(SHA256))
    assert before
    assert after
    assert (after.known_as, after.source, after.added_s) == ((Known("a", "1"), Known("b", "2")), "host", before.added_s)


@pytest.mark.parametrize("found", [b"", b"{", b"[" * 100_000, b"7", b"{}", b'{"size_bytes": "x"}', b"\xff"])
def test_metadata_that_cannot_be_read_keeps_no_blob_from_use(made: Store, found: bytes) -> None:
    put(made)
    made.meta(SHA256).write_bytes(found)
    assert made.find(SHA256) is not None


def test_metadata_that_cannot_be_written_keeps_no_blob_from_use(made: Store, root: Path) -> None:
    (root / "v1").mkdir(parents=True)
    (root / "v1" / "meta").write_bytes(b"in the way")
    put(made)
    assert made.find(SHA256) is not None


def test_a_blob_that_is_found_was_used_now(made: Store) -> None:
    put(made)
    os.utime(made.meta(SHA256), (1, 1))
    made.find(SHA256)
    assert made.meta(SHA256).stat().st_mtime > time.time() - 60


def test_a_blob_that_is_looked_at_was_not_used(made: Store) -> None:
    put(made)
    os.utime(made.meta(SHA256), (1, 1))
    made.find(SHA256, used=False)
    assert made.meta(SHA256).stat().st_mtime == 1


def test_a_blob_without_metadata_gets_some_by_its_use(made: Store) -> None:
    put(made)
    made.meta(SHA256).unlink()
    made.find(SHA256)
    assert meta.read(made.meta(SHA256)) is not None


# ---------------------------------------------------------------- what others could change


@pytest.mark.parametrize("name", ["v1", "v1/blobs", "v1/blobs/sha256", f"v1/blobs/sha256/{SHA256[:2]}"])
def test_a_link_in_place_of_a_folder_is_refused(made: Store, root: Path, tmp_path: Path, name: str) -> None:
    put(made)
    (root / name).rename(tmp_path / "elsewhere")
    (root / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheStorageError, match="is a link where a folder must be"):
        made.find(SHA256)
    with pytest.raises(CacheStorageError, match="is a link where a folder must be"):
        put(made)


@pytest.mark.parametrize("name", [".", "v1", "v1/blobs", f"v1/blobs/sha256/{SHA256[:2]}"])
def test_a_folder_that_everybody_may_write_is_refused(made: Store, root: Path, name: str) -> None:
    put(made)
    (root / name).chmod(0o777)
    with pytest.raises(CacheStorageError, match="may be written by everybody"):
        made.find(SHA256)
    with pytest.raises(CacheStorageError, match="may be written by everybody"):
        put(made)


def test_an_open_umask_opens_no_folder(made: Store, root: Path) -> None:
    before = os.umask(0)
    try:
        put(made)
    finally:
        os.umask(before)
    assert [p for p in (root, *root.rglob("*")) if p.is_dir() and p.stat().st_mode & stat.S_IWOTH] == []


def test_a_link_in_place_of_a_blob_goes_to_quarantine(made: Store, root: Path, tmp_path: Path) -> None:
    path = put(made).path
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert made.find(SHA256) is None
    assert ([p.is_symlink() for p in quarantined(root)], (tmp_path / "elsewhere").read_bytes()) == ([True], CONTENT)


def test_a_blob_with_a_second_name_goes_to_quarantine(made: Store, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").hardlink_to(put(made).path)
    assert made.find(SHA256) is None
    assert len(quarantined(root)) == 1


# ---------------------------------------------------------------- every blob


def test_every_digest_is_listed_in_order(made: Store) -> None:
    wanted = sorted(put_any(made, bytes([n])) for n in range(20))
    assert list(made.digests()) == wanted


def test_what_is_no_blob_is_not_listed(made: Store, root: Path) -> None:
    put(made)
    top = root / "v1" / "blobs" / "sha256"
    (top / "00").mkdir()
    (top / "00" / SHA256).write_bytes(CONTENT)
    (top / SHA256[:2] / "note.txt").write_bytes(b"")
    (top / "note.txt").write_bytes(b"")
    assert list(made.digests()) == [SHA256]


def test_an_empty_cache_lists_nothing(made: Store) -> None:
    assert list(made.digests()) == []


# ---------------------------------------------------------------- pins


def test_a_pin_says_whether_the_blob_is_here(made: Store) -> None:
    assert made.pin(SHA256, "line-1") is False
    put(made)
    assert made.pin(SHA256, "line-1") is True


def test_pins_of_several_names_stand_side_by_side(made: Store) -> None:
    put(made)
    made.pin(SHA256, "b")
    made.pin(SHA256, "a")
    made.pin(SHA256, "a")
    assert made.pins() == {SHA256: ("a", "b")}


def test_an_unpinned_blob_keeps_the_pins_of_others(made: Store) -> None:
    made.pin(SHA256, "a")
    made.pin(SHA256, "b")
    assert (made.unpin(SHA256, "a"), made.unpin(SHA256, "a"), made.pins()) == (True, False, {SHA256: ("b",)})


@pytest.mark.parametrize("name", ["", "a.b", "../x", "a/b", "x" * 65, "é", "a\n"])
def test_a_pin_has_a_plain_name(made: Store, name: str) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        made.pin(SHA256, name)
    with pytest.raises(ValueError, match="1 to 64"):
        made.unpin(SHA256, name)


@pytest.mark.parametrize("digest", ["../../x", SHA256[:12]])
def test_only_a_digest_is_pinned(made: Store, digest: str) -> None:
    with pytest.raises(ValueError, match="sha256"):
        made.pin(digest, "a")
    with pytest.raises(ValueError, match="sha256"):
        made.unpin(digest, "a")


def test_a_pin_of_something_that_is_no_blob_says_it_is_not_here(made: Store) -> None:
    made.path(SHA256).mkdir(parents=True)
    assert made.pin(SHA256, "a") is False


def test_a_pin_on_a_blob_that_is_being_removed_waits_and_says_it_is_gone(
    made: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(made).path

    def removed_meanwhile(_file: object) -> bool:
        path.unlink()
        return True

    monkeypatch.setattr("firmware_cache.store.share", removed_meanwhile)
    assert made.pin(SHA256, "a") is False


# ---------------------------------------------------------------- a disk that is full


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 1000 bytes: the system itself refuses, as it does when the disk is full.

    For the lines that need it alone: the limit holds for what pytest prints into a file too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_refuses_a_write_is_named(made: Store) -> None:
    with full_disk(), made.part(REF) as part, pytest.raises(CacheStorageError, match=r"writing .*: File too large"):
        part.write(CONTENT)


def test_a_disk_that_refuses_the_last_bytes_is_named(made: Store) -> None:
    content = CONTENT[:2000]  # less than what Python keeps back before it writes
    with full_disk(), pytest.raises(CacheStorageError, match=r"keeping .*: File too large"):
        put(made, content, Ref(len(content), sha256=sha256(content).hexdigest()))


def test_a_disk_that_refuses_leaves_no_part(made: Store, root: Path) -> None:
    with full_disk(), pytest.raises(CacheStorageError):
        put(made)
    assert (blobs(root), parts(root)) == ([], [])


def test_the_bytes_are_on_disk_before_the_name_and_the_name_before_the_end(
    made: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = CONTENT[:1000]  # so few that Python keeps them back until it is told to write
    ref, real = Ref(len(content), sha256=sha256(content).hexdigest()), os.fsync
    final = made.path(ref.sha256 or "")
    seen: list[tuple[str, bool]] = []

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        size = "" if kind == "folder" else f" of {os.fstat(descriptor).st_size}"
        seen.append((kind + size, final.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    put(made, content, ref)
    assert seen[:2] == [("file of 1000", False), ("folder", True)]
    assert all(existed for _, existed in seen[2:])  # metadata comes after, and may be lost


def test_a_system_that_cannot_sync_folders_publishes_all_the_same(made: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_CAN_SYNC_FOLDERS", False)
    assert put(made).read() == CONTENT


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_a_fault_while_publishing_leaves_no_name(
    made: Store, root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, step, broken)
    with pytest.raises(CacheStorageError, match=r"keeping .*: Input/output error"):
        put(made)
    assert (blobs(root), parts(root)) == ([], [])


SHORT = CONTENT[:20_001]  # a few pieces, the last of which Python keeps back until it is told to write


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One cache per line of Python it takes, each of a process killed right before that line; the last one lived."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "content").write_bytes(SHORT)
    (folder / "roots").mkdir()
    script = [
        sys.executable,
        "-m",
        "tests.firmware_cache.kill_at_every_line",
        str(folder / "roots"),
        str(folder / "content"),
    ]
    subprocess.run(script, check=True, timeout=120, cwd=Path(__file__).parents[2])
    return sorted((folder / "roots").iterdir(), key=lambda p: int(p.name))


def test_a_kill_at_any_line_leaves_a_whole_blob_or_none(killed: list[Path]) -> None:
    found = {(p.name, sha256(p.read_bytes()).hexdigest()) for root in killed for p in blobs(root)}
    assert found == {(sha256(SHORT).hexdigest(),) * 2}


def test_kills_come_before_and_after_the_name(killed: list[Path]) -> None:
    assert [bool(blobs(root)) for root in killed[:1] + killed[-2:]] == [False, True, True]


def test_after_a_kill_at_any_line_the_same_again_succeeds(killed: list[Path]) -> None:
    assert all(FirmwareCache(root).add(SHORT).read() == SHORT for root in killed)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_content_in_any_pieces_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, piece: int
) -> None:
    made = Store(tmp_path_factory.getbasetemp() / "any")
    with made.part(Ref(len(content), sha256=sha256(content).hexdigest())) as part:
        for at in range(0, len(content), piece):
            part.write(content[at : at + piece])
        assert made.publish(part).read() == content

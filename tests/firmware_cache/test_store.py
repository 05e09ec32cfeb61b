from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5, sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_cache import CacheStorageError, ContentError, FirmwareCache, Ref, store
from firmware_cache.store import Store
from tests.firmware_cache.conftest import REF, ROT, blobs, damage, parts, put, quarantined
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


def test_a_blob_that_cannot_be_read_is_named(made: Store) -> None:
    made.path(SHA256).mkdir(parents=True)
    with pytest.raises(CacheStorageError, match=f"reading .*{SHA256}: Is a directory"):
        made.find(SHA256)


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
    assert seen == [("file of 1000", False), ("folder", True)]


def test_a_system_that_cannot_sync_folders_publishes_all_the_same(made: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_CAN_SYNC_FOLDERS", False)
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

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_cache import CacheStorageError, DamagedBlobError, VerifiedFile
from firmware_cache.blob import isolate, storage_errors, sum_up
from firmware_cache.ref import Sums
from firmware_cache.store import Store
from tests.firmware_cache.conftest import ROT, blobs, damage, put, put_any, quarantined
from tests.firmware_cache.origin import CONTENT

SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_what_is_read_is_what_was_written(made: Store) -> None:
    assert put(made).read() == CONTENT


@pytest.mark.parametrize("rot", ROT)
def test_a_damaged_blob_is_not_read(made: Store, rot: bytes) -> None:
    file = put(made)
    damage(file.path, rot)
    with pytest.raises(DamagedBlobError, match="no longer what its name says"):
        file.read()


def test_a_damaged_blob_that_is_read_goes_to_quarantine(made: Store, root: Path) -> None:
    file = put(made)
    damage(file.path, b"rot")
    with pytest.raises(DamagedBlobError):
        file.read()
    assert (blobs(root), [p.read_bytes() for p in quarantined(root)]) == ([], [b"rot"])


# ---------------------------------------------------------------- open


def test_an_opened_blob_stands_at_its_start(made: Store) -> None:
    with put(made).open() as file:
        assert file.read() == CONTENT


def test_an_opened_blob_is_closed_at_the_end_of_the_block(made: Store) -> None:
    with put(made).open() as file:
        pass
    assert file.closed


def test_what_is_read_is_the_file_that_was_hashed_whatever_gets_its_name(made: Store) -> None:
    blob = put(made)
    with blob.open() as file:
        blob.path.unlink()
        blob.path.write_bytes(b"another file")
        assert file.read() == CONTENT


def test_what_is_hashed_is_given_in_order_to_who_wants_a_digest_of_its_own(
    made: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_cache.blob.CHUNK_BYTES", 5)
    pieces: list[bytes] = []
    with put(made).open(into=pieces.append) as file:
        assert (b"".join(pieces), max(map(len, pieces))) == (CONTENT, 5)
        assert file.read() == CONTENT


@pytest.mark.parametrize("rot", ROT)
def test_a_damaged_blob_is_not_opened(made: Store, root: Path, rot: bytes) -> None:
    blob = put(made)
    damage(blob.path, rot)
    with pytest.raises(DamagedBlobError, match="no longer what its name says"), blob.open():
        pytest.fail("it was opened")
    assert (blobs(root), [p.read_bytes() for p in quarantined(root)]) == ([], [rot])


def test_a_damaged_blob_takes_no_other_one_with_it_that_is_open(made: Store, root: Path) -> None:
    sound, rotten = put(made), made.find(put_any(made, b"other"))
    assert rotten
    damage(rotten.path, b"rot")
    with pytest.raises(DamagedBlobError), sound.open(), rotten.open():
        pytest.fail("it was opened")
    assert blobs(root) == [sound.path]


def test_an_error_of_the_block_is_the_callers(made: Store, root: Path) -> None:
    blob = put(made)
    with pytest.raises(OSError, match="mine"), blob.open():
        raise OSError("mine")
    assert quarantined(root) == []


def test_a_blob_that_is_gone_cannot_be_opened(made: Store) -> None:
    blob = put(made)
    blob.path.unlink()
    with pytest.raises(CacheStorageError, match=f"reading .*{SHA256}: No such file"), blob.open():
        pytest.fail("it was opened")


@pytest.mark.parametrize("way", ["open", "read"])
def test_a_blob_is_in_use_while_it_is_read(made: Store, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    held = list[BinaryIO]()
    monkeypatch.setattr("firmware_cache.blob.share", held.append)
    blob = put(made)
    if way == "read":
        blob.read()
    else:
        with blob.open():
            pass
    assert [file.closed for file in held] == [True]


@pytest.mark.parametrize("way", ["open", "read"])
def test_a_link_in_place_of_a_blob_goes_to_quarantine(made: Store, root: Path, tmp_path: Path, way: str) -> None:
    blob = put(made)
    blob.path.rename(tmp_path / "elsewhere")
    blob.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedBlobError, match="no ordinary file"):
        blob.read() if way == "read" else blob.open().__enter__()
    assert [p.is_symlink() for p in quarantined(root)] == [True]


def test_a_disk_that_fails_while_a_blob_is_hashed_leaves_no_file_open(
    made: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = put(made)

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("firmware_cache.blob.sum_up", broken)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(CacheStorageError, match="Input/output"), blob.open():
        pytest.fail("it was opened")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# ---------------------------------------------------------------- quarantine and sums


def test_a_damaged_blob_that_cannot_be_moved_is_named(made: Store, root: Path) -> None:
    file = put(made)
    damage(file.path, b"rot")
    (root / "v1" / "quarantine").write_bytes(b"in the way")
    with pytest.raises(CacheStorageError, match="which is damaged, to quarantine: "):
        file.read()


def test_a_damaged_blob_that_someone_else_moved_is_as_good_as_moved(root: Path) -> None:
    isolate(root / "gone", root / "quarantine")
    assert list((root / "quarantine").iterdir()) == []


def test_a_blob_that_is_gone_is_named(made: Store) -> None:
    file = put(made)
    file.path.unlink()
    with pytest.raises(CacheStorageError, match=f"reading .*{SHA256}: No such file"):
        file.read()


def test_the_shape_of_a_verified_file_hides_the_quarantine(made: Store) -> None:
    assert "quarantine" not in repr(put(made))


def test_an_error_without_a_text_of_the_system_keeps_its_own() -> None:
    with pytest.raises(CacheStorageError, match="doing: odd"), storage_errors("doing"):
        raise OSError("odd")


def test_a_file_is_summed_from_where_it_stands() -> None:
    file, sums = BytesIO(b"skipped" + CONTENT), Sums()
    file.seek(len(b"skipped"))
    sum_up(file, sums)
    assert sums.hex("sha256") == SHA256


def test_a_file_of_several_chunks_is_summed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_cache.blob.CHUNK_BYTES", 1000)
    sums = Sums()
    sum_up(BytesIO(CONTENT), sums)
    assert (sums.size_bytes, sums.hex("sha256")) == (len(CONTENT), SHA256)


@given(rot=st.binary(max_size=40))
def test_any_other_content_is_damage(tmp_path_factory: pytest.TempPathFactory, rot: bytes) -> None:
    content, folder = b"what it was", tmp_path_factory.mktemp("rot")
    (folder / "blob").write_bytes(rot)
    file = VerifiedFile(
        folder / "blob", len(content), hashlib.sha256(content).hexdigest(), cached=True, _quarantine=folder / "bad"
    )
    if rot == content:
        assert file.read() == content
    else:
        with pytest.raises(DamagedBlobError):
            file.read()

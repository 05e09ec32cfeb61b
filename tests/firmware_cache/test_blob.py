from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_cache import CacheStorageError, DamagedBlobError, VerifiedFile
from firmware_cache.blob import isolate, storage_errors, sum_up
from firmware_cache.ref import Sums
from firmware_cache.store import Store
from tests.firmware_cache.conftest import ROT, blobs, damage, put, quarantined
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

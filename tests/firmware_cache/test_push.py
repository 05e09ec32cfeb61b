from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from firmware_cache import CacheStorageError, DamagedBlobError, NotCachedError, Pushed
from firmware_cache.push import push
from firmware_cache.store import Store
from tests.firmware_cache.conftest import damage, put_any

CONTENTS = [b"one", b"two", b"three"]
DIGESTS = sorted(sha256(c).hexdigest() for c in CONTENTS)


@pytest.fixture
def full(made: Store) -> Store:
    for content in CONTENTS:
        put_any(made, content)
    return made


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


def names(mirror: Path) -> list[str]:
    return sorted(str(p.relative_to(mirror)) for p in mirror.rglob("*") if p.is_file())


def test_every_blob_lies_flat_under_its_digest(full: Store, mirror: Path) -> None:
    assert push(full, mirror) == Pushed(tuple(DIGESTS), ())
    assert names(mirror) == [f"blobs/sha256/{d}" for d in DIGESTS]
    assert {sha256(p.read_bytes()).hexdigest() for p in mirror.rglob("*") if p.is_file()} == set(DIGESTS)


def test_what_is_there_and_intact_is_left_alone(full: Store, mirror: Path) -> None:
    push(full, mirror)
    before = [p.stat().st_ino for p in sorted(mirror.rglob("*"))]
    assert push(full, mirror) == Pushed((), tuple(DIGESTS))
    assert [p.stat().st_ino for p in sorted(mirror.rglob("*"))] == before


@pytest.mark.parametrize("rot", [b"", b"???", b"on", b"one more"])
def test_what_is_there_and_damaged_is_replaced(full: Store, mirror: Path, rot: bytes) -> None:
    push(full, mirror)
    digest = sha256(b"one").hexdigest()
    (mirror / "blobs" / "sha256" / digest).write_bytes(rot)
    assert push(full, mirror).copied == (digest,)
    assert (mirror / "blobs" / "sha256" / digest).read_bytes() == b"one"


def test_only_what_was_chosen_is_pushed(full: Store, mirror: Path) -> None:
    assert push(full, mirror, [DIGESTS[2]]).copied == (DIGESTS[2],)


def test_a_blob_is_there_whole_or_not_at_all(full: Store, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_store: Store, _sha256: str, out: object) -> None:
        getattr(out, "write")(b"o")  # noqa: B009 -- of any type
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("firmware_cache.push.copy", half)
    with pytest.raises(CacheStorageError, match=r"writing .*: No space left"):
        push(full, mirror)
    assert names(mirror) == []


def test_a_damaged_blob_is_not_pushed(full: Store, mirror: Path) -> None:
    damage(full.path(DIGESTS[1]), b"rot")
    with pytest.raises(DamagedBlobError):
        push(full, mirror)
    assert names(mirror) == [f"blobs/sha256/{DIGESTS[0]}"]


def test_what_is_not_here_cannot_be_pushed(full: Store, mirror: Path) -> None:
    with pytest.raises(NotCachedError):
        push(full, mirror, ["0" * 64])
    assert not mirror.exists()


def test_a_share_that_cannot_sync_folders_is_filled_all_the_same(
    full: Store, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr("firmware_cache.push.sync_folder", refuse)
    assert len(push(full, mirror).copied) == 3


def test_a_folder_that_cannot_be_made_is_named(full: Store, mirror: Path) -> None:
    mirror.write_bytes(b"in the way")
    with pytest.raises(CacheStorageError, match=r"writing .*: (Not a directory|File exists)"):
        push(full, mirror)

from __future__ import annotations

import io
import os
from hashlib import sha256
from pathlib import Path

import pytest

from firmware_cache import CacheStorageError, Known, NotCachedError
from firmware_cache.listing import chosen, copy, entries, verify
from firmware_cache.store import Store
from tests.firmware_cache.conftest import ROT, blobs, damage, put, put_any, quarantined
from tests.firmware_cache.origin import CONTENT

SHA256 = sha256(CONTENT).hexdigest()


def test_a_blob_is_listed_with_what_is_known_of_it(made: Store) -> None:
    put(made)
    made.note(SHA256, len(CONTENT), [Known("fw.bin", "1.0")], "cdn.example.com")
    made.pin(SHA256, "line-1")
    os.utime(made.path(SHA256), (5, 5))
    os.utime(made.meta(SHA256), (9, 9))
    (found,) = entries(made)
    assert (found.sha256, found.size_bytes, found.path) == (SHA256, len(CONTENT), made.path(SHA256))
    assert (found.known_as, found.source, found.pins) == ((Known("fw.bin", "1.0"),), "cdn.example.com", ("line-1",))
    assert (found.last_used_s, found.added_s > 1e9) == (9, True)


def test_a_blob_without_metadata_is_listed(made: Store) -> None:
    put(made)
    made.meta(SHA256).unlink()
    os.utime(made.path(SHA256), (5, 5))
    (found,) = entries(made)
    assert (found.sha256, found.added_s, found.last_used_s, found.known_as) == (SHA256, 5, 5, ())


def test_a_listing_is_by_digest(made: Store) -> None:
    wanted = sorted(put_any(made, bytes([n])) for n in range(9))
    assert [e.sha256 for e in entries(made)] == wanted


def test_a_listing_is_no_use_of_a_blob(made: Store) -> None:
    put(made)
    os.utime(made.path(SHA256), (5, 5))
    os.utime(made.meta(SHA256), (9, 9))
    assert [entries(made)[0].last_used_s for _ in range(2)] == [9, 9]


def test_a_blob_that_goes_while_it_is_listed_is_not(made: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(made)
    monkeypatch.setattr(made, "digests", lambda: iter(["0" * 64, SHA256]))
    assert [e.sha256 for e in entries(made)] == [SHA256]


def test_a_cache_that_is_not_there_is_empty(made: Store, root: Path) -> None:
    assert (entries(made), root.exists()) == ((), False)


def test_a_cache_that_cannot_be_listed_is_named(made: Store, root: Path) -> None:
    (root / "v1").mkdir(parents=True)
    (root / "v1" / "pins").write_bytes(b"in the way")
    with pytest.raises(CacheStorageError, match=r"reading .*: Not a directory"):
        entries(made)


# ---------------------------------------------------------------- verify


@pytest.mark.parametrize("rot", ROT)
def test_a_damaged_blob_is_found_and_put_aside(made: Store, root: Path, rot: bytes) -> None:
    damage(put(made).path, rot)
    assert verify(made).damaged == (SHA256,)
    assert (blobs(root), len(quarantined(root))) == ([], 1)


def test_one_flipped_bit_in_one_of_a_hundred_blobs_is_found(made: Store) -> None:
    digests = sorted(put_any(made, n.to_bytes() * 1000) for n in range(100))
    content = bytearray(made.path(digests[57]).read_bytes())
    content[500] ^= 0x10
    damage(made.path(digests[57]), bytes(content))
    found = verify(made)
    assert (found.damaged, len(found.intact)) == ((digests[57],), 99)
    assert verify(made).damaged == ()


def test_only_what_was_chosen_is_read(made: Store) -> None:
    damage(put(made).path, b"rot")
    other = put_any(made, b"other")
    assert verify(made, [other]).intact == (other,)


def test_what_is_not_here_cannot_be_verified(made: Store) -> None:
    with pytest.raises(NotCachedError, match=SHA256):
        verify(made, [SHA256])


def test_a_blob_that_goes_meanwhile_is_neither(made: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "digests", lambda: iter([SHA256]))
    assert verify(made) == verify(Store(made.root / "none"))


def test_to_verify_is_no_use_of_a_blob(made: Store) -> None:
    put(made)
    os.utime(made.meta(SHA256), (9, 9))
    verify(made)
    assert made.meta(SHA256).stat().st_mtime == 9


def test_what_was_verified_is_not_left_open(made: Store) -> None:
    put(made)
    before = len(list(Path("/proc/self/fd").iterdir()))
    verify(made)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# ---------------------------------------------------------------- choose, copy


def test_without_a_choice_all_are_chosen(made: Store) -> None:
    wanted = sorted(put_any(made, bytes([n])) for n in range(5))
    assert [e.sha256 for e in chosen(made, None)] == wanted


def test_what_is_chosen_comes_once_and_in_order(made: Store) -> None:
    wanted = sorted(put_any(made, bytes([n])) for n in range(5))[1:3]
    assert [e.sha256 for e in chosen(made, [*wanted[::-1], wanted[0]])] == wanted


def test_a_choice_of_what_is_no_digest_is_refused(made: Store) -> None:
    with pytest.raises(ValueError, match="sha256"):
        chosen(made, ["x"])


def test_a_blob_is_copied_from_the_file_that_was_hashed(made: Store) -> None:
    put(made)
    out = io.BytesIO()
    copy(made, SHA256, out)
    assert out.getvalue() == CONTENT


def test_what_is_gone_cannot_be_copied(made: Store) -> None:
    with pytest.raises(NotCachedError):
        copy(made, SHA256, io.BytesIO())

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_cache import CacheStorageError, ContentError, Ref
from firmware_cache.part import Part
from tests.firmware_cache.conftest import REF
from tests.firmware_cache.origin import CONTENT, ETAG


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Part]:
    path = tmp_path / "part"
    made = Part(path, path.open("x+b"), REF, etag=ETAG)
    yield made
    made.close()


def reopened(part: Part, content: bytes, ref: Ref = REF) -> Part:
    """The same file, with something in it that was not hashed."""
    part.close()
    part.path.write_bytes(content)
    return Part(part.path, part.path.open("r+b"), ref, etag=ETAG)


def run(part: Part, into: Part | None = None) -> int:
    """The steps that it took to recall it."""
    return sum(1 for _ in part.recall(into))


def test_what_is_written_is_counted_and_hashed(part: Part) -> None:
    part.write(CONTENT)
    assert (part.size_bytes, part.sums.hex("sha256")) == (len(CONTENT), REF.sha256)


def test_one_byte_too_many_is_not_written(part: Part) -> None:
    part.write(CONTENT)
    with pytest.raises(ContentError, match="more came than the 150001 bytes"):
        part.write(b"x")
    part.close()
    assert part.path.read_bytes() == CONTENT


def test_what_is_recalled_is_hashed(part: Part) -> None:
    again = reopened(part, CONTENT)
    run(again)
    again.check()
    again.close()


def test_what_is_recalled_is_written_on_behind_it(part: Part) -> None:
    again = reopened(part, CONTENT[:70_000])
    run(again)
    again.write(CONTENT[70_000:])
    again.check()
    again.close()
    assert part.path.read_bytes() == CONTENT


def test_recalling_goes_by_steps(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_cache.part.CHUNK_BYTES", 50_000)
    again = reopened(part, CONTENT)
    assert run(again) == 4
    again.close()


def test_what_is_recalled_may_be_a_mixture(part: Part) -> None:
    again = reopened(part, CONTENT[:10])
    run(again)
    again.close()
    assert again.resumed


def test_an_empty_file_is_no_mixture(part: Part) -> None:
    run(part)
    assert not part.resumed


def test_what_is_copied_into_another_is_all_there(part: Part, tmp_path: Path) -> None:
    path = tmp_path / "other"
    again, other = reopened(part, CONTENT), Part(path, path.open("x+b"), REF)
    run(again, other)
    other.check()
    again.close()
    other.close()
    assert (path.read_bytes() == CONTENT, other.resumed) == (True, True)


def test_of_a_file_that_grows_meanwhile_no_more_is_copied_than_there_may_be(part: Part, tmp_path: Path) -> None:
    path = tmp_path / "other"
    again, other = reopened(part, CONTENT + b"more"), Part(path, path.open("x+b"), REF)
    run(again, other)
    again.close()
    other.close()
    assert other.size_bytes == len(CONTENT)


def test_a_part_that_cannot_be_read_is_named(part: Part) -> None:
    part.close()
    part.path.unlink()
    part.path.mkdir()
    with (part.path.parent / "other").open("wb") as unreadable:
        broken = Part(part.path, unreadable, REF)
        with pytest.raises(CacheStorageError, match=r"reading .*part"):
            run(broken)


def test_what_starts_over_is_empty(part: Part) -> None:
    part.write(CONTENT[:100])
    part.resumed = True
    part.restart('"v2"')
    part.write(b"x")
    part.close()
    assert (part.path.read_bytes(), part.size_bytes, part.resumed, part.etag) == (b"x", 1, False, '"v2"')


def test_what_is_checked_and_wrong_is_spoilt(part: Part) -> None:
    part.write(b"x")
    with pytest.raises(ContentError):
        part.check()
    assert part.spoilt


def test_a_spoilt_part_cannot_be_gone_on_with(part: Part) -> None:
    part.spoilt = True
    assert part.etag is None


def test_a_part_that_the_disk_did_not_take_cannot_be_gone_on_with(part: Part) -> None:
    part.write(b"x")
    part.close()
    with part.path.open("rb") as unwritable:
        full = Part(part.path, unwritable, REF, etag=ETAG)
        with pytest.raises(CacheStorageError, match=r"writing .*part"):
            full.write(b"y")
    assert full.etag is None


def test_a_part_whose_ranges_failed_cannot_be_gone_on_with(part: Part) -> None:
    part.ranges = False
    assert part.etag is None


def test_a_part_of_a_weak_digest_cannot_be_gone_on_with(part: Part) -> None:
    weak = reopened(part, b"", Ref(1, md5="0" * 32))
    weak.close()
    assert weak.etag is None


def test_a_part_is_as_it_was_after_starting_over(part: Part) -> None:
    part.spoilt = True
    part.restart(ETAG)
    assert part.etag == ETAG


def test_settling_makes_it_read_only(part: Part) -> None:
    part.write(CONTENT)
    part.settle()
    assert (part.path.stat().st_mode & 0o777, part.path.read_bytes() == CONTENT) == (0o444, True)

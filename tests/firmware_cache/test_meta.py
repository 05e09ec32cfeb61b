from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_cache import meta
from firmware_cache.meta import FILE_MAX, KNOWN_MAX, TIME_MAX_S, Known, Meta, known_from

DIGEST = "0" * 64
SOME = Meta(7, 1.5, (Known("fw.bin", "1.0"), Known("", "2")), "cdn.example.com")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / f"{DIGEST}.json"


def test_what_is_written_is_read_back(path: Path) -> None:
    meta.write(path, SOME)
    assert meta.read(path) == SOME


def test_what_was_never_written_is_nothing(path: Path) -> None:
    assert meta.read(path) is None


def without(name: str) -> bytes:
    return json.dumps({"size_bytes": 1, "added_s": 1, "known_as": [], "source": ""} | {name: None}).encode()


@pytest.mark.parametrize(
    "found",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b"\xff\xfe",
        b"[" * 60_000,
        *map(without, ["size_bytes", "added_s", "known_as", "source"]),
        b'{"size_bytes": 1, "added_s": 1, "known_as": [{"name": 1, "version": ""}], "source": ""}',
        b'{"size_bytes": 1, "added_s": 1, "known_as": ["x"], "source": ""}',
        b'{"size_bytes": -1, "added_s": 1, "known_as": [], "source": ""}',
        b'{"size_bytes": 1, "added_s": NaN, "known_as": [], "source": ""}',
        b'{"size_bytes": 1, "added_s": 1e12, "known_as": [], "source": ""}',
        b'{"size_bytes": 1e999, "added_s": 1, "known_as": [], "source": ""}',
    ],
)
def test_what_cannot_be_understood_is_nothing(path: Path, found: bytes) -> None:
    path.write_bytes(found)
    assert meta.read(path) is None


def test_what_is_too_long_to_be_metadata_is_nothing(path: Path) -> None:
    meta.write(path, SOME)
    path.write_bytes(path.read_bytes() + b" " * FILE_MAX)
    assert meta.read(path) is None


def test_a_folder_is_no_metadata(path: Path) -> None:
    path.mkdir()
    assert meta.read(path) is None


def test_the_longest_metadata_can_be_read_back(path: Path) -> None:
    most = Meta(1 << 62, 1.0).known([Known("\U0001f600" * 300, f"{n:0300}") for n in range(KNOWN_MAX)], "h" * 300)
    meta.write(path, most)
    assert meta.read(path) == most


def test_metadata_that_cannot_be_written_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meta.write(path, SOME)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        meta.write(path, Meta(1, 1.0))
    assert (meta.read(path), len(list(path.parent.iterdir()))) == (SOME, 1)


# ---------------------------------------------------------------- names


def test_a_name_is_added_last() -> None:
    assert Meta(1, 1.0, (Known("a"),)).known([Known("b", "1")]).known_as == (Known("a"), Known("b", "1"))


def test_a_name_that_is_known_moves_to_the_end() -> None:
    assert Meta(1, 1.0, (Known("a"), Known("b"))).known([Known("a")]).known_as == (Known("b"), Known("a"))


def test_a_name_that_says_nothing_is_none() -> None:
    assert Meta(1, 1.0).known([Known()]).known_as == ()


def test_of_too_many_names_the_oldest_go() -> None:
    names = [Known(str(n)) for n in range(KNOWN_MAX + 1)]
    assert Meta(1, 1.0).known(names).known_as == tuple(names[1:])


def test_names_are_cleaned() -> None:
    found = Meta(1, 1.0).known([Known("a\x1b[2J", "1\n")], "host\u202e")
    assert (found.known_as, found.source) == ((Known("a?[2J", "1?"),), "host?")


def test_a_source_stays_until_another_one_is_named() -> None:
    there = Meta(1, 1.0, source="a")
    assert (there.known([]).source, there.known([], "b").source) == ("a", "b")


def test_names_out_of_a_file_are_cleaned_and_not_too_many() -> None:
    found = known_from([{"name": "a\x00", "version": "1", "more": 2}] * (KNOWN_MAX + 5))
    assert found == (Known("a?", "1"),) * KNOWN_MAX


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=9), lambda s: st.lists(s) | st.dictionaries(st.text(), s))
)
def test_names_are_read_from_any_json_or_refused_by_a_named_error(found: object) -> None:
    try:
        known_from(found)
    except (ValueError, KeyError, TypeError):
        return


# ---------------------------------------------------------------- when it was used


def test_a_touch_is_the_time_of_use(path: Path, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"")
    os.utime(tmp_path / "blob", (5, 5))
    meta.write(path, SOME)
    os.utime(path, (9, 9))
    assert meta.used_s(path, tmp_path / "blob") == 9
    assert meta.touch(path) is True
    assert meta.used_s(path, tmp_path / "blob") > 9


def test_without_metadata_a_blob_was_used_when_it_was_made(path: Path, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"")
    os.utime(tmp_path / "blob", (5, 5))
    assert (meta.touch(path), meta.used_s(path, tmp_path / "blob")) == (False, 5)


def test_a_blob_that_was_made_again_is_not_older_than_that(path: Path, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"")
    meta.write(path, SOME)
    os.utime(path, (9, 9))
    assert meta.used_s(path, tmp_path / "blob") == (tmp_path / "blob").stat().st_mtime


@pytest.mark.parametrize(("at", "told"), [(-5.0, 0.0), (7.0, 7.0), (1e12, TIME_MAX_S - 1)])
def test_a_time_that_cannot_be_told_is_the_nearest_that_can(tmp_path: Path, at: float, told: float) -> None:
    (tmp_path / "blob").write_bytes(b"")
    os.utime(tmp_path / "blob", (at, at))
    real = (tmp_path / "blob").stat().st_mtime  # a file system may have limits of its own
    assert meta.used_s(tmp_path / "none", tmp_path / "blob") == (told if real == at else meta.clamped(real))
    assert meta.clamped(at) == told
    datetime.fromtimestamp(told, UTC)


def test_a_cache_that_may_only_be_read_is_not_touched(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(os, "utime", refuse)
    assert meta.touch(path) is True


def test_a_touch_loses_no_name(path: Path) -> None:
    meta.write(path, SOME)
    meta.touch(path)
    assert meta.read(path) == SOME


# ---------------------------------------------------------------- pins


def test_a_pin_is_a_file_of_its_own(tmp_path: Path) -> None:
    meta.pin(tmp_path, DIGEST, "line-1")
    assert [p.name for p in tmp_path.iterdir()] == [f"{DIGEST}.line-1"]


def test_pins_are_told_by_digest(tmp_path: Path) -> None:
    for digest, name in (("a", "2"), ("b", "1"), ("a", "1")):
        meta.pin(tmp_path, digest, name)
    assert meta.pins(tmp_path) == {"a": ("1", "2"), "b": ("1",)}


def test_where_nothing_was_pinned_there_is_no_pin(tmp_path: Path) -> None:
    assert meta.pins(tmp_path / "none") == {}
    assert meta.unpin(tmp_path / "none", DIGEST, "a") is False


@pytest.mark.parametrize("change", [meta.pin, meta.unpin])
def test_a_pin_is_on_disk_before_it_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: object
) -> None:
    (tmp_path / f"{DIGEST}.a").touch()
    synced = list[Path]()
    monkeypatch.setattr(meta, "sync_folder", synced.append)
    assert callable(change)
    change(tmp_path, DIGEST, "a")
    assert synced == [tmp_path]

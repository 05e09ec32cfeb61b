from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware_cache import CacheStorageError, FirmwareCache, Known, Ref, garbage
from firmware_cache.garbage import DAY_S, QUARANTINE_S, prune
from firmware_cache.listing import entries
from firmware_cache.store import Store
from tests.firmware_cache.conftest import REF, blobs, damage, parts, put_any, quarantined
from tests.firmware_cache.origin import CONTENT

OLD_S = 3 * DAY_S


def used(made: Store, sha256: str, age_s: float) -> str:
    """The blob was made, and last used, so long ago; its digest."""
    at = time.time() - age_s
    for path in (made.path(sha256), made.meta(sha256)):
        os.utime(path, (at, at))
    return sha256


@pytest.fixture
def three(made: Store) -> list[str]:
    """Three blobs of 100 bytes, the least recently used first."""
    return [used(made, put_any(made, bytes([n]) * 100), OLD_S - n) for n in range(3)]


def left(made: Store) -> set[str]:
    return set(made.digests())


# ---------------------------------------------------------------- the budget


def test_within_the_budget_nothing_goes(made: Store, three: list[str]) -> None:
    found = prune(made, 300)
    assert (found.removed, found.left_bytes, left(made)) == ((), 300, set(three))


@pytest.mark.parametrize(("budget", "gone"), [(299, 1), (200, 1), (199, 2), (100, 2), (99, 3), (0, 3)])
def test_the_least_recently_used_go_until_the_budget_holds(
    made: Store, three: list[str], budget: int, gone: int
) -> None:
    found = prune(made, budget)
    assert [e.sha256 for e in found.removed] == three[:gone]
    assert (left(made), found.left_bytes, found.freed_bytes) == (set(three[gone:]), 300 - gone * 100, gone * 100)


def test_use_counts_and_not_age(made: Store, three: list[str]) -> None:
    used(made, three[0], OLD_S - 50)
    assert [e.sha256 for e in prune(made, 200).removed] == [three[1]]


def test_what_is_removed_leaves_no_metadata(made: Store, three: list[str], root: Path) -> None:
    prune(made, 0)
    assert list((root / "v1" / "meta").iterdir()) == []


def test_what_is_removed_is_told_with_its_names(made: Store, three: list[str]) -> None:
    made.note(three[0], 100, [Known("fw.bin", "1")])
    used(made, three[0], OLD_S)
    assert prune(made, 200).removed[0].known_as == (Known("fw.bin", "1"),)


def test_a_removed_blob_can_be_put_again(made: Store, three: list[str]) -> None:
    prune(made, 0)
    assert put_any(made, bytes([0]) * 100) == three[0]


def test_an_empty_cache_has_nothing_to_remove(made: Store, root: Path) -> None:
    assert prune(made, 0) == garbage.Pruned(())
    assert not root.exists()


@pytest.mark.parametrize("numbers", [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(made: Store, numbers: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="negative"):
        prune(made, *numbers)


def test_a_dry_run_removes_nothing_and_says_the_same(made: Store, three: list[str], root: Path) -> None:
    stray = old(root / "v1" / "quarantine" / "stray", 2 * QUARANTINE_S, b"12345")
    said = prune(made, 100, dry_run=True)
    assert (left(made), stray.exists(), said.freed_bytes) == (set(three), True, 205)
    assert prune(made, 100) == said
    assert not stray.exists()


# ---------------------------------------------------------------- what stays


def test_a_pinned_blob_stays_and_another_goes(made: Store, three: list[str]) -> None:
    made.pin(three[0], "line-1")
    found = prune(made, 200)
    assert ([e.sha256 for e in found.removed], found.spared) == ([three[1]], {three[0]: "pinned"})


def test_a_blob_that_was_unpinned_goes(made: Store, three: list[str]) -> None:
    made.pin(three[0], "line-1")
    made.unpin(three[0], "line-1")
    assert [e.sha256 for e in prune(made, 200).removed] == [three[0]]


def test_a_fresh_blob_stays_even_beyond_the_budget(made: Store, three: list[str]) -> None:
    used(made, three[2], DAY_S - 60)
    found = prune(made, 0)
    assert (found.spared, found.left_bytes, left(made)) == ({three[2]: "fresh"}, 100, {three[2]})


def test_how_long_a_blob_is_fresh_can_be_chosen(made: Store, three: list[str]) -> None:
    assert len(prune(made, 0, OLD_S + 60).spared) == 3
    assert len(prune(made, 0, 60).removed) == 3


def test_a_blob_that_is_open_here_stays(made: Store, three: list[str]) -> None:
    found = made.find(three[0], used=False)
    assert found is not None
    with found.open():
        said = prune(made, 0, 0)
    assert (said.spared, left(made)) == ({three[0]: "in use"}, {three[0]})
    assert len(prune(made, 0, 0).removed) == 1


@contextmanager
def holding(root: Path, sha256: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the blob open."""
    program = [sys.executable, "-m", "tests.firmware_cache.holder", str(root), sha256]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_a_blob_that_another_process_has_open_stays(made: Store, three: list[str], root: Path) -> None:
    with holding(root, three[0]) as process:
        assert prune(made, 0, 0).spared == {three[0]: "in use"}
        assert process.communicate("")[0] == "100\n"
    assert [e.sha256 for e in prune(made, 0, 0).removed] == [three[0]]


def test_a_process_that_was_killed_holds_nothing(made: Store, three: list[str], root: Path) -> None:
    with holding(root, three[0]) as process:
        process.kill()
        process.wait()
    assert three[0] in [e.sha256 for e in prune(made, 0, 0).removed]


def test_without_locks_an_open_file_keeps_its_content(
    made: Store, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_cache.files._flock", None)
    found = made.find(three[0], used=False)
    assert found is not None
    with found.open() as file:
        assert len(prune(made, 0, 0).removed) == 3
        assert file.read() == bytes(100)


def test_what_the_system_does_not_let_go_of_is_in_use(
    made: Store, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "remove", lambda *_: False)
    assert set(prune(made, 0).spared.values()) == {"in use"}


def test_a_pin_that_came_after_the_listing_holds(
    made: Store, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(store: Store) -> object:
        found = entries(store)
        made.pin(three[0], "line-1")
        return found

    monkeypatch.setattr(garbage, "entries", listed)
    assert prune(made, 0).spared == {three[0]: "pinned"}
    assert left(made) == {three[0]}


def test_a_use_that_came_after_the_listing_holds(
    made: Store, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(store: Store) -> object:
        found = entries(store)
        made.find(three[0])
        return found

    monkeypatch.setattr(garbage, "entries", listed)
    assert prune(made, 0).spared == {three[0]: "fresh"}


def test_a_pin_that_comes_while_blobs_are_removed_holds_or_says_it_is_too_late(made: Store) -> None:
    """Many times over: pinned here and said to be here, and removed there, would be a broken promise."""
    for n in range(30):
        digest = used(made, put_any(made, n.to_bytes(2)), OLD_S)
        pruner = threading.Thread(target=prune, args=(made, 0))
        pruner.start()
        here = made.pin(digest, "a")
        pruner.join()
        assert made.path(digest).exists() == here
        made.unpin(digest, "a")
        prune(made, 0, 0)


# ---------------------------------------------------------------- others at work


def test_a_blob_that_another_process_removed_meanwhile_is_gone(
    made: Store, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(store: Store) -> object:
        found = entries(store)
        made.path(three[0]).unlink()
        return found

    monkeypatch.setattr(garbage, "entries", listed)
    assert prune(made, 200).left_bytes == 200
    assert left(made) == set(three[1:])


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_no_ordinary_file_goes_to_quarantine(
    made: Store, three: list[str], root: Path, tmp_path: Path, dry_run: bool
) -> None:
    (tmp_path / "other").hardlink_to(made.path(three[0]))
    prune(made, 200, dry_run=dry_run)
    assert (len(quarantined(root)), len(left(made))) == ((0, 3) if dry_run else (1, 2))


def test_a_disk_that_refuses_is_named(made: Store, three: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(garbage, "remove", refuse)
    with pytest.raises(CacheStorageError, match=r"making room in .*: Permission denied"):
        prune(made, 0)


# ---------------------------------------------------------------- what was left behind


def old(path: Path, age_s: float, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


@pytest.mark.parametrize(
    ("place", "age_s"),
    [
        ("part/x.part", DAY_S),
        ("part/x.y.busy", DAY_S),
        ("quarantine/x", QUARANTINE_S),
        (f"meta/{'0' * 64}.json", DAY_S),
        ("meta/.x.json.y.tmp", DAY_S),
        (f"locks/{'0' * 64}.lock", DAY_S),
    ],
)
def test_what_nobody_comes_back_for_goes_when_it_is_old(made: Store, root: Path, place: str, age_s: float) -> None:
    stale = old(root / "v1" / place, age_s + 60)
    fresh = old(stale.with_name(f"1{stale.name}"), age_s - 60)
    assert prune(made, 0).swept_bytes == 1
    assert (stale.exists(), fresh.exists()) == (False, True)


def test_a_part_that_is_being_written_stays(made: Store, root: Path) -> None:
    with made.part(REF) as part:
        part.write(CONTENT)
        prune(made, 0, 0)
        assert made.publish(part).read() == CONTENT


def test_a_part_that_is_done_meanwhile_is_no_error(made: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = old(root / "v1" / "part" / "x.part", 2 * DAY_S)
    monkeypatch.setattr(made.parts, "sweep", lambda *_, **__: [gone, gone])
    assert prune(made, 0).swept_bytes == 1


def test_a_quarantine_file_is_as_old_as_its_name_says(made: Store, root: Path) -> None:
    content = b"rot that was fine for long"
    damage(made.path(used(made, put_any(made, content), 2 * QUARANTINE_S)), b"rot")
    made.find(Ref(1, sha256=next(made.digests())).sha256 or "")
    os.utime(quarantined(root)[0], (0, 0))
    prune(made, 0)
    assert len(quarantined(root)) == 1


def test_a_folder_in_quarantine_goes_too(made: Store, root: Path) -> None:
    old(root / "v1" / "quarantine" / "x.1.y" / "inside", 0)
    prune(made, 0)
    assert quarantined(root) == []


def test_a_link_in_quarantine_goes_without_what_it_points_to(made: Store, root: Path, tmp_path: Path) -> None:
    inside = old(tmp_path / "elsewhere" / "inside", 0)
    (root / "v1" / "quarantine").mkdir(parents=True)
    (root / "v1" / "quarantine" / "x.1.y").symlink_to(tmp_path / "elsewhere")
    prune(made, 0)
    assert (quarantined(root), inside.exists()) == ([], True)


def test_metadata_of_a_blob_that_is_here_stays_however_old(made: Store, three: list[str]) -> None:
    prune(made, 300)
    assert all(made.meta(d).exists() for d in three)


def test_what_vanishes_while_it_is_looked_at_is_no_garbage(made: Store, root: Path) -> None:
    assert garbage._changed_s(root / "gone") == float("inf")


def test_the_cache_prunes_itself(cache: FirmwareCache, root: Path) -> None:
    cache.add(CONTENT)
    assert cache.prune(0).spared
    assert len(cache.prune(0, 0).removed) == 1
    assert (blobs(root), parts(root)) == ([], [])

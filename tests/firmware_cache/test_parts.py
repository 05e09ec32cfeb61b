from __future__ import annotations

import os
from pathlib import Path

import pytest

from firmware_cache import CacheStorageError, Ref, sidecar
from firmware_cache.owner import Owner
from firmware_cache.parts import STALE_S, Parts
from tests.firmware_cache.conftest import DEAD, ELSEWHERE, REF, age, begin, claimed, orphan, parts
from tests.firmware_cache.origin import CONTENT, ETAG

HALF = CONTENT[:75_000]
# ---------------------------------------------------------------- claim


def test_what_was_given_back_is_claimed(folder: Parts, root: Path) -> None:
    begin(root, HALF)
    assert claimed(folder) == (HALF, False)


def test_one_of_two_gets_what_was_given_back(folder: Parts, root: Path) -> None:
    begin(root, HALF)
    first, second = folder.claim(REF)[0], folder.claim(REF)[0]
    assert (first.begun_bytes, second.begun_bytes, first.path == second.path) == (len(HALF), 0, False)
    folder.discard(first)
    folder.discard(second)


def test_what_is_claimed_goes_on_with_its_etag(folder: Parts, root: Path) -> None:
    begin(root, HALF, etag='"v7"')
    part, _ = folder.claim(REF)
    assert part.etag == '"v7"'
    folder.discard(part)


def test_what_is_claimed_says_who_has_it(folder: Parts, root: Path) -> None:
    begin(root, HALF)
    part, _ = folder.claim(REF)
    known = sidecar.read(part.path)
    folder.discard(part)
    assert known is not None
    assert (known.owner, known.etag) == (Owner.here(), ETAG)


def test_of_what_is_claimed_nothing_else_is_left(folder: Parts, root: Path) -> None:
    begin(root, HALF)
    part, _ = folder.claim(REF)
    assert sorted(parts(root)) == [part.path, sidecar.beside(part.path)]
    folder.discard(part)
    assert parts(root) == []


def test_a_part_of_another_size_is_not_gone_on_with(folder: Parts, root: Path) -> None:
    begin(root, HALF)
    assert claimed(folder, Ref(len(CONTENT) - 1, sha256=REF.sha256)) == (b"", False)


def test_a_part_longer_than_its_file_is_not_gone_on_with(folder: Parts, root: Path) -> None:
    begin(root, HALF).write_bytes(CONTENT + b"x")
    assert claimed(folder) == (b"", False)


def test_an_empty_part_is_not_gone_on_with(folder: Parts, root: Path) -> None:
    begin(root, HALF).write_bytes(b"")
    assert claimed(folder) == (b"", False)


def test_a_part_of_which_nothing_is_known_is_not_gone_on_with(folder: Parts, root: Path) -> None:
    sidecar.beside(begin(root, HALF)).unlink()
    assert claimed(folder) == (b"", False)


def test_a_part_without_etag_is_not_gone_on_with(folder: Parts, root: Path) -> None:
    sidecar.write(begin(root, HALF), sidecar.Sidecar(len(CONTENT), None, DEAD))
    assert claimed(folder) == (b"", False)


def test_a_part_of_a_weak_digest_is_always_a_new_one(folder: Parts) -> None:
    ref = Ref(1, md5="0" * 32)
    first, second = folder.claim(ref)[0], folder.claim(ref)[0]
    assert first.path != second.path
    folder.discard(first)
    folder.discard(second)


def test_a_planted_link_is_not_written_through(folder: Parts, root: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(HALF)
    part = begin(root, HALF)
    part.unlink()
    part.symlink_to(target)
    assert (claimed(folder), target.read_bytes(), parts(root)) == ((b"", False), HALF, [])


def test_a_planted_pipe_is_not_waited_for(folder: Parts, root: Path) -> None:
    part = begin(root, HALF)
    part.unlink()
    os.mkfifo(part)
    assert claimed(folder) == (b"", False)


def test_a_part_that_has_a_second_name_is_copied(folder: Parts, root: Path, tmp_path: Path) -> None:
    os.link(begin(root, HALF), tmp_path / "second name")
    assert claimed(folder) == (HALF, True)


def test_a_folder_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(CacheStorageError, match=r"preparing .*busy: No such file"):
        Parts(root / "none").claim(REF)


# ---------------------------------------------------------------- what the dead were writing


def test_what_a_dead_process_was_writing_is_copied(folder: Parts, root: Path) -> None:
    orphan(begin(root, HALF))
    assert claimed(folder) == (HALF, True)


def test_the_longest_of_several_is_taken(folder: Parts, root: Path) -> None:
    for size in (10, 1000, 100):
        orphan(begin(root, CONTENT[:size]))
    assert claimed(folder) == (CONTENT[:1000], True)


def test_what_a_living_process_writes_is_left_to_it(folder: Parts, root: Path) -> None:
    orphan(begin(root, HALF), Owner.here())
    assert claimed(folder) == (b"", False)


def test_what_another_machine_wrote_within_a_day_is_left_to_it(folder: Parts, root: Path) -> None:
    age(orphan(begin(root, HALF), ELSEWHERE), STALE_S - 60)
    assert claimed(folder) == (b"", False)


def test_what_another_machine_wrote_a_day_ago_is_copied(folder: Parts, root: Path) -> None:
    age(orphan(begin(root, HALF), ELSEWHERE), STALE_S + 60)
    assert claimed(folder) == (HALF, True)


def test_what_somebody_else_takes_over_meanwhile_is_left_to_him(
    folder: Parts, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = orphan(begin(root, HALF))
    other = orphan(begin(root, HALF[:10]))
    real = Path.rename

    def rename(path: Path, to: Path) -> Path:
        if path == gone:
            gone.unlink()
        return real(path, to)

    monkeypatch.setattr(Path, "rename", rename)
    assert (claimed(folder), other.exists()) == ((HALF[:10], True), False)


def test_what_goes_while_it_is_looked_at_is_not_missed(
    folder: Parts, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan(begin(root, HALF)).unlink()
    monkeypatch.setattr(Path, "glob", lambda *_: iter([root / "gone.busy"]))
    assert claimed(folder) == (b"", False)

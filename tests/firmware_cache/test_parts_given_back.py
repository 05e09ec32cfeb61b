from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from firmware_cache import Ref, sidecar
from firmware_cache.owner import Owner
from firmware_cache.part import Part
from firmware_cache.parts import Parts
from tests.firmware_cache.conftest import DEAD, ELSEWHERE, REF, age, begin, claimed, orphan, parts
from tests.firmware_cache.origin import CONTENT, ETAG

HALF = CONTENT[:75_000]


def names(root: Path) -> list[str]:
    return sorted(path.name for path in parts(root))


# ---------------------------------------------------------------- give back


def written(folder: Parts, content: bytes, etag: str | None = ETAG, ref: Ref = REF) -> Part:
    part = folder.fresh(ref)
    part.restart(etag)
    part.write(content)
    return part


def test_what_is_given_back_is_all_there(folder: Parts, root: Path) -> None:
    folder.give_back(written(folder, HALF))
    assert (names(root), claimed(folder)) == ([f"{REF.sha256}.part", f"{REF.sha256}.part.json"], (HALF, False))


@pytest.mark.parametrize(("there", "mine", "stays"), [(10, 20, 20), (20, 10, 20), (10, 10, 10)])
def test_of_two_the_longer_one_stays(folder: Parts, root: Path, there: int, mine: int, stays: int) -> None:
    begin(root, CONTENT[:there], etag='"there"')
    folder.give_back(written(folder, CONTENT[:mine], '"mine"'))
    part, _ = folder.claim(REF)
    assert (part.begun_bytes, part.etag) == (stays, '"there"' if there > mine else '"mine"')
    folder.discard(part)
    assert parts(root) == []


def test_one_of_which_nothing_is_known_gives_way(folder: Parts, root: Path) -> None:
    sidecar.beside(begin(root, HALF)).unlink()
    folder.give_back(written(folder, b"short"))
    assert claimed(folder) == (b"short", False)


def test_a_longer_one_given_back_in_between_is_not_lost(
    folder: Parts, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(root, HALF[:5])
    real, raced = os.link, list[Path]()

    def link(path: Path, to: Path) -> None:
        if not raced:  # between our look and our link
            raced.append(path)
            begin(root, HALF, etag='"longer"')
        real(path, to)

    monkeypatch.setattr(os, "link", link)
    mine = written(folder, HALF[:10])
    folder.give_back(mine)
    assert (claimed(folder), parts(root)) == ((HALF, False), [])


def test_giving_back_ends_even_if_others_never_stop(folder: Parts, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(_path: Path, _to: Path) -> None:
        raise FileExistsError

    monkeypatch.setattr(os, "link", link)
    folder.give_back(written(folder, HALF))
    assert [name for name in names(root) if name.endswith(".busy")] == []


def test_a_file_system_without_links_keeps_it_too(folder: Parts, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(_path: Path, _to: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    folder.give_back(written(folder, HALF))
    assert (len(parts(root)), claimed(folder)) == (2, (HALF, False))


@pytest.mark.parametrize(("content", "etag", "spoilt"), [(b"", ETAG, False), (b"x", None, False), (b"x", ETAG, True)])
def test_what_nobody_could_go_on_with_is_gone(
    folder: Parts, root: Path, content: bytes, etag: str | None, spoilt: bool
) -> None:
    part = written(folder, content, etag)
    part.spoilt = spoilt
    folder.give_back(part)
    assert parts(root) == []


def test_a_part_that_cannot_be_given_back_is_gone(folder: Parts, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: object) -> None:
        raise OSError(28, "No space left on device")

    part = written(folder, HALF)
    monkeypatch.setattr(sidecar, "write", write)
    folder.give_back(part)
    assert parts(root) == []


def test_an_etag_that_is_learnt_is_there_after_a_crash(folder: Parts) -> None:
    part = folder.fresh(REF)
    part.restart('"v9"')
    folder.note(part)
    known = sidecar.read(part.path)
    folder.discard(part)
    assert known is not None
    assert known.etag == '"v9"'


# ---------------------------------------------------------------- tidy up


def test_what_was_begun_of_a_whole_file_is_removed(folder: Parts, root: Path) -> None:
    orphan(begin(root, HALF))
    begin(root, HALF)
    folder.clear(str(REF.sha256))
    assert parts(root) == []


def test_what_someone_writes_and_what_is_of_other_files_is_not_removed(folder: Parts, root: Path) -> None:
    other = Ref(5, sha256=sha256(b"other").hexdigest())
    kept = [orphan(begin(root, HALF), Owner.here()), begin(root, b"othe", ref=other)]
    folder.clear(str(REF.sha256))
    assert [path.exists() for path in kept] == [True, True]


def test_what_is_old_is_swept(folder: Parts, root: Path) -> None:
    orphan(begin(root, HALF))
    begin(root, HALF)
    (folder.folder / "left.tmp").touch()
    old = sorted(age(path, 200) for path in parts(root))
    assert (folder.sweep(100), len(old), parts(root)) == (old, 5, [])


def test_what_is_young_is_not_swept(folder: Parts, root: Path) -> None:
    path = age(begin(root, HALF), 50)
    assert (folder.sweep(100), path.exists()) == ([], True)


def test_what_a_living_process_writes_is_not_swept(folder: Parts, root: Path) -> None:
    busy = age(orphan(begin(root, HALF), Owner.here()), 200)
    age(sidecar.beside(busy), 200)
    assert (folder.sweep(100), busy.exists(), sidecar.beside(busy).exists()) == ([], True, True)


@pytest.mark.parametrize("owner", [DEAD, ELSEWHERE])
def test_what_nobody_known_writes_is_swept(folder: Parts, root: Path, owner: Owner) -> None:
    busy = age(orphan(begin(root, HALF), owner), 200)
    assert (folder.sweep(100), busy.exists()) == ([busy], False)


def test_a_dry_run_sweeps_nothing(folder: Parts, root: Path) -> None:
    path = age(begin(root, HALF), 200)
    assert (folder.sweep(100, dry_run=True), path.exists()) == ([path], True)


def test_what_goes_while_it_is_swept_is_not_missed(folder: Parts, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda *_: iter([root / "gone.part"]))
    assert folder.sweep(0) == []

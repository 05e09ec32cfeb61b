from __future__ import annotations

import errno
import json
import os
import subprocess
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_cache import (
    CacheStorageError,
    ContentError,
    DamagedBlobError,
    Entry,
    FirmwareCache,
    FirmwareCacheError,
    Imported,
    Known,
    NotCachedError,
    TargetExistsError,
)
from firmware_cache.bundle import export, import_
from firmware_cache.listing import entries
from firmware_cache.plaintar import BLOBS, END, INDEX, Caps, header, padding
from firmware_cache.store import Store
from tests.firmware_cache.conftest import blobs, damage, parts, put_any, quarantined
from tests.firmware_cache.origin import CONTENT

CONTENTS = [CONTENT, b"", b"x" * 512, b"last"]
DIGESTS = sorted(sha256(c).hexdigest() for c in CONTENTS)


@pytest.fixture
def full(made: Store) -> Store:
    for n, content in enumerate(CONTENTS):
        digest = put_any(made, content)
        made.note(digest, len(content), [Known(f"fw-{n}.bin", f"1.{n}")])
    return made


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fw.tar"


def content_of(store: Store) -> dict[str, bytes]:
    return {d: store.path(d).read_bytes() for d in store.digests()}


# ---------------------------------------------------------------- there and back


def test_what_is_exported_is_imported_elsewhere(full: Store, other: Store, path: Path) -> None:
    assert [e.sha256 for e in export(full, path)] == DIGESTS
    assert import_(other, path) == Imported(tuple(DIGESTS), (), (), ())
    assert content_of(other) == content_of(full)


def test_names_and_versions_come_along(full: Store, other: Store, path: Path) -> None:
    export(full, path)
    put_any(other, b"last")
    import_(other, path)
    known = {e.sha256: e.known_as for e in FirmwareCache(other.root).entries()}
    assert known == {sha256(c).hexdigest(): (Known(f"fw-{n}.bin", f"1.{n}"),) for n, c in enumerate(CONTENTS)}


def test_what_is_here_already_is_said_to_be(full: Store, path: Path) -> None:
    export(full, path)
    assert import_(full, path) == Imported((), tuple(DIGESTS), (), ())


def test_a_damaged_blob_is_mended_by_an_import(full: Store, path: Path) -> None:
    export(full, path)
    damage(full.path(DIGESTS[0]), b"rot")
    assert import_(full, path).added == (DIGESTS[0],)


def test_the_same_blobs_are_the_same_bytes(full: Store, other: Store, path: Path, tmp_path: Path) -> None:
    export(full, path)
    import_(other, path)
    export(other, tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == path.read_bytes()


def test_any_tar_program_lists_a_bundle(full: Store, path: Path) -> None:
    export(full, path)
    listed = subprocess.run(["/usr/bin/env", "tar", "tf", path], capture_output=True, text=True, check=True)
    assert (listed.stdout.split(), listed.stderr) == ([INDEX, *(f"{BLOBS}/{d}" for d in DIGESTS)], "")


def test_only_what_was_chosen_is_exported(full: Store, other: Store, path: Path) -> None:
    export(full, path, [DIGESTS[1], DIGESTS[1]])
    assert import_(other, path).added == (DIGESTS[1],)


def test_an_empty_cache_makes_an_empty_bundle(made: Store, other: Store, path: Path) -> None:
    export(made, path)
    assert import_(other, path) == Imported((), (), (), ())


# ---------------------------------------------------------------- out


def test_what_is_not_here_cannot_be_exported(full: Store, path: Path) -> None:
    with pytest.raises(NotCachedError, match=r"0{64} is not in the cache"):
        export(full, path, ["0" * 64])
    assert not path.exists()


def test_what_is_no_digest_cannot_be_exported(full: Store, path: Path) -> None:
    with pytest.raises(ValueError, match="sha256"):
        export(full, path, ["../x"])


def test_a_damaged_blob_is_not_exported_and_the_bundle_before_stays(full: Store, path: Path, root: Path) -> None:
    path.write_bytes(b"before")
    damage(full.path(DIGESTS[0]), b"rot")
    with pytest.raises(DamagedBlobError, match="no longer what its name says"):
        export(full, path, replace=True)
    assert (path.read_bytes(), len(quarantined(root))) == (b"before", 1)
    assert [e.sha256 for e in export(full, path, replace=True)] == DIGESTS[1:]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_comes_while_a_bundle_is_written_is_not_replaced(
    full: Store, path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    real = os.link

    def linked(source: Path, target: Path) -> None:
        path.write_bytes(b"theirs")
        if not links:
            raise OSError(errno.EPERM, "no hard links here")
        real(source, target)

    monkeypatch.setattr("firmware_cache.files.os.link", linked)
    with pytest.raises(TargetExistsError, match="exists already"):
        export(full, path)
    assert ([p.name for p in path.parent.glob("*.tar*")], path.read_bytes()) == ([path.name], b"theirs")


def test_a_bundle_is_written_where_there_are_no_hard_links(
    full: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def linked(_source: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr("firmware_cache.files.os.link", linked)
    assert [e.sha256 for e in export(full, path)] == DIGESTS
    assert path.is_file()


def test_a_blob_that_goes_meanwhile_is_named(full: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(store: Store, _digests: object) -> tuple[Entry, ...]:
        found = entries(store)
        found[0].path.unlink()
        return found

    monkeypatch.setattr("firmware_cache.bundle.chosen", listed)
    with pytest.raises(NotCachedError, match=DIGESTS[0]):
        export(full, path)


def test_a_bundle_that_cannot_be_written_is_named(full: Store, tmp_path: Path) -> None:
    with pytest.raises(CacheStorageError, match=r"writing .*fw\.tar: No such file"):
        export(full, tmp_path / "none" / "fw.tar")


def test_more_than_a_bundle_holds_is_not_exported(full: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_cache.bundle.CAPS", Caps(blobs=3))
    with pytest.raises(ContentError, match="it has more than 3 files"):
        export(full, path)


# ---------------------------------------------------------------- in


def bundle(path: Path, files: dict[str, bytes], index: object = None, *, raw: bytes | None = None) -> Path:
    """A bundle with these contents under these digests, and an index that names them."""
    named: dict[str, Any] = {d: {"size_bytes": len(c), "known_as": []} for d, c in files.items()}
    text = raw if raw is not None else json.dumps(index or {"format": 1, "blobs": named}).encode()
    inside = {INDEX: text} | {f"{BLOBS}/{d}": c for d, c in files.items()}
    path.write_bytes(b"".join(header(n, len(c)) + c + padding(len(c)) for n, c in inside.items()) + END)
    return path


def of(*contents: bytes) -> dict[str, bytes]:
    return {sha256(c).hexdigest(): c for c in contents}


def test_a_damaged_member_is_named_and_the_others_are_kept(made: Store, path: Path, root: Path) -> None:
    files = of(b"one", b"two", b"three")
    bad = sorted(files)[1]
    found = import_(made, bundle(path, files | {bad: b"???"}))
    assert (found.damaged, found.added) == ((bad,), tuple(d for d in sorted(files) if d != bad))
    assert (len(blobs(root)), parts(root)) == (2, [])


def test_a_member_the_index_names_and_that_is_missing_is_named(made: Store, path: Path) -> None:
    index = {"format": 1, "blobs": {"0" * 64: {"size_bytes": 1, "known_as": []}}}
    found = import_(made, bundle(path, of(b"one"), index))
    assert (found.missing, len(found.added)) == (("0" * 64,), 1)


INDEXES = {
    "no json": b"{",
    "deep": b"[" * 100_000,
    "no object": b"[]",
    "no text": b"\xff",
    "no format": b"{}",
    "no blobs": b'{"format": 1}',
    "blobs are a list": b'{"format": 1, "blobs": []}',
    "no digest": b'{"format": 1, "blobs": {"../x": {"size_bytes": 1, "known_as": []}}}',
    "no names": b'{"format": 1, "blobs": {"%b": {"size_bytes": 1}}}' % (b"0" * 64),
    "odd names": b'{"format": 1, "blobs": {"%b": {"size_bytes": 1, "known_as": [7]}}}' % (b"0" * 64),
    "no blob": b'{"format": 1, "blobs": {"%b": 7}}' % (b"0" * 64),
}


@pytest.mark.parametrize("raw", INDEXES.values(), ids=INDEXES.keys())
def test_an_index_that_cannot_be_read_is_refused(made: Store, path: Path, root: Path, raw: bytes) -> None:
    with pytest.raises(ContentError, match="its index cannot be read"):
        import_(made, bundle(path, of(b"one"), raw=raw))
    assert blobs(root) == []


def test_an_index_of_another_format_is_refused(made: Store, path: Path) -> None:
    with pytest.raises(ContentError, match="its format is not 1"):
        import_(made, bundle(path, of(b"one"), {"format": 2, "blobs": {}}))


def test_an_index_of_another_size_than_the_blob_is_refused(made: Store, path: Path, root: Path) -> None:
    (digest,) = files = of(b"one")
    index = {"format": 1, "blobs": {digest: {"size_bytes": 4, "known_as": []}}}
    with pytest.raises(ContentError, match="has not the size its index names"):
        import_(made, bundle(path, files, index))
    assert blobs(root) == []


def test_a_bundle_without_an_index_is_refused(made: Store, path: Path) -> None:
    path.write_bytes(END)
    with pytest.raises(ContentError, match=r"it has no index\.json"):
        import_(made, path)


def test_an_index_beyond_its_cap_is_not_read(made: Store, path: Path) -> None:
    with pytest.raises(ContentError, match="its index has more than 9 bytes"):
        import_(made, bundle(path, of(b"one")), caps=Caps(index_bytes=9))


def test_an_unsafe_name_at_the_end_keeps_everything_out(made: Store, path: Path, root: Path, tmp_path: Path) -> None:
    whole = bundle(path, of(b"one")).read_bytes().removesuffix(END)
    path.write_bytes(whole + header("../escaped", 1) + b"x" + padding(1) + END)
    with pytest.raises(ContentError, match="is no name of a blob") as caught:
        import_(made, path)
    assert "Export it again" in caught.value.hint
    assert (root.exists(), sorted(p.name for p in tmp_path.iterdir())) == (False, ["fw.tar"])


def test_names_in_an_index_are_cleaned(made: Store, path: Path) -> None:
    (digest,) = files = of(b"one")
    known = [{"name": "a\x1b]0;", "version": "1"}]
    import_(made, bundle(path, files, {"format": 1, "blobs": {digest: {"size_bytes": 3, "known_as": known}}}))
    assert FirmwareCache(made.root).entries()[0].known_as == (Known("a?]0;", "1"),)


def test_a_bundle_that_is_not_there_is_named(made: Store, path: Path) -> None:
    with pytest.raises(CacheStorageError, match=r"reading .*fw\.tar: No such file"):
        import_(made, path)


def test_a_disk_without_room_for_all_is_named_before_anything_is_kept(
    made: Store, path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle(path, of(b"x" * 600, b"y" * 600))
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("firmware_cache.store.shutil.disk_usage", lambda _: free)
    with pytest.raises(CacheStorageError, match="has 1000 bytes free where the file needs 1200"):
        import_(made, path)
    assert blobs(root) == []


def test_a_large_member_goes_through_in_pieces(made: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_cache.bundle.CHUNK_BYTES", 1000)
    import_(made, bundle(path, of(CONTENT)))
    assert content_of(made) == of(CONTENT)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 5000), value=st.integers(0, 255), cut=st.integers(0, 6000))
def test_no_change_of_a_bundle_brings_in_wrong_content(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    content = bytearray(bundle(folder / "fw.tar", of(b"one" * 300, b"two" * 100)).read_bytes()[:cut])
    if at < len(content):
        content[at] = value
    (folder / "fw.tar").write_bytes(content)
    made = Store(folder / "cache")
    with suppress(FirmwareCacheError):
        import_(made, folder / "fw.tar")
    assert [d for d, c in content_of(made).items() if sha256(c).hexdigest() != d] == []
    assert sorted(p.name for p in folder.iterdir()) in (["cache", "fw.tar"], ["fw.tar"])

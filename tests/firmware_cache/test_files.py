from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from firmware_cache import files
from firmware_cache.files import HELD_S, remove, replace, share, sync_folder, unread, whole


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


class Clock:
    """A clock that goes on only when somebody pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr("firmware_cache.files.time.monotonic", lambda: self.now_s)

    def pause(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


# ---------------------------------------------------------------- replace


def refusing(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The system refuses to rename so many times."""
    left, real = [times], Path.replace

    def rename(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] >= 0:
            raise PermissionError(13, "is open elsewhere")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", rename)


def test_a_name_is_replaced(file: Path, tmp_path: Path) -> None:
    replace(file, tmp_path / "new")
    assert ((tmp_path / "new").read_bytes(), file.exists()) == (b"content", False)


def test_windows_is_asked_again_until_the_file_is_let_go(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(files, "_HOLDS_FILES", True)
    refusing(monkeypatch, 10)
    replace(file, tmp_path / "new", pause=clock.pause)
    assert (tmp_path / "new").read_bytes() == b"content"


def test_windows_is_asked_for_a_second_only(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(files, "_HOLDS_FILES", True)
    refusing(monkeypatch, 10_000)
    with pytest.raises(PermissionError):
        replace(file, tmp_path / "new", pause=clock.pause)
    assert HELD_S <= clock.now_s < 2 * HELD_S


def test_elsewhere_a_refusal_is_final(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    refusing(monkeypatch, 1)
    with pytest.raises(PermissionError):
        replace(file, tmp_path / "new", pause=clock.pause)
    assert clock.now_s == 0


# ---------------------------------------------------------------- whole


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with whole(tmp_path / "new") as out:
        out.write(b"content")
        assert not (tmp_path / "new").exists()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("new", b"content")]


def test_a_file_that_fails_leaves_the_one_that_was_there_and_nothing_else(file: Path) -> None:
    def write() -> None:
        with whole(file) as out:
            out.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [(p.name, p.read_bytes()) for p in file.parent.iterdir()] == [("file", b"content")]


def test_a_file_that_may_not_be_replaced_stays_and_nothing_else_is_left(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(FileExistsError), whole(file, over=False) as out:
        out.write(b"new")
    assert ([p.name for p in file.parent.iterdir()], file.read_bytes()) == ([file.name], before)


def test_a_free_name_is_given_where_none_may_be_replaced(tmp_path: Path) -> None:
    with whole(tmp_path / "new", over=False) as out:
        out.write(b"new")
    assert ([p.name for p in tmp_path.iterdir()], (tmp_path / "new").read_bytes()) == (["new"], b"new")


def test_the_bytes_are_on_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = os.fsync, list[tuple[int, bool]]()

    def fsync(descriptor: int) -> None:
        seen.append((os.fstat(descriptor).st_size, (tmp_path / "new").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with whole(tmp_path / "new") as out:
        out.write(b"content")
    assert seen == [(7, False)]


def test_a_name_of_any_length_can_be_written(tmp_path: Path) -> None:
    with whole(tmp_path / ("n" * 255)):
        pass
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_brought_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = list[int]()
    monkeypatch.setattr(os, "fsync", synced.append)
    sync_folder(tmp_path)
    assert len(synced) == 1


def test_a_system_that_opens_no_folders_is_not_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_CAN_SYNC_FOLDERS", False)
    sync_folder(tmp_path / "not there")


# ---------------------------------------------------------------- share


def test_a_file_that_is_read_is_seen_to_be(file: Path) -> None:
    with file.open("rb") as reader, file.open("rb") as pruner:
        share(reader)
        assert unread(pruner) is False


def test_a_file_that_was_read_is_free_again(file: Path) -> None:
    with file.open("rb") as reader:
        share(reader)
    with file.open("rb") as pruner:
        assert unread(pruner) is True


def test_two_may_read_one_file(file: Path) -> None:
    with file.open("rb") as one, file.open("rb") as other:
        assert (share(one), share(other)) == (True, True)


def test_who_reads_waits_for_who_removes(file: Path) -> None:
    with file.open("rb") as pruner, file.open("rb") as reader:
        assert unread(pruner)

        def pause(_seconds: float) -> None:
            pruner.close()

        assert share(reader, pause=pause) is True


def test_who_reads_waits_a_second_and_no_longer(file: Path, clock: Clock) -> None:
    with file.open("rb") as pruner, file.open("rb") as reader:
        assert unread(pruner)
        assert share(reader, pause=clock.pause) is False
    assert HELD_S <= clock.now_s < 2 * HELD_S


def test_where_locks_cannot_be_had_the_file_is_read_all_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_file: object, _how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(files, "_flock", SimpleNamespace(flock=flock, LOCK_SH=1, LOCK_EX=2, LOCK_NB=4))
    with file.open("rb") as reader:
        assert (share(reader), unread(reader)) == (False, True)


def test_a_system_without_such_locks_is_not_asked(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_flock", None)
    with file.open("rb") as reader:
        assert (share(reader), unread(reader)) == (True, True)


# ---------------------------------------------------------------- remove


def test_a_file_that_is_open_here_is_removed(file: Path) -> None:
    with file.open("rb") as opened:
        assert remove(opened, file) is True
        assert (file.exists(), opened.read()) == (False, b"content")


def test_a_file_that_is_gone_is_as_good_as_removed(file: Path) -> None:
    with file.open("rb") as opened:
        file.unlink()
        assert remove(opened, file) is True


def test_windows_removes_only_what_is_closed_and_may_be_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_HOLDS_FILES", True)
    file.chmod(0o444)
    seen = list[tuple[bool, int]]()
    opened = file.open("rb")

    def unlink(self: Path, *, missing_ok: bool) -> None:
        seen.append((opened.closed, self.stat().st_mode & 0o777))
        assert missing_ok

    monkeypatch.setattr(Path, "unlink", unlink)
    assert remove(opened, file) is True
    assert seen == [(True, 0o644)]


def refuse(_self: Path, **_: object) -> None:
    raise PermissionError(13, "no")


def test_what_windows_does_not_remove_somebody_else_has_open(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_HOLDS_FILES", True)
    monkeypatch.setattr(Path, "unlink", refuse)
    assert remove(file.open("rb"), file) is False


def test_elsewhere_what_cannot_be_removed_is_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "unlink", refuse)
    with file.open("rb") as opened, pytest.raises(PermissionError):
        remove(opened, file)

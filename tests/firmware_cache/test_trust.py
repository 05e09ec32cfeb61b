from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from firmware_cache import CacheStorageError, DamagedBlobError
from firmware_cache.trust import check_folder, make_folder, open_blob, own_ids


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is ours belongs to another user from here on."""
    monkeypatch.setattr("firmware_cache.trust.own_ids", lambda: frozenset({os.geteuid() + 1}))


# ---------------------------------------------------------------- blobs


def test_an_ordinary_file_is_opened_at_its_start(file: Path) -> None:
    opened = open_blob(file)
    assert opened is not None
    with opened:
        assert opened.read() == b"content"


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert open_blob(tmp_path / "file") is None


def test_a_file_that_its_group_may_write_is_opened(file: Path) -> None:
    file.chmod(0o664)  # as an ordinary umask makes it
    opened = open_blob(file)
    assert opened is not None
    opened.close()


def refused(path: Path, why: str) -> None:
    with pytest.raises(DamagedBlobError, match=why):
        open_blob(path)


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file)
    refused(tmp_path / "link", "no ordinary file")


def test_a_link_that_is_put_there_at_the_last_moment_is_not_followed(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_symlink", lambda _: False)
    (tmp_path / "link").symlink_to(file)
    refused(tmp_path / "link", "no ordinary file")


def test_a_hard_link_is_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").hardlink_to(file)
    refused(file, "hard link")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    refused(tmp_path, "no ordinary file")


def test_a_pipe_is_refused_without_waiting_for_its_other_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "no ordinary file")


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        refused(tmp_path / "socket", "no ordinary file")


def test_a_file_of_another_user_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody_else(monkeypatch)
    refused(file, "belongs to another user")


def test_a_file_that_everybody_may_write_is_refused(file: Path) -> None:
    file.chmod(0o646)
    refused(file, "may be written by everybody")


def test_what_is_refused_is_not_left_open(tmp_path: Path, file: Path) -> None:
    file.chmod(0o666)
    before = len(list(Path("/proc/self/fd").iterdir()))
    refused(file, "everybody")
    refused(tmp_path, "ordinary")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_another_error_is_the_systems_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(OSError, match="Input/output"):
        open_blob(file)


def test_we_trust_ourselves_and_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert own_ids() == frozenset({0, 1000})


def test_a_system_without_owners_has_none_to_ask_about(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "geteuid")
    file.chmod(0o666)
    opened = open_blob(file)
    assert opened is not None
    opened.close()


# ---------------------------------------------------------------- folders


def test_an_ordinary_folder_is_fine(tmp_path: Path) -> None:
    check_folder(tmp_path)


def test_a_folder_that_is_not_there_is_fine(tmp_path: Path) -> None:
    check_folder(tmp_path / "none")


def folder_refused(path: Path, why: str, *, link: bool = False) -> CacheStorageError:
    with pytest.raises(CacheStorageError, match=why) as caught:
        check_folder(path, link=link)
    return caught.value


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    folder_refused(tmp_path / "link", "is a link where a folder must be")


def test_the_root_may_be_a_link_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    check_folder(tmp_path / "link", link=True)


def test_a_file_is_no_folder(file: Path) -> None:
    folder_refused(file, "is in the way of a folder")


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody_else(monkeypatch)
    folder_refused(tmp_path, "belongs to another user")


def test_a_folder_that_everybody_may_write_is_refused_with_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert "owner and mode" in folder_refused(tmp_path, "may be written by everybody").hint


def test_a_root_like_tmp_is_fine(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    check_folder(tmp_path, link=True)


def test_a_root_like_tmp_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o1777)
    somebody_else(monkeypatch)
    folder_refused(tmp_path, "belongs to another user", link=True)


def test_below_the_root_a_folder_like_tmp_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    folder_refused(tmp_path, "may be written by everybody")


def test_folders_are_made_with_what_is_above_them(tmp_path: Path) -> None:
    made = make_folder(tmp_path / "a" / "root", "b", "c")
    assert (made, made.is_dir()) == (tmp_path / "a" / "root" / "b" / "c", True)


def test_folders_are_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = make_folder(tmp_path / "root", "b")
    finally:
        os.umask(before)
    assert [p.stat().st_mode & 0o777 for p in (made.parent, made)] == [0o755, 0o755]


def test_no_folder_is_made_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root" / "b").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheStorageError, match="is a link"):
        make_folder(tmp_path / "root", "b", "c")
    assert list((tmp_path / "elsewhere").iterdir()) == []

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from ble_ota.errors import StorageError
from ble_ota.ledger.place import located, network_file_system


@dataclass(frozen=True)
class Mount:
    mountpoint: str
    fstype: str
    opts: str = "rw"


ROOT = Mount("/", "ext4")


@pytest.mark.parametrize(
    "kind",
    [
        *("nfs", "nfs4", "NFS", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"),
        *("fuse.glusterfs", "lustre", "gpfs", "beegfs"),
    ],
)
def test_a_network_file_system_is_named(kind: str) -> None:
    assert network_file_system(Path("/mnt/share/state"), [ROOT, Mount("/mnt/share", kind)]) == kind.lower()


@pytest.mark.parametrize("kind", ["ext4", "tmpfs", "xfs", "btrfs", "overlay", "apfs", "fuseblk", "fuse.ntfs-3g"])
def test_a_disk_of_this_machine_is_none(kind: str) -> None:
    assert network_file_system(Path("/mnt/share/state"), [ROOT, Mount("/mnt/share", kind)]) == ""


def test_a_remote_drive_of_windows_is_told_by_its_options() -> None:
    assert network_file_system(Path("/z/state"), [Mount("/z", "", "rw,remote")]) == "remote"


def test_the_longest_mount_that_holds_the_folder_decides() -> None:
    mounts = [Mount("/mnt/share/disk", "ext4"), Mount("/mnt/share", "nfs4"), ROOT]
    assert network_file_system(Path("/mnt/share/disk/state"), mounts) == ""


def test_a_mount_whose_name_only_begins_alike_does_not_count() -> None:
    assert network_file_system(Path("/mnt/shared"), [ROOT, Mount("/mnt/share", "nfs4")]) == ""


def test_of_two_mounts_on_one_point_the_later_one_counts() -> None:
    assert network_file_system(Path("/mnt/a"), [Mount("/mnt", "nfs4"), Mount("/mnt", "ext4")]) == ""


def test_a_folder_on_no_known_mount_is_on_no_network() -> None:
    assert network_file_system(Path("/mnt/a"), [Mount("", "nfs4")]) == ""


@pytest.mark.parametrize("as_url", [False, True])
def test_a_ledger_on_a_network_file_system_is_refused(
    as_url: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = [ROOT, Mount(str(tmp_path.resolve()), "nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda *, all: mounts if all else [])  # noqa: A006
    file = tmp_path / "state" / "ledger.db"
    with pytest.raises(StorageError, match=r"network file system \(nfs4\)") as refused:
        located(f"sqlite:///{file}" if as_url else file)
    assert "state_dir" in refused.value.hint
    assert not file.exists()


def test_the_file_is_for_its_owner_alone(file: Path) -> None:
    located(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_file_that_is_there_is_left_as_it_is(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"x")
    file.chmod(0o640)
    located(file)
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"x", 0o640)


def test_a_folder_that_is_a_file_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        located(tmp_path / "state" / "ledger.db")


def test_a_path_with_signs_of_a_url_is_still_a_path(tmp_path: Path) -> None:
    file = tmp_path / "50% of ?a#b" / "ledger.db"
    assert located(file).database == str(file)


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///:memory:", "postgresql+psycopg://ada@db/ledger"])
def test_a_url_without_a_file_makes_none(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    located(text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "ada:hunter2@db", "postgresql://ada:hunter2@db:port/ledger"])
def test_an_address_that_is_none_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(StorageError, match="cannot be read") as refused:
        located(text)
    assert "hunter2" not in f"{refused.value} {refused.value.__cause__} {refused.value.hint}"

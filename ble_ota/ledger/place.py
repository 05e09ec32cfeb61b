"""Where a ledger may stand: a file on a disk of this machine, or a database server's address."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import psutil
import sqlalchemy as sa
from sqlalchemy import exc

from ble_ota.errors import StorageError

# SQLite's WAL needs memory shared between all its processes (sqlite.org/wal.html, "Disadvantages" 2), and its locks
# are only as good as the file system's.
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "9p", "sshfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "davfs", "rclone"}
)
_MOVE = "Set `state_dir` to a folder on a disk of this machine"


class Partition(Protocol):
    """A line of the system's table of mounts, as psutil gives it."""

    @property
    def mountpoint(self) -> str:
        """Where it hangs."""
        ...

    @property
    def fstype(self) -> str:
        """What it is, "ext4" for example."""
        ...

    @property
    def opts(self) -> str:
        """How it is mounted, with commas between."""
        ...


def located(place: Path | str) -> sa.URL:
    """The database at `place`, with the file there: made with mode 0600, its folder with 0700.

    Raises:
        StorageError: The place cannot be used, or is on a network file system.
    """
    url = _address(place) if isinstance(place, str) else sa.URL.create("sqlite", database=str(place.absolute()))
    if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":", "file:")):
        _prepare(Path(url.database))
    return url


def network_file_system(folder: Path, partitions: Iterable[Partition]) -> str:
    """The kind of network file system that `folder`, resolved, is on, or "" when it is on none."""
    holding = [p for p in partitions if p.mountpoint and folder.is_relative_to(p.mountpoint)]
    if not holding:
        return ""
    longest = max(len(Path(p.mountpoint).parts) for p in holding)
    # of two mounts on one point, the later one is what is seen
    found = [p for p in holding if len(Path(p.mountpoint).parts) == longest][-1]
    kind = found.fstype.lower()
    if kind.removeprefix("fuse.") in _NETWORK or kind.startswith("smb"):
        return kind
    return "remote" if "remote" in found.opts.split(",") else ""


def _address(text: str) -> sa.URL:
    try:
        return sa.make_url(text)
    except (exc.ArgumentError, ValueError):
        msg = "the address of the ledger cannot be read"
        raise StorageError(msg, hint="Write it as postgresql+psycopg://USER@HOST/DATABASE") from None  # may be a secret


def _prepare(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        kind = network_file_system(file.parent.resolve(), psutil.disk_partitions(all=True))
        if kind:
            msg = f"the ledger {file} would be on a network file system ({kind}), where its locks do not hold"
            raise StorageError(msg, hint=_MOVE)
        if not file.exists():
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # what SQLite adds beside it takes this mode over
    except OSError as error:
        msg = f"the ledger {file} cannot be made: {error.strerror}"
        raise StorageError(msg) from error

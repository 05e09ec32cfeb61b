"""What of a file system others could change under our hands: links, other owners, folders open to everybody.

Content is held against its digest at every read, so all this is about the time between: a file that is checked and
then streamed, and a folder that is written to.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from firmware_cache.errors import CacheStorageError, DamagedBlobError

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A link is not followed, a pipe is not waited for, Windows translates no line ends. Each is 0 where it is unknown."""
_NO_FILE = {errno.ELOOP, errno.EISDIR, errno.ENXIO}  # what a link, a folder and a socket say to being opened


def own_ids() -> frozenset[int] | None:
    """Whose files we trust: our own and root's; None on a system without such numbers."""
    return frozenset({0, os.geteuid()}) if hasattr(os, "geteuid") else None


def open_blob(path: Path) -> BinaryIO | None:
    """Open a blob for reading, if it is a file that nobody else can change; None when there is none.

    Raises:
        DamagedBlobError: Something else is under its name: a link, a folder, a file of another user.
        OSError: The file system says no otherwise.
    """
    try:
        if path.is_symlink():  # for systems that cannot be asked while opening
            raise OSError(errno.ELOOP, "is a link")
        descriptor = os.open(path, os.O_RDONLY | _NO_LINKS)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        msg = f"{path} is no ordinary file"
        raise DamagedBlobError(msg) from error
    if why := _planted(os.fstat(descriptor)):
        os.close(descriptor)
        msg = f"{path} {why}"
        raise DamagedBlobError(msg)
    return os.fdopen(descriptor, "rb")


def _planted(found: os.stat_result) -> str:
    """Why others could change a file; "" when they cannot."""
    if not stat.S_ISREG(found.st_mode):
        return "is no ordinary file"
    if found.st_nlink > 1:
        return "is a hard link: it can be changed under another name"
    return _foreign(found)


def _foreign(found: os.stat_result) -> str:
    ids = own_ids()
    if ids is None:
        return ""  # Windows: what the mode says means nothing there
    if found.st_uid not in ids:
        return "belongs to another user"
    return "may be written by everybody" if found.st_mode & stat.S_IWOTH else ""


def check_folder(folder: Path, *, link: bool = False) -> None:
    """Refuse a folder in which others could put or change files; one that is not there is fine.

    Args:
        folder: Which.
        link: Whether it may be a link to a folder, as the root of a cache may.

    Raises:
        CacheStorageError: It is a link or no folder, belongs to another user, or may be written by everybody.
        OSError: The file system says no.
    """
    try:
        found = folder.stat() if link else folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        why = "is a link where a folder must be" if stat.S_ISLNK(found.st_mode) else "is in the way of a folder"
    elif link and found.st_mode & stat.S_ISVTX and found.st_uid in (own_ids() or ()):
        return  # in a folder like /tmp nobody renames what is ours
    else:
        why = _foreign(found)
    if why:
        msg = f"{folder} {why}"
        raise CacheStorageError(msg, hint="Remove it, or correct its owner and mode, or use another folder")


def make_folder(root: Path, *inside: str) -> Path:
    """Make the folder `root`/`inside`… with what is above it, open to nobody else, and check each step from `root`.

    Raises:
        CacheStorageError: One of them is not to be trusted, see `check_folder`.
        OSError: The file system says no.
    """
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    check_folder(root, link=True)
    folder = root
    for name in inside:
        folder = folder / name
        folder.mkdir(mode=0o755, exist_ok=True)
        check_folder(folder)
    return folder

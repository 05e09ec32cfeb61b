"""Names on a disk: given in one step, brought to the disk, and held while a file is read.

::

    reader    open ── shared lock ── hash ── use ── close     the system lets go when the process dies
    pruner    open ── exclusive lock, or leave it ── pinned? ── unlink

A lock saves a download, no more: where locks do nothing, a POSIX system keeps the content of an open file that has
lost its name, and Windows deletes no file that is open.
"""

from __future__ import annotations

import errno
import importlib
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import BinaryIO
from uuid import uuid4

HELD_S = 1.0  # how long pip waits for a virus scanner, or another program, to let go of a file on Windows
_PAUSE_S = 0.02
_HOLDS_FILES = os.name == "nt"  # a system that refuses to rename onto a file that is open
_CAN_SYNC_FOLDERS = os.name == "posix"  # Windows opens no folder as a file, and its rename is in the journal
_flock: ModuleType | None = importlib.import_module("fcntl") if os.name == "posix" else None


def replace(source: Path, target: Path, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Give `source` the name `target` in one step; on Windows wait up to `HELD_S` for who has `target` open.

    Raises:
        OSError: The file system says no.
    """
    until_s = time.monotonic() + (HELD_S if _HOLDS_FILES else 0)
    while True:
        try:
            source.replace(target)
        except PermissionError:
            if time.monotonic() >= until_s:
                raise
            pause(_PAUSE_S)
        else:
            return


def sync_folder(folder: Path) -> None:
    """Bring a new name in `folder` to the disk. Raises `OSError`."""
    if not _CAN_SYNC_FOLDERS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole(target: Path, *, over: bool = True) -> Generator[BinaryIO, None, None]:
    """Write a file that gets its name at the end of the block, whole; after an error there is none.

    Args:
        target: Its name. A link of that name is replaced, and what it leads to is left as it is.
        over: Whether a file of that name is replaced.

    Raises:
        FileExistsError: There is one, and `over` is False.
        OSError: The file system says no.
    """
    # In the same folder: a rename does not leave its file system.
    temporary = target.with_name(f".{target.name[:100]}.{uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if over:
            replace(temporary, target)
        else:
            _name(temporary, target)
    finally:
        with suppress(OSError):  # gone, where all went well
            temporary.unlink()


def _name(source: Path, target: Path) -> None:
    """Give `source` the name `target`, which must be free.

    Raises:
        FileExistsError: It is not.
        OSError: The file system says no otherwise.
    """
    try:
        os.link(source, target)  # unlike a rename this never replaces
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, as on many sticks: here a race is possible
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        replace(source, target)


def share(file: BinaryIO, *, pause: Callable[[float], None] = time.sleep) -> bool:
    """Let others see that `file` is being read, until it is closed. Never fails.

    Who is about to remove it is waited for: it is gone then, with its content still ours, or it stays. That takes them
    no time; after `HELD_S` they have been stopped, and False says that nobody sees us.
    """
    until_s = time.monotonic() + HELD_S
    while _flock is not None:
        try:
            _flock.flock(file, _flock.LOCK_SH | _flock.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                return False
            pause(_PAUSE_S)
        except OSError:
            return False  # a file system without locks
        else:
            return True
    return True


def unread(file: BinaryIO) -> bool:
    """Whether nobody reads `file`; if so, `share` of others waits until it is closed.

    Where the file system knows no such locks nobody seems to.
    """
    if _flock is None:
        return True
    try:
        _flock.flock(file, _flock.LOCK_EX | _flock.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def remove(file: BinaryIO, path: Path) -> bool:
    """Take the name of a file that is open here; False when somebody else has it open and the system minds.

    Raises:
        OSError: The file system says no otherwise.
    """
    if _HOLDS_FILES:
        file.close()  # Windows removes no file that is open, or that may only be read
        path.chmod(0o644)
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        if not _HOLDS_FILES:
            raise
        return False
    return True

"""Firmware files on a disk: opened once, summed up in one pass, and read again from that very open file.

The file stays open while it is sent, so a file that takes its name meanwhile changes nothing; one that is edited in
place is seen by `Content.block`. No reading is done on the thread of the event loop.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ble_ota.content import BLOCK_BYTES, Content, Hasher, Summary
from ble_ota.errors import StorageError, TrustError, UsageError
from ble_ota.model import IMAGE_MAX_BYTES

READ_S = 30.0  # our choice: a disk that was asleep answers in 10 s; below `install.Patience.stall_s`
_PLAIN = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe is not waited for


@contextmanager
def opened(path: Path) -> Generator[Content, None, None]:
    """Open a local firmware file and sum it up; it stays open for the block. Blocks on the disk.

    Raises:
        UsageError: It cannot be read, or is no file: a pipe cannot be read twice.
        TrustError: It is empty, or larger than `IMAGE_MAX_BYTES`.
    """
    try:
        file = _opened(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        try:
            summary = sum_up(file, path)
        except OSError as error:
            raise _unreadable(path, error) from error
        yield content_of(file, summary, str(path))


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be read: {error.strerror or error}")


def _opened(path: Path) -> BinaryIO:
    """Open a plain file. Raises `UsageError`, `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | _PLAIN)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    msg = f"{path} is {'a directory' if stat.S_ISDIR(mode) else 'no ordinary file'}"
    raise UsageError(msg, hint="Name a firmware file; save what comes from a pipe into one first")


def sum_up(file: BinaryIO, path: Path) -> Summary:
    """Sum up an open file from its start, at most `IMAGE_MAX_BYTES`, in the memory of a block. Blocks on the disk.

    Raises:
        TrustError: It is empty or larger.
        OSError: It cannot be read.
    """
    hasher = Hasher()
    while hasher.size_bytes <= IMAGE_MAX_BYTES and (data := file.read(BLOCK_BYTES)):
        hasher.update(data)
    if not 0 < hasher.size_bytes <= IMAGE_MAX_BYTES:
        largest = f"{IMAGE_MAX_BYTES // 1_000_000} MB"
        msg = f"{path} is {f'larger than {largest}' if hasher.size_bytes else 'empty'}"
        raise TrustError(msg, hint=f"A firmware file has 1 byte to {largest}")
    return hasher.summary()


def content_of(file: BinaryIO, summary: Summary, name: str) -> Content:
    """Make the content of an open file that was summed up; the caller keeps it open.

    Args:
        file: Opened for reading; where it stands does not matter, and may change.
        summary: What the pass over it found.
        name: What it is called in a sentence.
    """
    one_at_a_time = threading.Lock()

    async def read(offset: int, length: int) -> bytes:
        try:
            async with asyncio.timeout(READ_S):
                return await asyncio.to_thread(_read_at, file, offset, length, one_at_a_time)
        except TimeoutError:
            msg = f"reading {name}: the disk did not answer within {READ_S:g} s"
            raise StorageError(msg, hint="Check the disk, then run the same command again") from None
        except OSError as error:
            msg = f"reading {name}: {error.strerror or error}"
            raise StorageError(msg, hint="Check the disk, then run the same command again") from error

    return Content(summary, read, name)


def _read_at(file: BinaryIO, offset: int, length: int, one_at_a_time: threading.Lock) -> bytes:
    """Read at `offset`, without moving other readers of the same open file where the system can. Blocks on the disk."""
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), length, offset)
    with one_at_a_time:
        file.seek(offset)
        return file.read(length)

"""Readers that stall, go, or are slow: pipes for the output of a process."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress

FILLED = b"x" * 4096


@contextmanager
def stalled() -> Generator[int, None, None]:
    """The writing end of a pipe that is full, and is read by nobody during the block."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writes, FILLED)
    os.set_blocking(writes, True)
    try:
        yield writes
    finally:
        os.close(writes)
        os.close(reads)


@contextmanager
def gone() -> Generator[int, None, None]:
    """The writing end of a pipe whose reader has gone."""
    reads, writes = os.pipe()
    os.close(reads)
    try:
        yield writes
    finally:
        os.close(writes)

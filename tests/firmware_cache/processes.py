"""Processes that fetch one file side by side: `python -m tests.firmware_cache.processes ROOT URL FILE COUNT`.

Prints how each of them ended. They are forked from this small program, since a test's own process may have threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import httpx

from firmware_cache import FirmwareCache, Limits, Ref, lock

TRUST = ssl.create_default_context()  # once: it takes longer than all the rest


class NoLock:
    """What a lock is on some network file systems: everybody gets it."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def acquire(self, timeout: float) -> None: ...

    def release(self) -> None: ...


def without_locks() -> None:
    """Let locks do nothing, in this process and those that it forks."""
    setattr(lock, "FileLock", NoLock)  # noqa: B010 - a name that the module only imports


def reference(file: Path) -> Ref:
    content = file.read_bytes()
    return Ref(len(content), sha256=sha256(content).hexdigest())


async def fetch(root: Path, url: str, ref: Ref) -> None:
    async with httpx.AsyncClient(verify=TRUST, trust_env=False) as client:
        file = await FirmwareCache(root).fetch(ref, url, client=client, limits=Limits(pause_s=0.01))
    file.read()  # which hashes once more


def forked(work: Callable[[], object]) -> int:
    """Run `work` in a process of its own; its number."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def ended(pid: int) -> int:
    """How a process ended: its exit code, or minus its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(root: Path, url: str, file: Path, count: int) -> None:
    ref = reference(file)
    pids = [forked(lambda: asyncio.run(fetch(root, url, ref))) for _ in range(count)]
    print(json.dumps([ended(pid) for pid in pids]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--no-locks", action="store_true")
    given = parser.parse_args()
    if given.no_locks:
        without_locks()
    main(given.root, given.url, given.file, given.count)

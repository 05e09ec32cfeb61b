"""One process fetches, the others wait: a lock that saves bandwidth, and nothing else.

Where locks do nothing (network file systems), or someone holds one for too long, all is right without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from filelock import FileLock, Timeout

POLL_S = 0.1  # between two looks; a system call each
SAY_AGAIN_S = 10.0  # huggingface_hub's measure of how long a person believes in a program that says nothing

_log = logging.getLogger(__name__)


@asynccontextmanager
async def turn(path: Path, *, wait_s: float, waiting: Callable[[str], None]) -> AsyncGenerator[None, None]:
    """Hold the lock `path` during the block; begin without it after `wait_s` seconds, or where locks do not work.

    Args:
        path: The lock's file, in a folder that is there. It stays.
        wait_s: Longest wait.
        waiting: Told in a sentence when a wait begins, and again every `SAY_AGAIN_S`.
    """
    lock = FileLock(path, thread_local=False)
    held = await _acquire(lock, wait_s, waiting)
    try:
        yield
    finally:
        if held:
            lock.release()


async def _acquire(lock: FileLock, wait_s: float, waiting: Callable[[str], None]) -> bool:
    clock = asyncio.get_running_loop().time
    began_s = clock()
    say_at_s = began_s
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            pass
        except (OSError, NotImplementedError) as error:
            _log.warning("locks do not work here, so two processes may fetch one file: %s", error)
            return False
        else:
            return True
        now_s = clock()
        if now_s - began_s >= wait_s:
            waiting(f"another process has been fetching this file for {wait_s:g} s: not waiting any longer")
            return False
        if now_s >= say_at_s:
            waiting("another process fetches this file: waiting for it")
            say_at_s = now_s + SAY_AGAIN_S
        await asyncio.sleep(POLL_S)

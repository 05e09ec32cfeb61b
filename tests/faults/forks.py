"""Processes that begin with everything imported: a Python of its own for each would take most of the time.

Whoever forks has no loop and no thread.
"""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path


def warm(modules: Iterable[str]) -> None:
    """Import these, as far as they can be."""
    for module in modules:
        with suppress(ImportError):  # some packages make names of modules that are none
            import_module(module)


def forked(work: Callable[[], int]) -> int:
    """Begin `work` in a process of its own, which ends with the code it gives; returns the process's number."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        code = work()
    except BaseException:  # noqa: BLE001 -- whatever it is, this process must not go on as the one it was made from
        traceback.print_exc()
    finally:
        os._exit(code)


def command(words: list[str], environment: Mapping[str, str], out: int, err: Path) -> int:
    """Be `ble-ota` with these words, its stdout at the descriptor `out`; returns its exit code."""
    from ble_ota.cli.app import app

    os.environ.update(environment)
    os.dup2(out, sys.stdout.fileno())
    os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), sys.stderr.fileno())
    try:
        app(words, standalone_mode=False)
    except SystemExit as end:
        sys.stdout.flush()
        return int(end.code or 0)
    return 0


def ends(child: int, *, within_s: float | None) -> int | None:
    """Wait for the end of a child; gives its exit code, less than 0 for a signal, or None when it has not ended."""
    handle = os.pidfd_open(child)
    try:
        over, _, _ = select.select([handle], [], [], within_s)
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if over else None

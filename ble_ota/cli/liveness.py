"""Which open runs of the ledger have died.

A run is dead only if it began on a host of this name, its locks on this host are free and its process is gone. Neither
of the two is enough. A lock is not seen from another network namespace, and an older version of this program holds
fewer locks. A process is not seen if the system hides those of other users, and a clock that was set makes it look like
a later one of the same number. A run of another host is never dead here; hosts that share a ledger must have different
names.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Generator, Set
from contextlib import contextmanager
from itertools import product
from typing import TypeAlias

import psutil

from ble_ota.cli.wiring import places_of
from ble_ota.ledger import LEAVES_NOTHING, RunRow, is_free, machine_locked

CLOCK_S = 60.0  # our choice: so far a clock may be set back while a run begins
Lock: TypeAlias = tuple[str, str]  # a radio's place, and a device's name
_RUNS = "runs"  # no place of a radio: it is that of locks which show that a run lives


def lock_names(*, product_key: str, device_key: str, address: str = "") -> list[str]:
    """Return what a device is locked as: its address, and its keys where it has any."""
    names = [f"address {address.upper()}"] if address else []
    return [*names, f"device {product_key}/{device_key}"] if device_key else names


@contextmanager
def run_locked(run: str) -> Generator[None, None, None]:
    """Show to other processes that this run lives, from before it stands in the ledger until it has a verdict.

    Only on Linux: elsewhere each run would leave a file behind, and only its process tells.

    Raises:
        DeviceBusyError: The lock cannot be had.
    """
    if not LEAVES_NOTHING:
        yield
        return
    with machine_locked(_RUNS, f"run {run}"):
        yield


def is_dead(row: RunRow, held: Set[Lock] = frozenset()) -> bool:
    """Return True if the process of this open run is certainly gone.

    Args:
        row: From before it names its device until it has a verdict, its process has the device's locks, too.
        held: The device's locks that this process has.
    """
    if not begun_here(row):
        return False
    names = lock_names(product_key=row.product_key, device_key=row.device_key, address=row.address)
    locks = set(product(places_of(row.radio), names)) - held
    if LEAVES_NOTHING:
        locks.add((_RUNS, f"run {row.id}"))
    lockable = bool(names) or LEAVES_NOTHING
    if not process_is_gone(row) and not (lockable and row.pid == os.getpid()):  # of this process the locks tell all
        return False
    return all(is_free(*lock) for lock in locks)


def begun_here(row: RunRow) -> bool:
    """Return True if the run began on a host of this name."""
    return row.who.rpartition("@")[2] == platform.node()


def process_is_gone(row: RunRow) -> bool:
    """Return True if no process of this host is seen that can be that of the run, which must have begun here."""
    try:
        process = psutil.Process(row.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return process.create_time() > row.started_at_s + CLOCK_S  # another one, of the same number
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:  # it is there, and not ours to look at
        return False

"""The one door to the locks of a device, and the judgement which runs of it have died.

A run is dead only if it began on this host, its locks on this host are free and its process is gone. The process is
asked, too, because a lock is not seen from another network namespace, and an older version of this program holds only
the one in its state folder. A run of another host is never dead; hosts that share a ledger must differ in their names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Sequence, Set
from contextlib import contextmanager
from itertools import product
from typing import TypeAlias

from ble_ota.cli.journal import begun_here, process_is_gone, who
from ble_ota.cli.wiring import places_of
from ble_ota.ledger import Owner, RunRow, claimed, is_free
from ble_ota.settings import Settings

FOLDER = "claims"  # of the state folder
Lock: TypeAlias = tuple[str, str]  # a radio's place, and a device's name


def lock_names(*, product_key: str, device_key: str, address: str = "") -> list[str]:
    """Return what a device is locked as: its address, and its keys where it has any."""
    names = [f"address {address.upper()}"] if address else []
    return [*names, f"device {product_key}/{device_key}"] if device_key else names


@contextmanager
def device_locked(
    settings: Settings, radios: Iterable[str], names: Sequence[str], *, command: str, run: str
) -> Generator[Set[Lock], None, None]:
    """Be the only process that works on the device until the block ends; give the locks of this machine.

    Args:
        settings: Name the state folder.
        radios: Those whose places are locked, as in the setting `radio`.
        names: See `lock_names`.
        command: Told to those who come too late.
        run: The same.

    Raises:
        DeviceBusyError: Another process works on the device, or that cannot be checked.
        StorageError: The state folder cannot be used.
    """
    places = sorted({place for radio in radios for place in places_of(radio)})
    owner = Owner(os.getpid(), command, run, who(), time.time())
    with claimed(settings.state_dir / FOLDER, places, names, owner):
        yield frozenset(product(places, names))


def is_dead(row: RunRow, held: Set[Lock]) -> bool:
    """Return True if the process of this open run is certainly gone.

    Args:
        row: A run that knows its device: from before that is written down until its verdict is, it has all its locks.
        held: The locks of this process.
    """
    if not begun_here(row):
        return False
    names = lock_names(product_key=row.product_key, device_key=row.device_key, address=row.address)
    locks = set(product(places_of(row.radio), names)) - held
    return (row.pid == os.getpid() or process_is_gone(row)) and all(is_free(*lock) for lock in locks)

"""The one door to the locks of a device."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Sequence, Set
from contextlib import contextmanager
from itertools import product

from ble_ota.cli.journal import who
from ble_ota.cli.liveness import Lock
from ble_ota.cli.wiring import places_of
from ble_ota.ledger import Owner, claimed
from ble_ota.settings import Settings

FOLDER = "claims"  # of the state folder


@contextmanager
def device_locked(
    settings: Settings, radios: Iterable[str], names: Sequence[str], *, command: str, run: str
) -> Generator[Set[Lock], None, None]:
    """Be the only process that works on the device until the block ends; give the locks of this machine.

    Args:
        settings: Name the state folder.
        radios: Those whose places are locked, as in the setting `radio`.
        names: See `liveness.lock_names`.
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

"""One writer per device, across processes: locks that the system lets go of when their owner dies.

Two kinds are held together. The lock files of a state folder tell in full what their owner does. The locks of
`machine_lock` exclude processes that have another state folder, or run as another user of this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import product
from pathlib import Path

from filelock import FileLock, Timeout

from ble_ota.errors import DeviceBusyError, StorageError
from ble_ota.ledger.machine_lock import machine_locked
from ble_ota.text import clean

_OWNER_MAX = 4096  # bytes of an owner's file; what is longer is none


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a claim."""

    pid: int
    command: str
    run: str
    who: str  # "user@host"
    since_s: float  # unix time

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return f"`ble-ota {self.command}` (process {self.pid} of {self.who}, run {self.run}, since {since})"


@contextmanager
def claimed(folder: Path, places: Sequence[str], names: Sequence[str], owner: Owner) -> Generator[None, None, None]:
    """Hold `names` until the block, or the process, ends: all of them, or none and an error at once.

    Not reentrant: who holds a name is refused it like anybody else. The lock files stay, or two could hold one.

    Args:
        folder: Where the lock files are; made where it is missing, on a disk of this machine.
        places: Of the radio, one or more; see `machine_lock`. The lock files of `folder` are the same for all places.
        names: What is claimed, in words for the error: "AA:BB:CC:DD:EE:FF", "PRODUCT_KEY/DEVICE_KEY".
        owner: Told to those who come too late and share the folder.

    Raises:
        DeviceBusyError: Another process holds one of them, or that cannot be checked.
        StorageError: The folder cannot be used.
    """
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in sorted(set(names)):
                _claim(folder, name, owner, held)
        except OSError as error:
            msg = f"the folder of locks {folder} cannot be used: {error.strerror}"
            raise StorageError(msg) from error
        for place, name in product(sorted(set(places)), sorted(set(names))):
            held.enter_context(machine_locked(place, name))
        yield


def _claim(folder: Path, name: str, owner: Owner, held: ExitStack) -> None:
    file = folder / hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    lock = FileLock(file.with_suffix(".lock"), timeout=0, thread_local=False)
    try:
        held.enter_context(lock)
    except Timeout:
        msg = f"{clean(name, most=200)} is being updated by {_owner(file.with_suffix('.json')) or 'another process'}"
        raise DeviceBusyError(msg) from None
    _tell(file.with_suffix(".json"), owner)


def _tell(file: Path, owner: Owner) -> None:
    scratch = file.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(json.dumps(asdict(owner)), "ascii")
    scratch.replace(file)


def _owner(file: Path) -> Owner | None:
    """Who says it is the owner; None when nobody does, or nobody can read it."""
    try:
        with file.open("rb") as opened:
            told = json.loads(opened.read(_OWNER_MAX))
        owner = Owner(
            pid=int(told["pid"]),
            command=clean(str(told["command"]), most=100),
            run=clean(str(told["run"]), most=100),
            who=clean(str(told["who"]), most=100),
            since_s=float(told["since_s"]),
        )
        str(owner)  # a time that is none
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return owner

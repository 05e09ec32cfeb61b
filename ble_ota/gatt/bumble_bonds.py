"""Where a controller of one's own keeps its bonds: a 0600 file per controller, in Bumble's own form.

A bond belongs to two addresses. So ours is kept too, as the name of the file's one group of keys: with another
address after each start, no device would know us again.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from bumble import hci
from bumble.keys import JsonKeyStore

from ble_ota.errors import StorageError

FILE_MAX = 1_000_000  # bytes: a bond has some 500; a larger file is something else
Bonded = dict[str, dict[str, dict[str, Any]]]


class Bonds(JsonKeyStore):
    """A key store that nobody else may read, there whole or not at all.

    Args:
        folder: Where the files lie; made if it is not there.
        controller: The controller's name; each has bonds of its own.

    Raises:
        StorageError: The file cannot be read or written.
    """

    def __init__(self, folder: Path, controller: str) -> None:
        file = folder / f"{_file_name(controller)}.json"
        known = _read(file)
        own = next(iter(known), "") or str(hci.Address.generate_static_address())
        super().__init__(namespace=own, filename=str(file))
        if own not in known:
            _write(file, {own: {}})

    @property
    def own_address(self) -> hci.Address:
        """Our address, the same at every start."""
        return hci.Address(self.namespace, hci.Address.RANDOM_DEVICE_ADDRESS)

    async def load(self) -> tuple[Bonded, dict[str, dict[str, Any]]]:
        """All groups of keys, and ours."""
        known = _read(self.filename)
        return known, known.setdefault(self.namespace, {})

    async def save(self, db: Bonded) -> None:
        """Write all groups of keys."""
        _write(self.filename, db)

    async def delete(self, name: str) -> None:
        """Forget the bond with the device of address `name`, if there is one."""
        known, ours = await self.load()
        if ours.pop(name, None) is not None:
            await self.save(known)


def _file_name(controller: str) -> str:
    """A name that any file system takes, and no two controllers share."""
    return f"{re.sub('[^a-z0-9]+', '-', controller.lower())[:40]}-{sha256(controller.encode()).hexdigest()[:8]}"


def _read(file: Path) -> Bonded:
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_MAX + 1)
        known: object = json.loads(content) if len(content) <= FILE_MAX else None
    except FileNotFoundError:
        return {}
    except OSError as error:
        msg = f"the bonds in {file} cannot be read: {error.strerror}"
        raise StorageError(msg) from error
    except ValueError:
        known = None
    if not isinstance(known, dict) or not all(_group(n, g) for n, g in cast("dict[str, object]", known).items()):
        msg = f"the bonds in {file} are not what they were written as"
        raise StorageError(msg, hint="Delete the file; bonded devices are paired anew then")
    return cast("Bonded", known)


def _group(name: str, keys: object) -> bool:
    return re.fullmatch("(?:[0-9A-F]{2}:){5}[0-9A-F]{2}", name) is not None and isinstance(keys, dict)


def _write(file: Path, content: Bonded) -> None:
    scratch = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            json.dump(content, opened, sort_keys=True)
            opened.flush()
            os.fsync(opened.fileno())
        scratch.replace(file)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        msg = f"the bonds cannot be written to {file}: {error.strerror}"
        raise StorageError(msg) from error

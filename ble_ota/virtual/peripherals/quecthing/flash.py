"""The device's flash: named areas in a folder. Every change goes through `Flash`, so power can fail at each.

An operation is whole or did not happen; the folder outlives the process, and `os.replace` is what makes that true.
Nothing is synced to the disk: a world survives its processes, not the machine's power.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


class PowerCutError(Exception):
    """Raised by an `on_operation` hook: the operation does not happen, and the device is off."""


class Flash:
    """Areas that are erased, written, cut short and moved."""

    def __init__(self, folder: Path, on_operation: Callable[[str], None] | None = None) -> None:
        """Use `folder`, which exists.

        Args:
            folder: Where the areas lie, one file each.
            on_operation: Called with a few words before each change.
        """
        self.operations = 0
        self.on_operation = on_operation
        self._folder = folder

    def size(self, area: str) -> int:
        """Bytes written in `area`; 0 if it is erased."""
        path = self._folder / area
        return path.stat().st_size if path.exists() else 0

    def content(self, area: str) -> bytes:
        """Everything in `area`; nothing if it is erased."""
        path = self._folder / area
        return path.read_bytes() if path.exists() else b""

    def erase(self, area: str) -> None:
        """Empty `area`."""
        self._count(f"erase {area}")
        (self._folder / area).unlink(missing_ok=True)

    def write(self, area: str, at: int, data: bytes) -> None:
        """Write `data` from byte `at` on; `at` is at most the size of the area."""
        self._count(f"write {area}")
        path = self._folder / area
        path.touch()
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def truncate(self, area: str, size: int) -> None:
        """Keep the first `size` bytes of `area`, which has at least so many."""
        self._count(f"truncate {area}")
        os.truncate(self._folder / area, size)

    def move(self, area: str, to: str) -> None:
        """Let `to` hold what `area` holds; `area` is empty then."""
        self._count(f"move {area}")
        (self._folder / area).replace(self._folder / to)

    def save(self, area: str, content: bytes) -> None:
        """Put `content` in the place of all that is in `area`."""
        self._count(f"save {area}")
        temporary = self._folder / f"{area}.new"
        temporary.write_bytes(content)
        temporary.replace(self._folder / area)

    def _count(self, operation: str) -> None:
        self.operations += 1
        if self.on_operation is not None:
            self.on_operation(operation)

"""What happened, one JSON line each: `{"seq", "ts", "what", ...}`, only ever appended to.

One process writes a world's records at a time. A line that a crash tore is dropped when the next process starts.
No password, token, key or signed link goes in here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]


class Records:
    """The lines in one file."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        _drop_torn_line(path)
        self._last = max((record["seq"] for record in self.all()), default=0)

    def append(self, what: str, **facts: object) -> Record:
        """Write down that something happened, and return the record."""
        record: Record = {"seq": self._last + 1, "ts": self._clock(), "what": what, **facts}
        with self._path.open("ab") as file:
            file.write(json.dumps(record).encode() + b"\n")
        self._last += 1
        return record

    def all(self) -> list[Record]:
        """Everything that happened, oldest first, read afresh."""
        return [json.loads(line) for line in self._path.read_bytes().splitlines()]


def _drop_torn_line(path: Path) -> None:
    """A line is whole when its end of line was written."""
    with path.open("a+b") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)

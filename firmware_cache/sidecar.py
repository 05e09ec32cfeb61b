"""What is known about a part, in a small file beside it: which file it begins, and who writes it.

It is an aid, not evidence: a missing or garbled one means that the part is fetched again, a wrong one that its digest
is wrong in the end. No address is in it, for it may be signed: the ETag alone says whether a server has the same file.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from firmware_cache.owner import Owner
from firmware_cache.ranges import strong

SIZE_MAX = 4096  # bytes read of one: ours have about 300


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The size of the whole file in bytes, its strong ETag as soon as a server said one, and who writes it."""

    size_bytes: int
    etag: str | None
    owner: Owner


def beside(part: Path) -> Path:
    """Where the sidecar of `part` is."""
    return part.with_name(f"{part.name}.json")


def read(part: Path) -> Sidecar | None:
    """Give what is known about `part`; None where nothing is, or nothing that can be read."""
    try:
        with beside(part).open("rb") as file:
            found: dict[str, Any] = json.loads(file.read(SIZE_MAX + 1))
        owner = found["owner"]
        return Sidecar(
            size_bytes=int(found["size_bytes"]),
            etag=strong(found["etag"]),
            owner=Owner(str(owner["machine"]), str(owner["boot"]), int(owner["pid"]), str(owner["started"])),
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def write(part: Path, sidecar: Sidecar) -> None:
    """Keep what is known about `part`: all of it, or what was there before. Raises `OSError`."""
    temporary = part.with_name(f"{part.name}.{uuid4().hex}.tmp")
    try:
        # Not brought to the disk: after a power cut it is there, or the part is fetched again.
        temporary.write_text(json.dumps(asdict(sidecar)))
        temporary.replace(beside(part))
    finally:
        with suppress(OSError):
            temporary.unlink()

"""`ble-ota inspect`: what a firmware file is."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

from ble_ota.cli.common import Common
from ble_ota.cli.render import size
from ble_ota.errors import TrustError, UsageError
from ble_ota.images import Description, describe
from ble_ota.model import IMAGE_MAX_BYTES
from ble_ota.text import clean


async def inspect(common: Common, file: Path) -> int:
    """Run `ble-ota inspect`."""
    found = await asyncio.to_thread(lambda: describe(read_file(file)))
    common.result(asdict(found), _text(file, found))
    return 0


def read_file(file: Path) -> bytes:
    """Read a local firmware file, at most `IMAGE_MAX_BYTES`.

    Raises:
        UsageError: It cannot be read.
        TrustError: It is empty or too large.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(IMAGE_MAX_BYTES + 1)
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise UsageError(msg) from error
    if not 0 < len(content) <= IMAGE_MAX_BYTES:
        msg = f"{file} is {'empty' if not content else f'larger than {size(IMAGE_MAX_BYTES)}'}"
        raise TrustError(msg, hint="A firmware file has 1 byte to 100 MB")
    return content


def _text(file: Path, found: Description) -> str:
    intact = {None: "this format has no check of its own", True: "yes", False: "NO"}[found.intact]
    lines = [
        f"{clean(file.name)}",
        f"  format   {found.format}{f' ({found.note})' if found.note else ''}",
        f"  size     {found.size_bytes} bytes ({size(found.size_bytes)})",
        f"  version  {found.version or 'not in the file'}",
        f"  intact   {intact}",
        *(f"  {name:8} {digest}" for name, digest in found.digests.items()),
    ]
    return "\n".join(lines)

"""`ble-ota inspect`: what a firmware file is."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

from ble_ota.cli.common import Common
from ble_ota.cli.render import size
from ble_ota.image_file import opened
from ble_ota.images import Description, describe
from ble_ota.text import clean


async def inspect(common: Common, file: Path) -> int:
    """Run `ble-ota inspect`."""
    found = await asyncio.to_thread(_described, file)
    common.result(asdict(found), _text(file, found))
    return 0


def _described(file: Path) -> Description:
    """Describe a local file. Blocks on the disk; raises as `image_file.opened`."""
    with opened(file) as content:
        return describe(content.summary)


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

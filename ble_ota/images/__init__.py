"""What a firmware file is. `read` tells the format and what the file says of itself; nothing here trusts a file."""

from __future__ import annotations

from ble_ota.content import Summary
from ble_ota.images.raw import Description
from ble_ota.images.raw import describe as raw

__all__ = ["Description", "describe"]


def describe(summary: Summary) -> Description:
    """Describe a file that was summed up, by the first format that knows it."""
    return raw(summary)

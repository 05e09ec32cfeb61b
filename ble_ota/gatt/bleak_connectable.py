"""Whether a device takes connections, as far as a system tells: `platform_data` of bleak, which is different on each.

=============== ===================================== ===========
system          platform_data (bleak 3.1.0)           connectable
=============== ===================================== ===========
BlueZ           path, properties of org.bluez.Device1 not told
CoreBluetooth   peripheral, advertisement, RSSI       told
WinRT           sender, (advertisement, response)     told since Windows build 19041
Bumble          advertisement                         told
=============== ===================================== ===========

What is in no such form tells nothing: this is for people to read, and no reason for a scan to fail.
"""

from __future__ import annotations

from typing import Any


def connectable_of(platform_data: tuple[Any, ...]) -> bool | None:
    """Read what bleak's backend gave along with an advertisement; None where it does not tell.

    A response that came without its advertisement says nothing: it is never connectable by itself.
    """
    match platform_data:
        case (_, (advertisement, _)) | (advertisement,):
            said = getattr(advertisement, "is_connectable", None)
        case (_, advertisement, _) if hasattr(advertisement, "get"):
            said = advertisement.get("kCBAdvDataIsConnectable")
        case _:
            return None
    return None if said is None else bool(said)

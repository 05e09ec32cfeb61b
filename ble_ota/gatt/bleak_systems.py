"""What differs below bleak, system by system, and what we do about it.

==================== ==================== ==================== ===================== ====================
..                   BlueZ (Linux)        WinRT (Windows)      CoreBluetooth (macOS) Bumble (our own)
==================== ==================== ==================== ===================== ====================
address              Bluetooth address    Bluetooth address    identifier of this    Bluetooth address
                                                               computer's own [1]
adapter              by name, `hci1` [2]  the system's         the system's          the one opened
two scans at once    InProgress; so one   each its own         each its own          one is shared [3]
                     is shared [3]
connect while a      fails now and then:  works                works                 one at a time
scan runs            paused for it [4]
size of a write      `MTU` property; 20   `max_pdu_size`, may  per peripheral        MTU 517 is asked
                     before 5.62, may     change later [5]                           for on connect
                     come late [5]
a value over 512     sent, then dropped   sent, then dropped   sent, then dropped    dropped [6]
                     by peers [6]
services             kept on disk [7]     kept by the system;  kept by the system    read on every link
                                          asked for anew [8]   until "changed"
pairing              by itself, once we   `pair()`, once,      by itself, with a     `pair()`, once
                     agree [13]           confirm only         dialog; no call [9]
commands (writes     queued without end   awaited one by one   dropped when the      32 packets, then
with no response)    [10]                                      queue is full [10]    we wait
a link that ends     D-Bus signal, at     session event; may   futures are failed    pending requests
                     once; none if        not come [11]                              are cancelled
                     bluetoothd dies [12]
==================== ==================== ==================== ===================== ====================

1.  bleak, `BleakClient`: "macOS does not provide access to the Bluetooth address".
2.  bleak 3.0: `bluez={"adapter": …}` for scanner and client; `BlueZScannerArgs.adapter`.
3.  BlueZ `doc/org.bluez.Adapter.rst`: `StartDiscovery` once for each D-Bus client, and bleak is one; `bleak_ear.py`.
4.  bleak #1036, #361, #1500; bluez #631: some controllers take one pending connect and no scan beside it.
5.  bleak, `BleakGATTCharacteristic.max_write_without_response_size`; smpclient #21: 20 in half of the runs.
6.  Core Specification Vol 3 Part F 3.2.9: a value has 512 bytes at most; seen with Bumble's server: 514 were dropped.
7.  BlueZ `main.conf` [GATT] Cache = always: a device that changes its table in an update, and has neither a database
    hash nor "service changed", keeps its old one. `RemoveDevice` drops what was kept (bleak-retry-connector's
    `clear_cache`); here at the end of every link with a device that is not paired. `dangerous_use_bleak_cache`, which
    is bleak's own cache, stays off.
8.  bleak, `WinRTClientArgs.use_cached_services`: False forces the table to be read from the device.
9.  bleak, `BleakClientCoreBluetooth.pair` raises `NotImplementedError`.
10. So a transfer goes by what the device acknowledges, never by how fast writes return (ble-serial #89).
11. bleak, `BleakClientWinRT.disconnect`: "we can't wait for the session close event (it may never come)".
12. bleak listens to BlueZ's signals, not to whether there still is a BlueZ; `bleak_bus.py` does.
13. Seen of BlueZ 5.66: a request that is answered "insufficient encryption" starts a pairing, and without an agent
    bluetoothd says no to it ("No agent available"). A device that refuses is dropped by Linux, with no reason given.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bleak.args.winrt import WinRTClientArgs
from bleak.backends.device import BLEDevice

from ble_ota.errors import UsageError

_HCI = re.compile(r"hci\d{1,3}")
PAIRED = ("Paired", "Bonded", "Trusted")
"""Properties of BlueZ's Device1 by which a user, or a program, wants a device to be remembered."""


@dataclass(frozen=True, slots=True)
class System:
    """What one system does in its own way."""

    name: str
    names_adapters: bool = False
    """Whether an adapter can be chosen by name."""
    sizes_come_late: bool = False
    """Whether the size of a write may be known only a moment after the link stands."""
    keeps_services: bool = False
    """Whether it must be told to forget a device for its services to be read anew; `unpair` tells it."""
    pairs_by_itself: bool = False
    """Whether it pairs on its own when a device asks for it, and has no call for it."""
    service: str = ""
    """Name on the system's bus of what holds the links, and takes them along when it dies without a word."""


BLUEZ = System("BlueZ", names_adapters=True, sizes_come_late=True, keeps_services=True, service="org.bluez")
WINRT = System("Windows", sizes_come_late=True)
CORE_BLUETOOTH = System("macOS", pairs_by_itself=True)
OWN = System("a controller of one's own")
UNCACHED: WinRTClientArgs = {"use_cached_services": False}
"""For every client; other systems do not look at it."""


def here() -> System:
    """The system this runs on; what is none of the three is taken as it comes."""
    return {"linux": BLUEZ, "win32": WINRT, "darwin": CORE_BLUETOOTH}.get(sys.platform, OWN)


def adapter_named(system: System, name: str) -> str:
    """Check the name of an adapter; none is the system's choice.

    Raises:
        UsageError: It is no name of an adapter, or this system has no names for them.
    """
    if name and not system.names_adapters:
        msg = f"{system.name} does not let an adapter be chosen, and {name!r} was"
        raise UsageError(msg, hint="Use `--radio bleak`; the system's settings choose the adapter")
    if name and not _HCI.fullmatch(name):
        msg = f"{name!r} is not the name of a Bluetooth adapter"
        raise UsageError(msg, hint="It is hci0, hci1 … (`bluetoothctl list`, `ls /sys/class/bluetooth`)")
    return name


def remembered(said: Mapping[str, Any]) -> bool:
    """Whether somebody wants the system to remember the device of these `properties`; True where it does not say."""
    return not said or any(said.get(name) for name in PAIRED)


def bonded(device: BLEDevice) -> bool | None:
    """Whether the system keeps keys of `device`; None where it does not say."""
    said = properties(device)
    return bool(said.get("Bonded", said.get("Paired"))) if said else None


def address_type(device: BLEDevice) -> str:
    """`public` or `random`; "" where the system does not say. Bumble's addresses know it themselves."""
    said = properties(device).get("AddressType", getattr(device.details, "is_random", None))
    return {"public": "public", "random": "random", True: "random", False: "public"}.get(said, "")


def place(device: BLEDevice) -> str:
    """Object path of `device` on BlueZ's bus; "" elsewhere."""
    path: object = _detail(device, "path")
    return path if isinstance(path, str) else ""


def properties(device: BLEDevice) -> Mapping[str, Any]:
    """Of BlueZ's Device1, as they were when `device` was heard; nothing elsewhere."""
    said: Mapping[str, Any] = _detail(device, "props") or {}
    return said


def _detail(device: BLEDevice, name: str) -> Any:  # noqa: ANN401 -- bleak's
    """Of what a system says beside the address; elsewhere than on BlueZ it is an address, a tuple, or an object."""
    try:
        return device.details[name]
    except (TypeError, LookupError):
        return None

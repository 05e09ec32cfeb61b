"""Opening a controller by its name, with one sentence for each way in which that fails.

Names are Bumble's: `usb:0`, `serial:/dev/ttyACM0,1000000`, `tcp-client:127.0.0.1:7300`, `vhci` …; several are joined
by commas. A comma ends a name only where another name begins, since serial ports have commas of their own.
"""

from __future__ import annotations

import asyncio
import errno
import re
import sys
from dataclasses import dataclass
from typing import Any

from bumble import core
from bumble.transport import open_transport
from bumble.transport.common import Transport, TransportInitError

from ble_ota.errors import AdapterError
from ble_ota.text import clean

OPEN_S = 10.0  # our choice: a port or a host that does not open by then does not
NEEDS_MORE = ("usb", "pyusb", "serial", "tcp-client", "tcp-server", "ws-client", "ws-server", "udp", "unix", "file")
ALONE = ("vhci", "hci-socket", "pty", "android-emulator", "android-netsim")
FORMS = (
    "It is usb:0 (or usb:VID:PID, usb:VID:PID/SERIAL), serial:/dev/ttyACM0 (or serial:COM3,1000000,rtscts), "
    "tcp-client:HOST:PORT, vhci; several are joined by commas"
)
_NEXT = re.compile(rf",(?=(?:{'|'.join(NEEDS_MORE + ALONE)})(?::|,|$))")
_USB = {-3: "denied", -4: "absent", -5: "absent", -6: "busy", -12: "driver", -99: "usb"}  # libusb's error codes
_SYSTEM = {
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EBUSY: "busy",
    errno.EAGAIN: "busy",  # a serial port that another program has locked
    errno.ENOENT: "absent",
    errno.ENODEV: "absent",
    errno.ENXIO: "absent",
    errno.ECONNREFUSED: "refused",
}
_WORDS = {
    "denied": "this user may not open it",
    "busy": "another program has it",
    "absent": "there is no such device",
    "driver": "its driver does not let programs use it",
    "refused": "nobody serves a controller there",
    "usb": "USB is not to be had here",  # libusb's "other": seen where there is no /dev/bus/usb
}
_WINDOWS_DRIVER = "Give the dongle the WinUSB driver (with Zadig); the system's Bluetooth cannot use it meanwhile"
_HINTS = {
    ("usb", "denied"): (
        'Add a udev rule, SUBSYSTEM=="usb", ATTRS{idVendor}=="the VID of `lsusb`", MODE="0660", TAG+="uaccess", '
        "and plug the dongle in again"
    ),
    ("usb", "busy"): "Stop the other program; if it is the system's Bluetooth: `bluetoothctl power off`",
    ("usb", "absent"): "See `lsusb`: a dongle in another program's or a virtual machine's hands is not listed either",
    ("usb", "driver"): _WINDOWS_DRIVER,
    ("usb", "usb"): "A container wants its host's USB, `--device /dev/bus/usb`; elsewhere `lsusb` shows what there is",
    ("serial", "denied"): "Add yourself to the port's group, `sudo usermod -aG dialout $USER`, and log in again",
    ("serial", "busy"): "Stop the program that has the port: `fuser -v PORT` names it",
    ("serial", "absent"): "Look for the port under /dev/serial/by-id, on Windows in the device manager (COM3)",
    ("tcp-client", "refused"): "Start what serves it; for a virtual one `ble-ota virtual radio` first",
    (
        "vhci",
        "denied",
    ): "Run as root, or let your group open it: `sudo chgrp bluetooth /dev/vhci`, `chmod g+rw` likewise",
    ("vhci", "absent"): "Load its kernel module: `sudo modprobe hci_vhci`",
}


@dataclass(frozen=True, slots=True)
class _Why:
    kind: str
    """A key of `_WORDS`, or "name" or "other"."""
    words: str


def names_of(text: str) -> list[str]:
    """The names of controllers in `text`, in order.

    Raises:
        AdapterError: One is not of a form there is.
    """
    names = _NEXT.split(text)
    for name in names:
        kind, _, rest = name.partition(":")
        if not (kind in ALONE or (kind in NEEDS_MORE and rest)):
            raise _unusable(name, _Why("name", "there is no controller of that form"))
    return names


async def opened(name: str) -> Transport:
    """Open the controller called `name`; whoever calls closes it.

    Raises:
        AdapterError: It cannot be opened.
    """
    try:
        names_of(name)
        async with asyncio.timeout(OPEN_S):
            return await open_transport(name)
    except AdapterError:
        raise
    except Exception as error:
        why = _why(error)
        if why is None:
            raise
        raise _unusable(name, why) from error


def _unusable(name: str, why: _Why) -> AdapterError:
    kind = name.partition(":")[0].removeprefix("py")
    hint = _HINTS.get((kind, why.kind))
    if kind == "usb" and why.kind in ("denied", "driver") and sys.platform == "win32":
        hint = _WINDOWS_DRIVER
    sentence = f"the Bluetooth controller {clean(name, most=100)} cannot be opened: {clean(why.words, most=200)}"
    return AdapterError(sentence, hint=FORMS if why.kind == "name" else hint or AdapterError.hint)


def _why(error: Exception) -> _Why | None:
    """What is in the way; None where `error` is none of Bumble's, libusb's or the system's."""
    code: Any = getattr(error, "value", None)
    if type(error).__module__.partition(".")[0] == "usb1":
        kind = _USB.get(code, "other")
    elif isinstance(error, TimeoutError):
        return _Why("other", f"no answer within {OPEN_S:g} s")
    elif isinstance(error, OSError):
        kind = _SYSTEM.get(error.errno or 0, "other")
    elif isinstance(error, TransportInitError):  # of usb: not found; others name what they did not find
        return _Why("absent", clean(str(error)))
    elif isinstance(error, ImportError):
        return _Why("other", f"{error.name or 'a module'} is not installed, which this kind of controller needs")
    elif isinstance(error, ValueError | LookupError | core.BaseBumbleError):
        kind = "name"
    else:
        return None
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return _Why(kind, _WORDS.get(kind) or said or type(error).__name__)

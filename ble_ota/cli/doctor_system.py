"""What `ble-ota doctor` reads of the system's Bluetooth: one protocol, and the reader of real systems.

Nothing here judges; `doctor_bluetooth.py` does. Whatever cannot be read counts as not there: a doctor that fails on
what it should find is none.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

VERSION_S = 3.0  # our choice: `bluetoothctl --version` only prints
BUS = "unix:path=/run/dbus/system_bus_socket"  # D-Bus Specification, "Well-known Message Bus Instances"
GROUP = "bluetooth"  # of Debian's and BlueZ's own policy file, bluetooth.conf
_TEXT_MAX = 4096  # bytes looked at of one file of the kernel's; each holds a word
_CONTROLLER = re.compile(r"hci\d{1,5}")  # beside them stand their connections, as hci0:42


class Trouble(Enum):
    """Why BlueZ could not be asked."""

    NO_BUS = "no bus"
    """Nothing listens where the system's D-Bus should."""
    DENIED = "denied"
    """A policy forbids it."""
    NO_SERVICE = "no service"
    """D-Bus is there, bluetoothd is not."""
    SILENT = "silent"
    """No answer in time."""
    ODD = "odd"
    """An answer that makes no sense."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A Bluetooth adapter as BlueZ has it."""

    name: str  # hci0
    address: str = ""
    powered: bool = False
    discovering: bool = False
    """Some program is scanning."""
    central: bool = True
    """It can be the one who connects; where BlueZ does not say, it is taken to be."""


@dataclass(frozen=True, slots=True)
class Block:
    """A switch of the kernel's (rfkill) that stands before a Bluetooth radio."""

    name: str
    soft: bool
    """Blocked by software."""
    hard: bool
    """Blocked by a switch, a key or the firmware."""


class System(Protocol):
    """What is asked of a machine."""

    @property
    def kind(self) -> str:
        """As `platform.system` says: Linux, Darwin, Windows."""
        ...

    def version(self) -> str:
        """The system's own version, as it spells it."""
        ...

    def controllers(self) -> tuple[str, ...]:
        """Bluetooth controllers that the kernel knows."""
        ...

    def blocks(self) -> tuple[Block, ...]:
        """Switches before Bluetooth radios."""
        ...

    def contained(self) -> bool:
        """Whether this is a container, as far as it can be seen."""
        ...

    def groups(self) -> tuple[bool, bool]:
        """Whether there is a group `bluetooth` that this user is listed in, and whether this process is in it."""
        ...

    async def bluez_version(self) -> str:
        """BlueZ's version; "" where it cannot be had."""
        ...

    async def adapters(self) -> tuple[Adapter, ...] | Trouble:
        """What BlueZ says; takes a few seconds at the most."""
        ...


class RealSystem:
    """This machine.

    Args:
        root: Where its files begin; tests have folders of their own.
        kind: As `platform.system`.
        bus: D-Bus address of the system's bus; "" is the one in force.
        bluetoothctl: Who tells BlueZ's version.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        kind: str = "",
        bus: str = "",
        bluetoothctl: Sequence[str] = ("bluetoothctl", "--version"),
    ) -> None:
        self.kind = kind or platform.system()
        self._root = root
        self._bus = bus or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "") or BUS
        self._bluetoothctl = bluetoothctl

    def version(self) -> str:
        """See `System.version`."""
        return platform.mac_ver()[0] if self.kind == "Darwin" else platform.version()

    def controllers(self) -> tuple[str, ...]:
        """See `System.controllers`."""
        return tuple(p.name for p in _listed(self._root / "sys/class/bluetooth") if _CONTROLLER.fullmatch(p.name))

    def blocks(self) -> tuple[Block, ...]:
        """See `System.blocks`; Linux Documentation/ABI/stable/sysfs-class-rfkill."""
        switches = [p for p in _listed(self._root / "sys/class/rfkill") if _word(p / "type") == "bluetooth"]
        return tuple(
            Block(_word(p / "name") or p.name, _word(p / "soft") == "1", _word(p / "hard") == "1") for p in switches
        )

    def contained(self) -> bool:
        """See `System.contained`: Docker and podman leave a file, systemd-nspawn and LXC tell the first process."""
        marks = (".dockerenv", "run/.containerenv", "run/systemd/container")
        with suppress(OSError):
            if any((self._root / mark).exists() for mark in marks):
                return True
            return b"container=" in (self._root / "proc/1/environ").read_bytes()[:65536]
        return False

    def groups(self) -> tuple[bool, bool]:
        """See `System.groups`."""
        if sys.platform == "win32":
            return False, False
        import grp
        import pwd

        with suppress(KeyError, OSError):
            group = grp.getgrnam(GROUP)
            listed = pwd.getpwuid(os.getuid()).pw_name in group.gr_mem
            return listed, group.gr_gid in (os.getegid(), *os.getgroups())
        return False, False

    async def bluez_version(self) -> str:
        """See `System.bluez_version`. BlueZ does not tell it over D-Bus; bleak asks the same program."""
        with suppress(OSError):
            asked = await asyncio.create_subprocess_exec(
                *self._bluetoothctl,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            said = b""
            try:
                async with asyncio.timeout(VERSION_S):
                    said = await asked.stdout.read(_TEXT_MAX) if asked.stdout is not None else b""
            except TimeoutError:
                pass
            finally:
                with suppress(ProcessLookupError):
                    asked.kill()
                await asked.wait()
            found = re.search(rb"\b(\d{1,3}\.\d{1,4})\b", said)
            return found[1].decode() if found else ""
        return ""

    async def adapters(self) -> tuple[Adapter, ...] | Trouble:
        """See `System.adapters`."""
        from ble_ota.cli.doctor_bluez import adapters_at

        return await adapters_at(self._bus)


def _listed(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(folder.iterdir())


def _word(file: Path) -> str:
    with suppress(OSError), file.open("rb") as opened:
        return opened.read(_TEXT_MAX).decode("utf-8", "replace").strip()
    return ""

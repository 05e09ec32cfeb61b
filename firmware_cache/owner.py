"""Who writes a file, and whether that process is known to be dead.

A process number alone proves little: it is used again, another machine on the same folder has its own, and so has a
container. So an owner is a machine with its set of process numbers, the boot, the number and when it was given.
Not knowing counts as alive; whoever takes a file over copies it, so that a wrong guess costs no more than bandwidth.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PROC = Path("/proc")  # Linux; elsewhere the files are not there and nothing is known from them
_MACHINE = Path("/etc/machine-id")
_CAN_PROBE = os.name == "posix"  # on Windows os.kill(pid, 0) is no question: it ends the process
_DEAD_STATES = {"Z", "X"}  # proc_pid_stat(5): dead, and only waiting for its parent to hear of it


@dataclass(frozen=True, slots=True)
class Owner:
    """One process on one machine."""

    machine: str
    boot: str
    pid: int
    started: str
    """In the system's own unit; "" where it is not known."""

    @classmethod
    def here(cls) -> Self:
        """This very process."""
        pid = os.getpid()
        return cls(_machine(), _boot(), pid, _stat(pid)[1])

    @property
    def gone(self) -> bool:
        """Whether this process is known to be dead."""
        if self.machine != _machine():
            return False
        return self.boot != _boot() or not self._runs()

    def _runs(self) -> bool:
        if not _CAN_PROBE or self.pid <= 0:  # 0 and below are groups of processes
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):  # another user's; a number no process has
            pass
        state, started = _stat(self.pid)
        return state not in _DEAD_STATES and started in {self.started, ""}


def _machine() -> str:
    try:
        processes = str((_PROC / "self" / "ns" / "pid").readlink())
    except OSError:
        processes = ""
    return f"{platform.node()} {_read(_MACHINE).strip()} {processes}"


def _boot() -> str:
    return _read(_PROC / "sys" / "kernel" / "random" / "boot_id").strip()


def _stat(pid: int) -> tuple[str, str]:
    """State and start of a process; empty where the system does not say. proc_pid_stat(5), fields 3 and 22."""
    fields = _read(_PROC / str(pid) / "stat").rpartition(")")[2].split()  # its name may hold blanks and brackets
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

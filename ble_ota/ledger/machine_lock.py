"""One lock per radio place and device, shared by all users and all state folders of this machine.

The name of a lock is a digest of the place and the device: every user can list the names, and a device key must not be
among them.

**Linux**: an abstract Unix socket. The kernel frees its name when the process ends, also after SIGKILL, and tells the
process and the user of a listening socket (`SO_PEERCRED`). Python opens it close-on-exec, so a program that is started
meanwhile does not inherit it; a child made by `fork` alone does. Abstract names belong to a *network namespace*: two
containers, two sandboxes, or a container and its host do not exclude each other unless they share one (examples:
`docker run` without `--network host`, systemd's `PrivateNetwork=`, `unshare --net`). Only the lock in the state folder
excludes processes in different network namespaces, if they share that folder.

**Elsewhere** (macOS, Windows): a lock file of mode 0666 in a folder of mode 1777 that all users share, opened without
following a symbolic link where the system can do that. Untried on these systems; its tests run on Linux. On Windows the
rights that the folder inherits decide if another user may open the file.

A lock that cannot be checked counts as held. A user of this machine who knows the place and the device can hold a name
and so keep others from an update; the error names that process on Linux.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import struct
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ble_ota.errors import DeviceBusyError
from ble_ota.text import clean

PREFIX = "\0ble-ota/"  # the first byte makes it abstract, see unix(7)
LEAVES_NOTHING: bool = sys.platform == "linux"
"""Whether a lock leaves nothing behind: only then may one be made for each run."""
FOLDER_MODE, FILE_MODE = 0o1777, 0o666
# Our choice, and the kernel's default of net.core.somaxconn: a question stays queued until the lock ends. Once the
# queue is full the lock is still seen to be held, and no longer by which process.
_QUESTIONS = 4096
_CREDENTIALS = struct.Struct("iII")  # `struct ucred` of unix(7): pid, uid, gid
_NAME_MAX = 200  # our choice: characters of a device's name in a message
_FORBIDDEN = "A sandbox, a security module or file rights keep this process from the lock; run it where they do not"


class HeldError(Exception):
    """The lock is held; the text says by which process."""


@contextmanager
def machine_locked(place: str, name: str) -> Generator[None, None, None]:
    """Hold the device `name` at the radio place `place` until the block, or the process, ends.

    Not reentrant: a process that holds the lock is refused it a second time.

    Args:
        place: One of `ble_ota.cli.wiring.places_of`.
        name: The device, in words for the error: "address AA:BB:CC:DD:EE:FF", "device PRODUCT_KEY/DEVICE_KEY".

    Raises:
        DeviceBusyError: Another process holds it, or that cannot be checked.
    """
    shown = clean(name, most=_NAME_MAX)
    with ExitStack() as held:
        try:
            held.enter_context(_lock(key_of(place, name)))
        except HeldError as holder:
            msg = f"{shown} is held on this machine by {holder}"
            raise DeviceBusyError(msg) from None
        except (OSError, NotImplementedError) as error:  # filelock raises the latter on a file system without locks
            why = getattr(error, "strerror", None) or str(error)
            msg = f"whether {shown} is held by another process on this machine cannot be checked: {why}"
            raise DeviceBusyError(msg, hint=_FORBIDDEN) from error
        yield


def is_free(place: str, name: str) -> bool:
    """Return True if no process holds the lock. To know that, this holds it for an instant."""
    try:
        with machine_locked(place, name):
            return True
    except DeviceBusyError:
        return False


def key_of(place: str, name: str) -> str:
    """Return the visible name of a lock: 64 hexadecimal digits."""
    return hashlib.sha256(f"{place}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()


def _lock(key: str) -> AbstractContextManager[None]:
    return socket_lock(key) if sys.platform == "linux" else file_lock(shared_folder(), key)


# ------------------------------------------------------------------ Linux


@contextmanager
def socket_lock(key: str) -> Generator[None, None, None]:
    """Hold the lock `key` as an abstract Unix socket.

    Raises:
        HeldError: Another socket of this network namespace has the name, of whichever program.
        OSError: The system refuses the socket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        try:
            lock.bind(PREFIX + key)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise HeldError(_holder(key)) from None
            raise
        lock.listen(_QUESTIONS)  # the kernel answers for us; a connection is never accepted
        yield


def _holder(key: str) -> str:
    """Say which process listens; it is not waited for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as question:
        question.setblocking(False)  # a full queue is an error at once
        try:
            question.connect(PREFIX + key)
            credentials = question.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:  # it does not listen, its queue is full, or it has just ended
            return "another process"
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return f"process {pid or 'of another container'} of user {_user(uid)}"  # 0: not in our namespace of processes


def _user(uid: int) -> str:
    import pwd

    try:
        return f"{clean(pwd.getpwuid(uid).pw_name, most=_NAME_MAX)} (uid {uid})"
    except KeyError:
        return str(uid)


# ------------------------------------------------------------------ other systems


@contextmanager
def file_lock(folder: Path, key: str) -> Generator[None, None, None]:
    """Hold the lock `key` as a file in `folder`, which is made with the rights that all users need.

    Raises:
        HeldError: Another process has locked the file.
        OSError: The folder or the file cannot be used.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    else:  # only then: one that was there may be another user's, who could put a link in its place meanwhile
        folder.chmod(FOLDER_MODE)
    lock = FileLock(folder / f"{key}.lock", timeout=0, thread_local=False, mode=FILE_MODE)
    with ExitStack() as held:
        try:
            held.enter_context(lock)
        except Timeout:
            msg = "another process"
            raise HeldError(msg) from None
        yield


def shared_folder() -> Path:
    """Return the folder of lock files on a system without abstract sockets; every user has the same."""
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", "C:\\ProgramData")) / "ble-ota" / "locks"
    return Path("/var/tmp/ble-ota")  # noqa: S108 -- what is in it is locked by any user; see `file_lock`

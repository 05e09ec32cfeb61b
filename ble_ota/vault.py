"""Where secrets live: the system's keyring, or a file that only its owner can read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

import keyring
from filelock import FileLock, Timeout
from keyring.backends import fail, null
from keyring.errors import PasswordDeleteError

from ble_ota import background
from ble_ota.errors import StorageError
from ble_ota.model import Secret

T = TypeVar("T")

SERVICE = "ble-ota"
FILE_MAX = 1_000_000  # bytes; what is larger is not ours
KEYRING_S = 60.0  # our choice: a keyring may be asking a person for its password, who has to find the window first
WAIT_S = 10.0  # for another's change of the file, which takes milliseconds
_UNLOCK = "Unlock it, or set `keyring = false` to keep secrets in a file"


class Vault(Protocol):
    """Keeps secrets by name. Each method may block, for `KEYRING_S` at most: never call one on a loop's thread."""

    @property
    def where(self) -> str:
        """For people: "the system keyring", or the file's path."""
        ...

    def get(self, name: str) -> Secret | None:
        """The secret, or None; None also where a keyring cannot be asked."""
        ...

    def look(self, name: str) -> Secret | None:
        """The secret, or None where there is none. Raises `StorageError` where that cannot be said."""
        ...

    def put(self, name: str, secret: Secret) -> None:
        """Keep a secret. Raises `StorageError`."""
        ...

    def drop(self, name: str) -> None:
        """Forget a secret, if it is there. Raises `StorageError`."""
        ...


def open_vault(folder: Path, *, use_keyring: bool, keyring_s: float = KEYRING_S) -> Vault:
    """The system keyring where there is one and `use_keyring`, else a file in `folder`. May block, as its methods.

    Args:
        folder: Of the file.
        use_keyring: Whether to look for a keyring.
        keyring_s: Seconds that one call of the keyring may take.

    Raises:
        StorageError: The keyring does not answer.
    """
    asked = _Asked(keyring_s)
    backend = asked.keyring("is not found", keyring.get_keyring) if use_keyring else None
    if backend is None or isinstance(backend, fail.Keyring | null.Keyring):
        return FileVault(folder / "secrets.json")
    return KeyringVault(keyring_s)


class _Asked:
    """Calls a keyring's backend, which is foreign code: it may hang, and it may raise anything."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._hung = False

    def keyring(self, what: str, work: Callable[[], T]) -> T:
        """Call it in a thread. After a call that hung none is made: each would cost as much time.

        Raises:
            StorageError: It did not answer in time, or failed.
        """
        if self._hung:
            raise self._silent()
        try:
            return background.call(work, within_s=self._within_s, name="keyring")
        except TimeoutError:
            self._hung = True
            raise self._silent() from None
        except PasswordDeleteError:
            raise
        except Exception as error:
            msg = f"the system keyring {what}: {type(error).__name__}"
            raise StorageError(msg, hint=_UNLOCK) from error

    def _silent(self) -> StorageError:
        msg = f"the system keyring did not answer within {self._within_s:g} s"
        return StorageError(msg, hint=_UNLOCK)


class LazyVault:
    """A vault that is opened at its first use: to look for a keyring may block."""

    def __init__(self, opened: Callable[[], Vault]) -> None:
        """Prepare; `opened` is called once, unless it raises `StorageError`."""
        self._opened = opened
        self._vault: Vault | None = None

    def _there(self) -> Vault:
        if self._vault is None:
            self._vault = self._opened()
        return self._vault

    @property
    def where(self) -> str:
        """See `Vault`. Raises `StorageError`."""
        return self._there().where

    def get(self, name: str) -> Secret | None:
        """See `Vault`."""
        with suppress(StorageError):
            return self._there().get(name)
        return None

    def look(self, name: str) -> Secret | None:
        """See `Vault`."""
        return self._there().look(name)

    def put(self, name: str, secret: Secret) -> None:
        """See `Vault`."""
        self._there().put(name, secret)

    def drop(self, name: str) -> None:
        """See `Vault`."""
        self._there().drop(name)


class KeyringVault:
    """The system keyring."""

    where = "the system keyring"

    def __init__(self, within_s: float = KEYRING_S) -> None:
        """Prepare; one call may take `within_s` seconds."""
        self._asked = _Asked(within_s)

    def get(self, name: str) -> Secret | None:
        """See `Vault`; a locked keyring is one that has nothing."""
        with suppress(StorageError):
            return self.look(name)
        return None

    def look(self, name: str) -> Secret | None:
        """See `Vault`."""
        found = self._asked.keyring("does not show its secrets", lambda: keyring.get_password(SERVICE, name))
        return Secret(found) if found else None

    def put(self, name: str, secret: Secret) -> None:
        """See `Vault`."""
        self._asked.keyring("does not take a secret", lambda: keyring.set_password(SERVICE, name, secret.reveal()))

    def drop(self, name: str) -> None:
        """See `Vault`."""
        with suppress(PasswordDeleteError):
            self._asked.keyring("does not forget a secret", lambda: keyring.delete_password(SERVICE, name))


class FileVault:
    """A JSON file with mode 0600, replaced whole at each change.

    Who changes it holds the lock beside it, from reading to writing: of two processes neither undoes what the other
    has kept. The system lets go of the lock of one that dies; the lock's file stays, or two could hold one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.where = str(path)

    def get(self, name: str) -> Secret | None:
        """See `Vault`."""
        return self.look(name)

    def look(self, name: str) -> Secret | None:
        """See `Vault`."""
        found = self._all().get(name)
        return Secret(found) if found else None

    def put(self, name: str, secret: Secret) -> None:
        """See `Vault`."""
        with self._changing():
            self._write(self._all() | {name: secret.reveal()})

    def drop(self, name: str) -> None:
        """See `Vault`."""
        if name not in self._all():
            return
        with self._changing():
            kept = self._all()
            kept.pop(name, None)
            self._write(kept)

    @contextmanager
    def _changing(self) -> Generator[None, None, None]:
        """Hold the lock for the block, which must be short."""
        lock = FileLock(self._path.with_suffix(".lock"), timeout=WAIT_S, poll_interval=0.01, mode=0o600)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            msg = f"the file of secrets {self._path} is being changed by another process, for {WAIT_S:g} s now"
            raise StorageError(msg, hint="See which `ble-ota` hangs, end it, and run the same again") from None
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield
        finally:
            lock.release()

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(f"the file of secrets {self._path} cannot be written: {error.strerror}")

    def _all(self) -> dict[str, str]:
        try:
            with self._path.open(encoding="utf-8") as opened:
                read: object = json.loads(opened.read(FILE_MAX))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            msg = f"the file of secrets {self._path} cannot be read"
            raise StorageError(msg, hint="Delete it and run `ble-ota login` again") from error
        if not isinstance(read, dict):
            return {}
        return {str(k): v for k, v in read.items() if isinstance(v, str)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    def _write(self, secrets: dict[str, str]) -> None:
        scratch = self._path.with_suffix(".tmp")
        try:
            scratch.unlink(missing_ok=True)  # of one that was killed here
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                json.dump(secrets, opened)
                opened.flush()
                os.fsync(opened.fileno())
            scratch.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)  # it holds secrets
            raise self._unwritable(error) from error


class MemoryVault:
    """Forgets with the process: for a demo, and for tests."""

    where = "memory"

    def __init__(self) -> None:
        self._secrets: dict[str, Secret] = {}

    def get(self, name: str) -> Secret | None:
        """See `Vault`."""
        return self.look(name)

    def look(self, name: str) -> Secret | None:
        """See `Vault`."""
        return self._secrets.get(name)

    def put(self, name: str, secret: Secret) -> None:
        """See `Vault`."""
        self._secrets[name] = secret

    def drop(self, name: str) -> None:
        """See `Vault`."""
        self._secrets.pop(name, None)

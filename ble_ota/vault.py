"""Where secrets live: the system's keyring, or a file that only its owner can read."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import keyring
from filelock import FileLock, Timeout
from keyring.backends import fail, null
from keyring.errors import KeyringError, PasswordDeleteError

from ble_ota.errors import StorageError
from ble_ota.model import Secret

SERVICE = "ble-ota"
FILE_MAX = 1_000_000  # bytes; what is larger is not ours
WAIT_S = 10.0  # for another's change of the file, which takes milliseconds
_UNLOCK = "Unlock it, or set `keyring = false` to keep secrets in a file"


class Vault(Protocol):
    """Keeps secrets by name."""

    where: str
    """For people: "the system keyring", or the file's path."""

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


def open_vault(folder: Path, *, use_keyring: bool) -> Vault:
    """The system keyring where there is one and `use_keyring`, else a file in `folder`."""
    backend = keyring.get_keyring() if use_keyring else None
    if backend is None or isinstance(backend, fail.Keyring | null.Keyring):
        return FileVault(folder / "secrets.json")
    return KeyringVault()


class KeyringVault:
    """The system keyring."""

    where = "the system keyring"

    def get(self, name: str) -> Secret | None:
        """See `Vault`; a locked keyring is one that has nothing."""
        with suppress(StorageError):
            return self.look(name)
        return None

    def look(self, name: str) -> Secret | None:
        """See `Vault`."""
        try:
            found = keyring.get_password(SERVICE, name)
        except KeyringError as error:
            msg = f"the system keyring does not show its secrets: {type(error).__name__}"
            raise StorageError(msg, hint=_UNLOCK) from error
        return Secret(found) if found else None

    def put(self, name: str, secret: Secret) -> None:
        """See `Vault`."""
        try:
            keyring.set_password(SERVICE, name, secret.reveal())
        except KeyringError as error:
            msg = f"the system keyring does not take a secret: {type(error).__name__}"
            raise StorageError(msg, hint=_UNLOCK) from error

    def drop(self, name: str) -> None:
        """See `Vault`."""
        try:
            keyring.delete_password(SERVICE, name)
        except PasswordDeleteError:
            return
        except KeyringError as error:
            msg = f"the system keyring does not forget a secret: {type(error).__name__}"
            raise StorageError(msg, hint=_UNLOCK) from error


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

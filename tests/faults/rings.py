"""Keyring backends that do not do what they should; a process names one by PYTHON_KEYRING_BACKEND."""

from __future__ import annotations

import threading

from keyring.backend import KeyringBackend


class Hung(KeyringBackend):
    """It waits for a person at another display."""

    priority = 99

    def get_password(self, service: str, username: str) -> str | None:
        _ = service, username
        threading.Event().wait()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        _ = service, username, password
        threading.Event().wait()


class Broken(KeyringBackend):
    """The socket to its service breaks."""

    priority = 99

    def get_password(self, service: str, username: str) -> str | None:
        _ = service, username
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        _ = service, username, password
        raise BrokenPipeError(32, "Broken pipe")

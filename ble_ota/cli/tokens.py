"""A session's tokens in the vault: under which name, and who may change them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from ble_ota.cli.common import Common
from ble_ota.cloud import Tokens, base_url
from ble_ota.cloud.session import off_loop
from ble_ota.model import Secret
from ble_ota.settings import Settings
from ble_ota.vault import Vault

WAIT_S = 30.0  # for another process's refresh, which the client bounds by about as much
LOOK_S = 0.05  # between two looks whether the lock is free

log = logging.getLogger(__name__)


def tokens_name(common: Common, settings: Settings) -> str:
    """Under which name a session is kept: its cloud, the app's user domain, the account, and the profile.

    Tokens are good in one cloud, for one app. The account is in the name so that another one in the settings has a
    session of its own; where the settings name none it is whoever was typed at the prompt, and then only the profile
    tells two people apart. It is always part of the name, so that a logout under one profile leaves the others
    alone. Two profiles of one account log in twice, which is cheap.
    """
    by_phone = f"+{settings.country_code.removeprefix('+')} {settings.phone}" if settings.phone else ""
    told = (base_url(settings.cloud), settings.user_domain, settings.email or by_phone, common.profile)
    return f"session {json.dumps(told)}"  # as JSON no two can look the same


def tokens_of(common: Common, settings: Settings, vault: Vault) -> VaultTokens:
    """Where the session of these settings is kept."""
    return VaultTokens(vault, tokens_name(common, settings), settings.state_dir / "sessions")


class VaultTokens:
    """A `TokenStore` of the session that `name` has in a vault; every process that uses it holds one lock.

    What another account has put in its place (see `account`) is as good as nothing, and is left as it is.
    """

    def __init__(self, vault: Vault, name: str, locks: Path) -> None:
        """Prepare; `locks` is the folder of lock files, on a disk of this machine."""
        self.account = ""
        """Who logs in, as typed; from the first `load` on that of the tokens. "" is nobody yet."""
        self._vault = vault
        self._name = name
        self._lock = locks / f"{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}.lock"

    def load(self) -> Tokens | None:
        """See `TokenStore`."""
        account, tokens = self._kept()
        self.account = self.account or account
        return tokens if account == self.account else None

    def save(self, tokens: Tokens) -> None:
        """See `TokenStore`."""
        plain = {
            "account": self.account,
            "access": tokens.access.reveal(),
            "access_expires_s": tokens.access_expires_s,
            "refresh": tokens.refresh.reveal(),
            "refresh_expires_s": tokens.refresh_expires_s,
        }
        self._vault.put(self._name, Secret(json.dumps(plain)))

    def drop(self) -> None:
        """See `TokenStore`."""
        if self._kept()[0] in ("", self.account):
            self._vault.drop(self._name)

    @asynccontextmanager
    async def only_one(self) -> AsyncGenerator[None, None]:
        """See `TokenStore`."""
        lock = FileLock(self._lock, thread_local=False, mode=0o600)
        try:
            await self._wait_for(lock)
            yield
        finally:
            lock.release()  # nothing, where it is not held

    async def _wait_for(self, lock: FileLock) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while not await off_loop(partial(_taken, lock)):  # noqa: ASYNC110 -- no process tells another
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            log.warning("another process renews the session for more than %g s: going on without its lock", WAIT_S)
        except (OSError, NotImplementedError) as error:
            log.warning("the session cannot be locked, going on without: %s", error)

    def _kept(self) -> tuple[str, Tokens | None]:
        """What the vault has, and whose it is; ("", None) for what cannot be read: a login makes new ones."""
        kept = self._vault.look(self._name)
        if kept is None:
            return "", None
        try:
            plain = json.loads(kept.reveal())
            return str(plain["account"]), Tokens(
                Secret(str(plain["access"])),
                float(plain["access_expires_s"]),
                Secret(str(plain["refresh"])),
                float(plain["refresh_expires_s"]),
            )
        except (ValueError, KeyError, TypeError):
            return "", None


def _taken(lock: FileLock) -> bool:
    """Take `lock` if it is free. Blocks no longer than the disk does."""
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True

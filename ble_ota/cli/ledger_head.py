"""The head of the ledger's audit log in the vault: kept after a verdict, and compared by `history verify`.

The vault has one entry per ledger, under the ledger's random id. It never goes back to a lower count, and a head that
the ledger does not hold is left as it is: it is the only witness. Every question to the vault is asked in a thread of
its own, which is left alone after `ANSWER_S`: a keyring may hang. After a backup was restored on purpose, delete the
entry; the next run makes it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from filelock import FileLock, Timeout

from ble_ota import background
from ble_ota.cli.wiring import vault_of
from ble_ota.errors import BleOtaError, UsageError
from ble_ota.ledger import Head, Ledger
from ble_ota.model import Secret
from ble_ota.settings import Settings
from ble_ota.vault import Vault

ANSWER_S = 5.0  # our choice: a keyring answers in milliseconds, and one that asks a person for its password hangs
TRIES = 3  # our choice: as often another process may be quicker with a later head
OFF = "`ledger_head` is false in the settings"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeptHead:
    """The vault's entry about a ledger."""

    where: str = ""
    """The vault in words, or "" where it could not be asked."""
    head: Head | None = None
    why: str = ""
    """Why it could not be asked, or what is wrong with its entry; else ""."""


def entry_name(ledger: str) -> str:
    """Return the name of the vault's entry for the ledger with this id."""
    return f"ledger head {ledger}"


async def kept_head(settings: Settings, ledger: str) -> KeptHead:
    """Ask the vault for the head of the ledger with this id; never raises."""
    if not settings.ledger_head:
        return KeptHead(why=OFF)
    try:
        async with asyncio.timeout(ANSWER_S):
            return await _asked(partial(_look, settings, entry_name(ledger)))
    except Exception as error:  # noqa: BLE001 -- a keyring's backend may raise anything
        return KeptHead(why=_why(error))


async def keep_head(settings: Settings, ledger: Ledger) -> str:
    """Keep the head that the ledger has now, unless the vault has a later one; never raises.

    Returns:
        A sentence that says why it was not kept, or "".
    """
    if not settings.ledger_head:
        return ""
    try:
        async with asyncio.timeout(ANSWER_S):
            why = await _keep(settings, ledger)
    except Exception as error:  # noqa: BLE001 -- a keyring's backend may raise anything
        why = _why(error)
    return why and f"the head of the ledger is not kept: {why}"


async def _keep(settings: Settings, ledger: Ledger) -> str:
    found = await ledger.head()
    if found is None:
        return "its audit log has lost its head, see `ble-ota history verify`"
    name, head = entry_name(found[0]), found[1]
    for _ in range(TRIES):
        known = await _asked(partial(_look, settings, name))
        if known.head is not None and not await ledger.holds(known.head):
            return f"the ledger has lost or changed what {known.where} tells of, see `ble-ota history verify`"
        if known.head is not None and known.head.count >= head.count:
            return ""
        if await _asked(partial(_replace, settings, name, known.head, head)):
            return ""
    return ""  # another process keeps later ones


def _look(settings: Settings, name: str) -> KeptHead:
    vault = vault_of(settings)
    return _read(vault, name)


def _read(vault: Vault, name: str) -> KeptHead:
    kept = vault.look(name)
    try:
        return KeptHead(vault.where, None if kept is None else Head.parse(kept.reveal()))
    except UsageError:
        return KeptHead(vault.where, why=f"the entry `{name}` of {vault.where} is not a head")


def _replace(settings: Settings, name: str, known: Head | None, head: Head) -> bool:
    """Put `head` in place of `known`, unless another process has changed the entry meanwhile."""
    vault = vault_of(settings)
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(settings.state_dir / "ledger_head.lock", timeout=ANSWER_S, mode=0o600):
        if _read(vault, name).head != known:
            return False
        vault.put(name, Secret(str(head)))
        return True


async def _asked(work: Callable[[], T]) -> T:
    """Do `work` in a thread of its own; a call that is cancelled leaves the thread alone."""
    answer = asyncio.wrap_future(background.start(work, "vault"))
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may come when nothing waits for it
    await asyncio.wait({answer})
    return answer.result()


def _why(error: Exception) -> str:
    if isinstance(error, BleOtaError):
        return str(error)
    if isinstance(error, TimeoutError) and not isinstance(error, Timeout):
        return f"the vault has not answered in {ANSWER_S:g} s"
    return "another process holds the vault" if isinstance(error, Timeout) else f"{type(error).__name__} of the vault"

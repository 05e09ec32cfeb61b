"""`ble-ota login`, `logout`, `whoami`."""

from __future__ import annotations

from dataclasses import asdict

from ble_ota.cli.common import Common
from ble_ota.cli.session import cloud_of, login_of, session_of
from ble_ota.cli.wiring import vault_of
from ble_ota.cloud import base_url
from ble_ota.errors import CloudError
from ble_ota.settings import Settings
from ble_ota.text import clean


async def login(common: Common, settings: Settings) -> int:
    """Run `ble-ota login`; a session that is kept is replaced."""
    vault = vault_of(settings)
    async with login_of(common, settings, vault) as center:
        user = await center.who_am_i()
    common.result(
        {"user": asdict(user), "cloud": base_url(settings.cloud), "kept_in": vault.where},
        f"Logged in as {_who(user.name, user.email, user.phone)}; the session is kept in {vault.where}",
    )
    return 0


async def logout(common: Common, settings: Settings) -> int:
    """Run `ble-ota logout`; the session is forgotten here even when the Developer Center cannot be told."""
    async with cloud_of(common, settings, vault_of(settings)) as center:
        if center.tokens is None:
            common.result({"logged_out": False}, "There is no session to end")
            return 10
        told = True
        try:
            await center.logout()
        except CloudError as error:
            told = False
            common.tell(f"warning: the Developer Center was not told: {error}")
    common.result({"logged_out": True, "told": told}, "Logged out")
    return 0


async def whoami(common: Common, settings: Settings) -> int:
    """Run `ble-ota whoami`."""
    async with session_of(common, settings, vault_of(settings)) as center:
        user = await center.who_am_i()
    where = base_url(settings.cloud)
    common.result({"user": asdict(user), "cloud": where}, f"{_who(user.name, user.email, user.phone)} at {where}")
    return 0


def _who(name: str, email: str, phone: str) -> str:
    return clean(" ".join(filter(None, (name, email, phone))) or "an account without a name", most=160)

"""A session with the Developer Center, and which of its devices one on the air is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from ble_ota.cli.common import Common
from ble_ota.cli.tokens import VaultTokens, tokens_of
from ble_ota.cli.wiring import cloud_at
from ble_ota.cloud import ENDPOINTS, CloudDevice, DeveloperCenter, joined, override
from ble_ota.errors import CloudError, DeviceAmbiguousError, DeviceNotFoundError, SettingsError
from ble_ota.events import Emit, Warned
from ble_ota.model import DeviceInfo, Secret
from ble_ota.settings import Settings
from ble_ota.target import Target
from ble_ota.vault import Vault


@asynccontextmanager
async def cloud_of(common: Common, settings: Settings, vault: Vault) -> AsyncGenerator[DeveloperCenter, None]:
    """The Developer Center with the session that is kept, if there is one; new tokens are kept too."""
    async with _entered(settings, tokens_of(common, settings, vault)) as center:
        yield center


@asynccontextmanager
async def login_of(common: Common, settings: Settings, vault: Vault) -> AsyncGenerator[DeveloperCenter, None]:
    """The Developer Center after a login; a session that is kept is replaced. Raises as `session_of`."""
    store = tokens_of(common, settings, vault)
    async with _entered(settings, store) as center:
        await _log_in(common, settings, center, store)
        yield center


@asynccontextmanager
async def session_of(common: Common, settings: Settings, vault: Vault) -> AsyncGenerator[DeveloperCenter, None]:
    """The Developer Center with a session; logs in where none is kept.

    Raises:
        UsageError: Something is missing and there is nobody to ask.
        LoginRefusedError, AccountLockedError: The account's word.
        StorageError: The session cannot be kept.
    """
    store = tokens_of(common, settings, vault)
    async with _entered(settings, store) as center:
        if center.tokens is None or center.tokens.refresh_expires_s <= time.time():
            await _log_in(common, settings, center, store)
        yield center


@asynccontextmanager
async def _entered(settings: Settings, store: VaultTokens) -> AsyncGenerator[DeveloperCenter, None]:
    async with cloud_at(settings) as place:
        made = partial(  # in a thread: it reads what is kept of the session
            DeveloperCenter,
            place,
            user_domain=settings.user_domain,
            user_domain_secret=secret(settings.user_domain_secret) or Secret(""),
            endpoints=override(ENDPOINTS, settings.endpoints),
            tokens=store,
            report_status=settings.report_status.known(),
            signature=joined if settings.signature == "joined" else None,
            sign_type=settings.sign_type,
            calls_at_once=settings.calls_at_once,
            calls_per_s=settings.calls_per_s,
        )
        async with await asyncio.to_thread(made) as center:
            yield center


async def _log_in(common: Common, settings: Settings, center: DeveloperCenter, store: VaultTokens) -> None:
    """Log in by e-mail or phone, as the settings or the user say. One try: accounts lock."""
    if not settings.user_domain or settings.user_domain_secret is None:
        msg = "the app's user domain or its secret is not known"
        raise SettingsError(
            msg, hint="Set `user_domain` and BLE_OTA_USER_DOMAIN_SECRET: both stand on the app's page in the console"
        )
    email, phone = settings.email, settings.phone
    if not email and not phone:
        name = common.ask("E-mail or phone of the account", flag="BLE_OTA_EMAIL or BLE_OTA_PHONE")
        email, phone = (name, "") if "@" in name else ("", name)
    password = secret(settings.password) or Secret(common.ask("Password", flag="BLE_OTA_PASSWORD", secret=True))
    store.account = email or phone
    if email:
        await center.login_by_email(email, password)
    else:
        await center.login_by_phone(settings.country_code, phone, password)


def secret(given: object) -> Secret | None:
    """Pydantic's secret as ours."""
    reveal = getattr(given, "get_secret_value", None)
    return Secret(reveal()) if reveal is not None else None


async def known(
    target: Target, center: DeveloperCenter, vault: Vault, given: Secret | None
) -> tuple[Target, Secret | None]:
    """Match a device to the account's list; give it with its keys, and the secret of its login.

    It is matched by its advertised keys, else by the tail of its name or address.

    Raises:
        DeviceNotFoundError: The account has no such device.
        DeviceAmbiguousError: It has several.
    """
    if target.product_key and target.device_key:
        listed = await center.device(target.product_key, target.device_key)
    else:
        listed = await _by_tail(target, center)
    found = given or listed.secret
    if found is not None:
        await asyncio.to_thread(vault.put, device_name(listed.product_key, listed.device_key), found)
    return replace(target, product_key=listed.product_key, device_key=listed.device_key), found


async def _by_tail(target: Target, center: DeveloperCenter) -> CloudDevice:
    tails = (target.advert.name[-4:].upper(), target.advert.address.replace(":", "")[-4:].upper())
    fitting = [
        device
        async for device in center.devices()
        if device.device_key[-4:].upper() in tails and target.product_key in ("", device.product_key)
    ]
    if not fitting:
        msg = f"the account has no device that {target} could be"
        raise DeviceNotFoundError(msg, hint="Bind it to the account first, or check whose session `whoami` shows")
    if len(fitting) > 1:
        keys = ", ".join(sorted(f"{d.product_key}/{d.device_key}" for d in fitting))
        msg = f"{target} could be any of {keys}"
        raise DeviceAmbiguousError(msg)
    return await center.device(fitting[0].product_key, fitting[0].device_key)


async def filled(device: DeviceInfo, center: DeveloperCenter, emit: Emit) -> DeviceInfo:
    """Fill in versions that the device does not tell by the Developer Center's word, which is for planning alone.

    That word is what an application reported last: it can neither prove nor disprove an update.
    """
    try:
        said = await center.versions(device.product_key, device.device_key)
    except CloudError as error:
        emit(Warned(f"the Developer Center does not say what the device runs: {error}"))
        return device
    return replace(
        device, versions={**said, **device.versions}, filled_in=frozenset(said.keys() - device.versions.keys())
    )


def device_name(product_key: str, device_key: str) -> str:
    """The name in the vault of a device's secret."""
    return f"device {product_key}/{device_key}"

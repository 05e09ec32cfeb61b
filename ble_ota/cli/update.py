"""`ble-ota update`: the main path with its real doors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from ble_ota.cli import ask
from ble_ota.cli.choose import chosen
from ble_ota.cli.common import Common
from ble_ota.cli.doors import fetcher, reporter
from ble_ota.cli.run import Run
from ble_ota.cli.session import filled, known, secret, session_of
from ble_ota.cli.wiring import drivers_of, radio_of, vault_of
from ble_ota.install import Installer, Patience
from ble_ota.model import Component, Consent, Outcome
from ble_ota.planning import Policy, decide
from ble_ota.settings import Settings
from ble_ota.target import Wanted, describe, look
from ble_ota.update import update as main_path
from ble_ota.vault import Vault

LOOK_AGAIN_S = 10.0  # between looks at a device that still says its old version; less where a reboot may take less


async def update(
    common: Common, device: str | None, *, flags: Mapping[str, object], yes: bool, allow_downgrade: bool
) -> int:
    """Run `ble-ota update`."""
    run = Run(common, "update", device or "")

    async def job() -> Outcome:
        settings = common.settings(**flags)
        policy = policy_of(settings, allow_downgrade=allow_downgrade, attended=not yes)
        task = Task(run, settings, vault_of(settings), policy, ask.consent(common, yes=yes))
        return await bring_up_to_date(task, Wanted.parse(device or ""))

    return await run.tell(job)


def policy_of(settings: Settings, *, allow_downgrade: bool, attended: bool, reinstall: bool = False) -> Policy:
    """What the user allows, by settings and flags."""
    return Policy(
        allow_downgrade=allow_downgrade,
        strict_conditions=settings.strict_conditions,
        accept_md5=settings.accept_md5,
        attended=attended,
        reinstall=reinstall,
    )


@dataclass(frozen=True, slots=True)
class Task:
    """What an update needs besides the device's name."""

    run: Run
    settings: Settings
    vault: Vault
    policy: Policy
    consent: Consent


async def bring_up_to_date(task: Task, wanted: Wanted) -> Outcome:
    """Find the device, ask it, and take the main path.

    Raises:
        BleOtaError: As the main path and its doors say.
    """
    settings, emit = task.settings, task.run.emit
    task.run.limit(settings.deadline_s)
    drivers = drivers_of(settings)
    async with session_of(task.run.common, settings, task.vault) as center, radio_of(settings) as radio:
        heard = await chosen(task.run.common, radio, drivers.values(), wanted, within_s=settings.scan_s)
        target, login = await known(heard, center, task.vault, secret(settings.device_secret))
        task.run.device = f"{target.product_key}/{target.device_key}"
        versions = await look(target, radio, login, emit=emit, purpose="identify")

        async def said_by_cloud(component: Component) -> str | None:
            said = await center.versions(target.product_key, target.device_key)
            return said.get(component.no) or (said.get("") if component.kind.value == 0 else None)

        device = await filled(describe(target, versions), center, emit)
        installer = Installer(target, device, radio, login, emit, patience_of(settings), said_by_cloud)
        return await main_path(
            device,
            fetch_plan=center.fetch_plan,
            decide=partial(decide, policy=task.policy, now_s=time.time()),
            consent=task.consent,
            report=reporter(center, target, emit),
            fetch=fetcher(settings, emit),
            install=installer.install,
            emit=emit,
        )


def patience_of(settings: Settings) -> Patience:
    """How often, and how long."""
    look_again_s = min(LOOK_AGAIN_S, settings.reboot_s / 4)
    return Patience(links=settings.links, reboot_s=settings.reboot_s, look_again_s=look_again_s)

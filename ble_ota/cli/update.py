"""`ble-ota update`: the main path with its real doors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ble_ota.cli import ask
from ble_ota.cli.carried import claim, consent, unverified
from ble_ota.cli.choose import chosen
from ble_ota.cli.common import Common
from ble_ota.cli.doors import fetcher, relinked
from ble_ota.cli.journal import journal_of
from ble_ota.cli.outbox import Sender, account_of, reporter, send_kept
from ble_ota.cli.record import meet, recorded
from ble_ota.cli.run import Run
from ble_ota.cli.session import filled, known, secret, session_of
from ble_ota.cli.wiring import drivers_of, radio_of, vault_of
from ble_ota.install import Installer, Patience
from ble_ota.model import Blocked, Consent, DeviceInfo, FetchPlan, Outcome, Plan, UpToDate
from ble_ota.planning import MEGABYTE, Policy, decide
from ble_ota.settings import Settings
from ble_ota.tape import Recorder
from ble_ota.target import Wanted, identify
from ble_ota.update import Decide
from ble_ota.update import update as main_path
from ble_ota.vault import Vault

LOOK_AGAIN_S = 10.0  # between looks at a device that still says its old version; less where a reboot may take less


async def update(
    common: Common,
    device: str | None,
    *,
    flags: Mapping[str, object],
    yes: bool,
    allow_downgrade: bool,
    record: Path | None = None,
    offline: bool = False,
) -> int:
    """Run `ble-ota update`; into `record` goes its transcript, `offline` takes firmware from the cache alone."""
    run = Run(common, "update", device or "")

    async def job(recorder: Recorder | None) -> Outcome:
        settings = await common.load_settings(**flags)
        run.limit(settings.deadline_s)  # before a keyring is asked
        policy = policy_of(settings, allow_downgrade=allow_downgrade, attended=not yes)
        agreed = ask.consent(common, yes=yes)
        task = Task(run, settings, vault_of(settings), policy, agreed, recorder=recorder, offline=offline)
        return await bring_up_to_date(task, Wanted.parse(device or ""))

    return await run.tell(recorded(run, record, job))


def policy_of(settings: Settings, *, allow_downgrade: bool, attended: bool, reinstall: bool = False) -> Policy:
    """What the user allows, by settings and flags."""
    return Policy(
        allow_downgrade=allow_downgrade,
        strict_conditions=settings.strict_conditions,
        accept_md5=settings.accept_md5,
        attended=attended,
        reinstall=reinstall,
        plan_max_bytes=settings.plan_max_mb * MEGABYTE,
    )


@dataclass(frozen=True, slots=True)
class Task:
    """What an update needs besides the device's name."""

    run: Run
    settings: Settings
    vault: Vault
    policy: Policy
    consent: Consent
    carries_on: str = ""
    """Id of the run that was named to be carried on."""
    recorder: Recorder | None = None
    offline: bool = False
    """Take firmware from the cache alone."""


async def bring_up_to_date(task: Task, wanted: Wanted) -> Outcome:
    """Find the device, ask it, and take the main path.

    Raises:
        BleOtaError: As the main path and its doors say.
    """
    run, settings, emit = task.run, task.settings, task.run.emit
    run.limit(settings.deadline_s)
    arguments = {"allow_downgrade": task.policy.allow_downgrade, "offline": task.offline}
    journal = await journal_of(run, settings, wanted, arguments, carries_on=task.carries_on)
    center = await run.enter(session_of(run.common, settings, task.vault))
    sender = Sender(center, journal.ledger, account_of(settings), emit, run.id)
    run.afterwards = partial(send_kept, sender)
    drivers = drivers_of(settings)
    async with radio_of(settings) as radio:
        heard = await chosen(run.common, radio, drivers.values(), wanted, within_s=settings.scan_s)
        target, login = await known(heard, center, task.vault, secret(settings.device_secret))
        await claim(run, journal, target)
        patience, recorder = patience_of(settings), task.recorder
        meet(recorder, target, settings, patience)
        own_word = await identify(target, radio, login, emit=emit, recorder=recorder)
        device = await filled(own_word, center, emit)
        await journal.identified(device)
        installer = Installer(target, own_word, radio, login, emit, patience, journal.marks, run.record, recorder)
        return await main_path(
            device,
            fetch_plan=center.fetch_plan,
            decide=decider(task.policy),
            consent=consent(run, journal, task.consent),
            report=reporter(center, journal, emit),
            fetch=fetcher(
                settings,
                emit,
                run.hold(ExitStack()),
                offline=task.offline,
                again=relinked(center.fetch_plan, device),
            ),
            install=installer.install,
            record=run.record,
            prove=installer.prove,
            key_shown=installer.key_shown,
            unverified=await unverified(journal),
        )


def decider(policy: Policy) -> Decide:
    """Return the decision on a plan under `policy`, by the clock of the moment it is asked: a person may take long."""

    def decided(device: DeviceInfo, fetched: FetchPlan) -> Plan | UpToDate | Blocked:
        return decide(device, fetched, policy, now_s=time.time())

    return decided


def patience_of(settings: Settings) -> Patience:
    """How often, and how long."""
    look_again_s = min(LOOK_AGAIN_S, settings.reboot_s / 4)
    return Patience(
        links=settings.links, reboot_s=settings.reboot_s, look_again_s=look_again_s, dwell_s=settings.dwell_s
    )

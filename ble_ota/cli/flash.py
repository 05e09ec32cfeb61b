"""`ble-ota flash`: the main path from a local file, with no cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ble_ota.cli import ask
from ble_ota.cli.carried import claim, consent, unverified
from ble_ota.cli.choose import chosen
from ble_ota.cli.common import Common
from ble_ota.cli.doors import verify
from ble_ota.cli.journal import journal_of
from ble_ota.cli.record import meet, recorded
from ble_ota.cli.run import Run
from ble_ota.cli.session import device_name, secret
from ble_ota.cli.update import decider, patience_of, policy_of
from ble_ota.cli.wiring import drivers_of, radio_of, vault_of
from ble_ota.content import Content
from ble_ota.errors import UsageError
from ble_ota.events import Emit
from ble_ota.image_file import opened
from ble_ota.images import describe as describe_image
from ble_ota.install import Installer
from ble_ota.model import (
    Algorithm,
    Component,
    ComponentKind,
    Consent,
    DeviceInfo,
    Digest,
    FetchPlan,
    Outcome,
    PlannedFile,
    Secret,
    VerifiedImage,
)
from ble_ota.protocols import AnyDriver
from ble_ota.settings import Settings
from ble_ota.tape import Recorder
from ble_ota.target import Target, Wanted, identify
from ble_ota.text import clean
from ble_ota.update import update as main_path


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says."""

    file: Path
    device: str | None
    to: str | None
    reinstall: bool
    protocol: str | None
    yes: bool
    allow_downgrade: bool

    def arguments(self) -> dict[str, object]:
        """What carrying on must know."""
        return {
            "file": str(self.file.absolute()),
            "to": self.to,
            "reinstall": self.reinstall,
            "protocol": self.protocol,
            "allow_downgrade": self.allow_downgrade,
        }


async def flash(common: Common, wish: Wish, *, flags: Mapping[str, object], record: Path | None = None) -> int:
    """Run `ble-ota flash`; into `record` goes its transcript."""
    run = Run(common, "flash", wish.device or "")

    async def job(recorder: Recorder | None) -> Outcome:
        settings = await common.load_settings(**flags)
        return await bring_file(Task(run, settings, ask.consent(common, yes=wish.yes), wish, recorder=recorder))

    return await run.tell(recorded(run, record, job))


@dataclass(frozen=True, slots=True)
class Task:
    """What it takes to flash."""

    run: Run
    settings: Settings
    consent: Consent
    wish: Wish
    carries_on: str = ""
    """Id of the run that was named to be carried on."""
    recorder: Recorder | None = None


async def bring_file(task: Task) -> Outcome:
    """Find the device, ask it, and take the main path with a plan of one file.

    Raises:
        BleOtaError: As the main path and its doors say.
    """
    run, settings, wish = task.run, task.settings, task.wish
    run.limit(settings.deadline_s)
    wanted = Wanted.parse(wish.device or "")
    journal = await journal_of(run, settings, wanted, wish.arguments(), carries_on=task.carries_on)
    files = run.hold(ExitStack())
    content = await asyncio.to_thread(lambda: files.enter_context(opened(wish.file)))
    version = _version(run.common, wish, content)
    policy = policy_of(settings, allow_downgrade=wish.allow_downgrade, attended=not wish.yes, reinstall=wish.reinstall)
    async with radio_of(settings) as radio:
        drivers = _drivers(drivers_of(settings), wish.protocol)
        target = _named(await chosen(run.common, radio, drivers, wanted, within_s=settings.scan_s), wanted)
        await claim(run, journal, target)
        login = await _login(run.common, settings, target)
        patience, recorder = patience_of(settings), task.recorder
        meet(recorder, target, settings, patience)
        device = await identify(target, radio, login, emit=run.emit, recorder=recorder)
        await journal.identified(device)
        installer = Installer(
            target,
            device,
            radio,
            login,
            run.emit,
            patience,
            marks=journal.marks,
            record=run.record,
            recorder=recorder,
        )
        return await main_path(
            device,
            fetch_plan=partial(_plan, wish.file, content, version),
            decide=decider(policy),
            consent=consent(run, journal, task.consent),
            report=_no_report,
            fetch=partial(_fetch, content, run.emit),
            install=installer.install,
            record=run.record,
            prove=installer.prove,
            key_shown=installer.key_shown,
            unverified=await unverified(journal),
        )


def _version(common: Common, wish: Wish, content: Content) -> str:
    """What the file brings: by its own word, by `--to`, or by asking."""
    version = describe_image(content.summary).version or wish.to or ""
    version = version or common.ask(f"Version that {wish.file.name} brings", flag="--to VERSION")
    if clean(version) != version or not version.strip() or len(version) > 64:
        msg = "a version has 1 to 64 visible characters"
        raise UsageError(msg)
    return version


def _drivers(table: Mapping[str, AnyDriver], name: str | None) -> list[AnyDriver]:
    if name is None:
        return list(table.values())
    if name not in table:
        msg = f"there is no protocol {name!r}"
        raise UsageError(msg, hint=f"It is one of {', '.join(table)}")
    return [table[name]]


async def _login(common: Common, settings: Settings, target: Target) -> Secret | None:
    """The secret of the device's login: from the settings, as an account gave it earlier, or by asking."""
    found = secret(settings.device_secret)
    if found is None:
        vault = vault_of(settings)
        found = await asyncio.to_thread(vault.get, device_name(target.product_key, target.device_key))
    if found is not None or not settings.quecthing.login or target.driver.name != "quecthing":
        return found
    return Secret(common.ask("The device's secret", flag="BLE_OTA_DEVICE_SECRET", secret=True))


def _named(target: Target, wanted: Wanted) -> Target:
    """The keys as the user gave them, where the device does not advertise its own."""
    if target.device_key:
        return target
    return replace(target, product_key=wanted.product_key, device_key=wanted.device_key)


async def _plan(file: Path, content: Content, version: str, device: DeviceInfo) -> FetchPlan:
    digest = Digest(Algorithm.SHA256, content.summary.sha256)
    planned = PlannedFile("", content.size_bytes, (digest,), name=clean(file.name, most=64))
    component = Component("", ComponentKind.MODULE, version, "", (planned,))
    return FetchPlan("local file", device.product_key, device.device_key, (component,))


async def _fetch(content: Content, emit: Emit, component: Component, file: PlannedFile) -> VerifiedImage:
    return verify(component, file, content, emit)


async def _no_report(_component: Component, _outcome: Literal["confirmed", "succeeded", "failed"]) -> None:
    """There is no cloud in this."""

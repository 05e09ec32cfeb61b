"""A run's side of the ledger: what is written down before it is done."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ble_ota import __version__
from ble_ota.cli.common import Common
from ble_ota.cli.ledger_head import keep_head
from ble_ota.cli.liveness import is_dead, run_locked
from ble_ota.cli.marks import LedgerMarks
from ble_ota.cli.run import Run
from ble_ota.cli.wiring import fixed_radio
from ble_ota.events import DeviceVerified, Emit, Event, PlanDecided, PlanShown, Warned
from ble_ota.ledger import Changes, Ending, Entry, Ledger, RunRow, Started
from ble_ota.model import DeviceInfo
from ble_ota.settings import Settings
from ble_ota.target import Target, Wanted

SECRETS = {"user_domain_secret", "password", "device_secret", "ledger"}  # the ledger's URL may hold a password


def place_of(settings: Settings) -> Path | str:
    """Where the ledger is."""
    return settings.ledger or settings.state_dir / "ledger.db"


def who() -> str:
    """Who runs this, as history tells it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "somebody"
    return f"{user}@{platform.node()}"


@dataclass(slots=True)
class Journal:
    """One run in the ledger."""

    ledger: Ledger
    run: str
    settings: Settings
    emit: Emit
    marks: LedgerMarks
    carried: RunRow | None = None
    """The run of this device that was agreed to and not brought to its end."""
    chain: Sequence[RunRow] = ()
    """That run, the one that it carried on, and so forth."""
    agreed_before: bool = False
    """Whether the word of the run that is carried on holds for the present plan."""
    left: dict[str, RunRow] = field(default_factory=dict[str, RunRow])
    """By component: the earlier run that had sent it whole and could not see it proven."""
    device: tuple[str, str] = ("", "")
    """Product key and device key, as far as they are known."""
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the device ran before, by component."""
    shown: PlanShown | None = None
    ended: bool = False
    """Whether the verdict is written down."""
    _after: dict[str, str] = field(default_factory=dict[str, str])
    _pending: list[Entry] = field(default_factory=list[Entry])

    def note(self, entry: Entry) -> None:
        """Write this down with whatever is written next."""
        self._pending.append(entry)

    async def write(self, entry: Entry, event: Event) -> None:
        """Write this down now, in one transaction with what it changes. Raises `StorageError`."""
        self.note(entry)
        await self.change(self._changes(event))

    async def change(self, changes: Changes) -> None:
        """Write down what is known now, and all that was noted. Raises `StorageError`."""
        pending, self._pending = self._pending, []
        await self.ledger.write(self.run, pending, changes)

    async def finish(self, ending: Ending) -> None:
        """Write the verdict down. Raises `StorageError`."""
        await self.marks.flush()
        pending, self._pending = self._pending, []
        await self.ledger.finish(self.run, pending, ending)
        self.ended = True

    async def keep_head(self) -> None:
        """Keep the head of the audit log in the vault, and warn where that cannot be done; never raises.

        A ledger that did not take the verdict may hang, and is left alone.
        """
        if self.ended and (why := await keep_head(self.settings, self.ledger)):
            self.emit(Warned(why))

    def met(self, target: Target) -> None:
        """Take note of the device."""
        self.device = target.product_key, target.device_key
        self.marks.device = target.product_key, target.device_key or target.advert.address

    async def identified(self, device: DeviceInfo) -> None:
        """Write down what the device runs before anything is done. Raises `StorageError`."""
        self.versions = dict(device.versions)
        await self.change({"versions_before": self.versions})

    def _changes(self, event: Event) -> Changes:
        match event:
            case PlanShown():
                self.shown = event
                plan = {"components": event.components, "ends_at_s": event.ends_at_s}
                return {"plan_id": event.plan, "plan": plan, "fingerprint": event.fingerprint}
            case PlanDecided(decision="approved"):
                return {"approved_by": event.why}
            case DeviceVerified():
                self._after[event.component] = event.version
                return {"versions_after": dict(self._after)}
            case _:
                return {}


async def journal_of(
    run: Run, settings: Settings, wanted: Wanted, arguments: Mapping[str, Any], *, carries_on: str
) -> Journal:
    """Open the ledger and begin the run in it; both stay until the verdict is told.

    Raises:
        StorageError: It cannot be had or written; nothing has been done yet.
        DeviceBusyError: The lock that shows to other runs that this one lives cannot be had.
    """
    ledger = await run.enter(await Ledger.open(place_of(settings)))
    run.hold(run_locked(run.id))
    plain = settings.model_dump(mode="json", exclude=SECRETS)
    await ledger.begin(
        Started(
            run.id,
            run.command,
            str(wanted),
            {**arguments, **settings_source(run.common)},
            plain,
            fixed_radio(settings.radio),
            settings.cloud,
            who(),
            os.getpid(),
            __version__,
            carries_on,
        )
    )
    run.journal = Journal(ledger, run.id, settings, run.emit, LedgerMarks(ledger, run.id, run.emit))
    await ledger.abandon_runs(
        [row.id for row in await ledger.runs(only_open=True) if row.id != run.id and _early(row) and is_dead(row)]
    )
    return run.journal


def settings_source(common: Common) -> dict[str, str]:
    """Return the settings file and the profile that a command names, as `resume` needs them; "" for none."""
    return {"config": str(common.config.absolute()) if common.config else "", "profile": common.profile}


def _early(row: RunRow) -> bool:
    """Return True if the run does not know its device. Other runs are closed by one that has locked the device."""
    return not (row.device_key or row.address)

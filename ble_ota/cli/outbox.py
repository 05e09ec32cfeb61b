"""Status reports: stored, then sent; sent again after a failure, in order per device; never too late.

A report's body names no plan, so one that comes too late would count for another plan. What makes it too late is
looked at while its device is claimed: nobody can confirm a newer plan in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ble_ota.cli.claims import device_locked
from ble_ota.cli.journal import Journal
from ble_ota.cli.liveness import lock_names
from ble_ota.cloud import DeveloperCenter, Reported
from ble_ota.errors import (
    BleOtaError,
    CloudAnswerError,
    CloudError,
    CloudUnreachableError,
    DeviceBusyError,
    Retry,
    SettingsError,
    TrustError,
)
from ble_ota.events import ConfirmReported, Emit, ReportKept, StatusReported, Warned
from ble_ota.ledger import DeviceKeys, Ledger, Report
from ble_ota.model import Component, DeviceInfo
from ble_ota.settings import Settings
from ble_ota.update import Report as ReportDoor


def account_of(settings: Settings) -> str:
    """Whose reports they are: only the account that was asked for the plan may send them."""
    return f"{settings.cloud} {settings.email or settings.phone}".strip()


def reporter(center: DeveloperCenter, journal: Journal, emit: Emit) -> ReportDoor:
    """Reports of one run. A confirmation arrives or raises; the others are stored, and `send_kept` sends them."""

    async def report(component: Component, outcome: Reported) -> None:
        written = _report(journal, component, outcome)
        if outcome != "confirmed":
            await journal.ledger.keep(written)
        elif not await _confirmed_before(journal, component):
            await _confirm(center, journal, written, emit)

    return report


async def _confirmed_before(journal: Journal, component: Component) -> bool:
    """Whether a run that is carried on has confirmed this: once in effect, also across a kill."""
    if not journal.agreed_before:
        return False
    plans = dict.fromkeys((row.plan_id, row.fingerprint) for row in journal.chain)
    for plan_id, fingerprint in plans:
        plan = {"plan_id": plan_id, "fingerprint": fingerprint}
        if plan_id == journal.chain[0].plan_id and await journal.ledger.confirmed(
            journal.device, **plan, component=component.no
        ):
            return True
    return False


async def _confirm(center: DeveloperCenter, journal: Journal, written: Report, emit: Emit) -> None:
    """Store the confirmation, send it, and take note that it has arrived.

    What an earlier run of this device has left goes first: after the confirmation it would be too late.

    Raises:
        CloudError, SettingsError: It cannot be sent, and settings do not say that it may wait.
    """
    ledger = journal.ledger
    await Sender(center, ledger, written.account, emit, journal.run).send(journal.device)
    number = await ledger.keep(written)
    try:
        status = await _send_confirmation(center, written)
    except (CloudError, SettingsError) as error:
        if journal.settings.offline == "queue" and error.retry is Retry.LATER:
            await ledger.tried(number, str(error))
            emit(ReportKept(written.component, "confirmed", str(error)))
            return
        await ledger.settle(number, "dropped", f"the run ended before the first byte: {error}")
        raise
    await ledger.settle(number, "sent")
    emit(ConfirmReported(written.component, status))


async def _send_confirmation(center: DeveloperCenter, written: Report) -> int:
    """Send a confirmation, and once more where the answer was lost: it is a status, so telling it twice is safe."""
    keys = written.product_key, written.device_key
    try:
        return await center.report(*keys, written.component, "confirmed")
    except (CloudUnreachableError, CloudAnswerError):
        return await center.report(*keys, written.component, "confirmed")


def _report(journal: Journal, component: Component, outcome: Reported) -> Report:
    """The report of this run; before it has a plan, that of the run which had sent the component."""
    shown, row = journal.shown, journal.left.get(component.no)
    if shown is None and row is None:
        msg = f"{outcome} of component {component.no} is of no plan"
        raise ValueError(msg)
    run, plan, ends_at_s, versions = journal.run, "", None, journal.versions
    if shown is not None:
        plan, ends_at_s = shown.plan, shown.ends_at_s
    elif row is not None:
        run, plan, ends_at_s, versions = row.id, row.plan_id, row.plan.get("ends_at_s"), row.versions_before
    account = account_of(journal.settings)
    return Report(run, account, *journal.device, plan, component.no, outcome, versions, ends_at_s)


@dataclass(slots=True)
class Sender:
    """Sends what is kept for one account."""

    center: DeveloperCenter
    ledger: Ledger
    account: str
    emit: Emit
    run: str = ""
    """The present run, which has claimed its device and asked for its plan; "" for none."""
    locking: Settings | None = None
    """Settings that say where a device is locked while its reports go; None: the present run has locked it."""
    _plans: dict[DeviceKeys, str | None] = field(default_factory=dict[DeviceKeys, str | None])

    async def send(self, device: DeviceKeys, *, since_s: float = float("inf")) -> None:
        """Send a device's reports in order; one that does not arrive lets those after it wait.

        Reports kept at `since_s` (Unix time) or later are told as the present run's.

        Raises:
            StorageError: The ledger cannot be read or written.
        """
        async with self._alone(device):
            kept = await self.ledger.kept(self.account, device)
            for at, report in enumerate(kept):
                mine = [r for r in kept[at:] if r.created_at_s >= since_s]
                try:
                    await self._one(report, ours=report in mine)
                except (CloudError, SettingsError, TrustError) as error:
                    why = f"{error} ({error.hint})" if error.hint else str(error)
                    await self.ledger.tried(report.id or 0, why)
                    return self._stays(mine, why)
                except asyncio.CancelledError:
                    self._stays(mine, "there was no time to send it")
                    raise
        return None

    def _stays(self, mine: Sequence[Report], why: str) -> None:
        for report in mine:
            self.emit(ReportKept(report.component, report.outcome, why))

    @asynccontextmanager
    async def _alone(self, device: DeviceKeys) -> AsyncGenerator[None, None]:
        if self.locking is None:
            yield
            return
        async with alone(self.locking, self.ledger, device, "reports send"):
            yield

    async def _one(self, report: Report, *, ours: bool) -> None:
        number = report.id or 0
        if why := await self._too_late(report):
            await self.ledger.settle(number, "superseded", why)
            return
        status = await self.center.report(report.product_key, report.device_key, report.component, report.outcome)
        await self.ledger.settle(number, "sent")
        if not ours:
            self.emit(Warned(f"reported what run {report.run} had left: {report.component} {report.outcome}"))
        elif report.outcome == "confirmed":
            self.emit(ConfirmReported(report.component, status))
        else:
            self.emit(StatusReported(report.component, report.outcome, status))

    async def _too_late(self, report: Report) -> str:
        """Why a report must not be sent any more; "" when it may."""
        if report.outcome == "confirmed" and not report.attempts:
            return "its run ended before it was known to have arrived"
        if await self.ledger.newer_confirmed(report):
            return "a newer run of this device was confirmed"
        if report.outcome == "confirmed" and await self._confirmed(report):
            return "an earlier run has confirmed the same"
        if report.plan_ends_at_s is not None and time.time() > report.plan_ends_at_s:
            return "its plan is over"
        if report.run == self.run or not report.plan_id:
            return ""
        plan = await self._current_plan(report)
        if plan is None:
            return "its plan is no longer there"
        return "" if plan == report.plan_id else f"the device has another plan now: {plan}"

    async def _confirmed(self, report: Report) -> bool:
        row = await self.ledger.run(report.run)
        plan = {"plan_id": report.plan_id, "fingerprint": row.fingerprint if row is not None else ""}
        device = report.product_key, report.device_key
        return await self.ledger.confirmed(device, **plan, component=report.component)

    async def _current_plan(self, report: Report) -> str | None:
        device = report.product_key, report.device_key
        if device not in self._plans:
            fetched = await self.center.fetch_plan(DeviceInfo("", "", *device, report.versions))
            self._plans[device] = fetched.id if fetched is not None else None
        return self._plans[device]


@asynccontextmanager
async def alone(settings: Settings, ledger: Ledger, device: DeviceKeys, command: str) -> AsyncGenerator[None, None]:
    """Lock the device where an update of it may be at work, until the block ends.

    That is the place of the radio that is set, those of the runs whose reports are kept, and those of open runs.

    Raises:
        DeviceBusyError: A run is at work on it, or that cannot be checked.
        StorageError: The ledger cannot be read, or the state folder cannot be used.
    """
    reporting = [await ledger.run(r.run) for r in await ledger.kept(device=device)]
    at_work = await ledger.open_runs(product_key=device[0], device_key=device[1], address="")
    radios = {settings.radio, *(row.radio for row in (*reporting, *at_work) if row is not None)}
    names = lock_names(product_key=device[0], device_key=device[1])
    with device_locked(settings, radios, names, command=command, run="none"):
        yield


async def send_kept(sender: Sender) -> None:
    """Send what is kept for the device of the present run, and tell what of the run's own stays; never raises."""
    try:
        row = await sender.ledger.run(sender.run)
        if row is not None and row.device_key:
            await sender.send((row.product_key, row.device_key), since_s=row.started_at_s)
    except BleOtaError as error:
        sender.emit(Warned(f"what is kept for the Developer Center was not sent: {error}"))


async def send_all(sender: Sender) -> None:
    """Send what is kept for the account; the reports of a device that is being updated are left to that run.

    Raises:
        StorageError: The ledger cannot be read or written.
    """
    devices = dict.fromkeys((r.product_key, r.device_key) for r in await sender.ledger.kept(sender.account))
    for device in devices:
        try:
            await sender.send(device)
        except DeviceBusyError as error:
            sender.emit(Warned(str(error)))

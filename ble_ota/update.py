"""The main path, as a paragraph: plan, consent, confirmation, firmware, transfer, proof, report.

It knows no library. Every door comes in as an argument; `cli/wiring.py` and the tests say which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Literal, TypeAlias

from ble_ota.errors import CloudAnswerError, DeviceError, NotVerifiedError
from ble_ota.events import DeviceVerified, PlanDecided, PlanShown, Record, Warned
from ble_ota.model import (
    Approved,
    Blocked,
    Component,
    Consent,
    Declined,
    DeviceInfo,
    Done,
    FetchPlan,
    Installed,
    Outcome,
    Plan,
    PlannedFile,
    UpToDate,
    VerifiedImage,
)

PLANS_MAX = 4  # our choice: a plan that changes more often than three times while one reads it is not worth reading

Report: TypeAlias = Callable[[Component, Literal["confirmed", "succeeded", "failed"]], Awaitable[None]]
"""Tell the Developer Center. A confirmation must arrive or raise; the others are kept and must not raise for a
network's sake."""
FetchPlanOf: TypeAlias = Callable[[DeviceInfo], Awaitable[FetchPlan | None]]
Decide: TypeAlias = Callable[[DeviceInfo, FetchPlan], Plan | UpToDate | Blocked]
Fetch: TypeAlias = Callable[[Component, PlannedFile], Awaitable[VerifiedImage]]
Install: TypeAlias = Callable[[Component, Sequence[VerifiedImage]], Awaitable[Installed]]


async def update(
    device: DeviceInfo,
    *,
    fetch_plan: FetchPlanOf,
    decide: Decide,
    consent: Consent,
    report: Report,
    fetch: Fetch,
    install: Install,
    record: Record,
    unproven: Sequence[Component] = (),
) -> Outcome:
    """Bring one device up to date.

    All components are confirmed before any firmware byte moves, and all firmware is here and verified before the
    device is touched. Components are installed one after the other; the first failure stops.

    `unproven` is what an earlier run sent whole, to a device that ran something else, and did not see running.

    Raises:
        BleOtaError: What could not be done; the doors say which.
    """
    proven = [await _proven(c, device, report, record) for c in unproven if device.running(c) == c.target_version]
    agreed = await _agreed(device, fetch_plan, decide, consent, record)
    if not isinstance(agreed, Approved):
        return Done(tuple(proven)) if proven and isinstance(agreed, UpToDate) else agreed
    due = agreed.plan.components
    for component in due:
        await report(component, "confirmed")
    images = {c.no: [await fetch(c, f) for f in c.files] for c in due}
    return Done((*proven, *[await _one(c, images[c.no], install, report) for c in due]))


async def _agreed(
    device: DeviceInfo, fetch_plan: FetchPlanOf, decide: Decide, consent: Consent, record: Record
) -> Approved | Outcome:
    """Show the plan until it is agreed to and still the same afterwards: consent can take minutes."""
    approved: Approved | None = None
    for _ in range(PLANS_MAX):
        fetched = await fetch_plan(device)
        if fetched is None:
            return UpToDate("the Developer Center has no plan for this device")
        changed = approved is not None and fetched.fingerprint != approved.plan.fetched.fingerprint
        if changed:
            await record(Warned("the plan has changed since it was agreed to; what was said of it does not count"))
        if changed or approved is None:
            await record(_shown(device, fetched))
        decision = decide(device, fetched)
        if not isinstance(decision, Plan):
            await record(PlanDecided("blocked" if isinstance(decision, Blocked) else "up-to-date", decision.why))
            return decision
        if approved is not None and not changed:
            await record(PlanDecided("approved", approved.by))
            return Approved(decision, approved.by)
        approved = await consent(decision)
        if approved is None:
            await record(PlanDecided("declined", "the user said no"))
            return Declined(decision)
    msg = f"the plan changed {PLANS_MAX - 1} times while it was being agreed to"
    raise CloudAnswerError(msg, hint="Wait until it is settled in the Developer Center, then run the same again")


async def _proven(component: Component, device: DeviceInfo, report: Report, record: Record) -> Installed:
    """What nobody was there to see: it was sent whole, and the device runs it now."""
    version = component.target_version
    await record(DeviceVerified(component.no, version, "device"))
    await report(component, "succeeded")
    return Installed(component, component.source_version or None, version, "device")


async def _one(component: Component, images: Sequence[VerifiedImage], install: Install, report: Report) -> Installed:
    try:
        installed = await install(component, images)
    except (DeviceError, NotVerifiedError):  # the device's failure; a broken link is nobody's, and is carried on
        await report(component, "failed")
        raise
    await report(component, "succeeded")
    return installed


def _shown(device: DeviceInfo, fetched: FetchPlan) -> PlanShown:
    components = [_plain(device, c) for c in fetched.components]
    return PlanShown(fetched.id, components, fetched.fingerprint, fetched.ends_at_s)


def _plain(device: DeviceInfo, component: Component) -> Mapping[str, object]:
    files = [{"name": f.name, "size": f.size_bytes, "digests": [str(d) for d in f.digests]} for f in component.files]
    plain = asdict(component) | {"kind": component.kind.name.lower(), "files": files}
    return plain | {"running": device.running(component)}

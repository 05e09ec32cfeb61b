"""The main path, as a paragraph: plan, consent, confirmation, firmware, transfer, proof, report.

It knows no library. Every door comes in as an argument; `cli/wiring.py` and the tests say which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Literal, TypeAlias

from ble_ota.errors import DeviceError, NotVerifiedError
from ble_ota.events import Emit, PlanDecided, PlanShown
from ble_ota.model import (
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

Report: TypeAlias = Callable[[Component, Literal["confirmed", "succeeded", "failed"]], Awaitable[None]]
"""Tell the Developer Center. A confirmation must arrive or raise; the others must not raise."""
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
    emit: Emit,
) -> Outcome:
    """Bring one device up to date.

    All components are confirmed before any firmware byte moves, and all firmware is here and verified before the
    device is touched. Components are installed one after the other; the first failure stops.

    Raises:
        BleOtaError: What could not be done; the doors say which.
    """
    fetched = await fetch_plan(device)
    if fetched is None:
        return UpToDate("the Developer Center has no plan for this device")
    emit(PlanShown(fetched.id, [_shown(device, c) for c in fetched.components]))
    decision = decide(device, fetched)
    if not isinstance(decision, Plan):
        emit(PlanDecided("blocked" if isinstance(decision, Blocked) else "up-to-date", decision.why))
        return decision
    approved = await consent(decision)
    if approved is None:
        emit(PlanDecided("declined", "the user said no"))
        return Declined(decision)
    emit(PlanDecided("approved", approved.by))
    due = approved.plan.components
    for component in due:
        await report(component, "confirmed")
    images = {c.no: [await fetch(c, f) for f in c.files] for c in due}
    return Done(approved.plan, tuple([await _one(c, images[c.no], install, report) for c in due]))


async def _one(component: Component, images: Sequence[VerifiedImage], install: Install, report: Report) -> Installed:
    try:
        installed = await install(component, images)
    except (DeviceError, NotVerifiedError):  # the device's failure; a broken link is nobody's, and is carried on
        await report(component, "failed")
        raise
    await report(component, "succeeded")
    return installed


def _shown(device: DeviceInfo, component: Component) -> Mapping[str, object]:
    files = [{"name": f.name, "size": f.size_bytes, "digests": [str(d) for d in f.digests]} for f in component.files]
    plain = asdict(component) | {"kind": component.kind.name.lower(), "files": files}
    return plain | {"running": device.running(component)}

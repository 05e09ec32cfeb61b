"""The main path, as a paragraph: plan, consent, confirmation, firmware, transfer, proof, report.

It knows no library. Every door comes in as an argument; `cli/wiring.py` and the tests say which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Literal, TypeAlias

from ble_ota.errors import CloudAnswerError, KeyNotShownError, NotVerifiedError, RefusedByDeviceError, UnprovenError
from ble_ota.events import PlanDecided, PlanShown, Record, Warned
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
from ble_ota.proof import Unverified, caveat

PLANS_MAX = 4  # our choice: a plan that changes more often than three times while one reads it is not worth reading

Report: TypeAlias = Callable[[Component, Literal["confirmed", "succeeded", "failed"]], Awaitable[None]]
"""Tell the Developer Center. A confirmation must arrive or raise; the others are kept and must not raise for a
network's sake."""
FetchPlanOf: TypeAlias = Callable[[DeviceInfo], Awaitable[FetchPlan | None]]
Decide: TypeAlias = Callable[[DeviceInfo, FetchPlan], Plan | UpToDate | Blocked]
Fetch: TypeAlias = Callable[[Component, PlannedFile], Awaitable[VerifiedImage]]
Install: TypeAlias = Callable[[Component, Sequence[VerifiedImage]], Awaitable[Installed]]
Prove: TypeAlias = Callable[[Unverified], Awaitable[Installed | None]]
"""Look whether what an earlier run began to send runs now; None where the device tells another version."""
KeyShown: TypeAlias = Callable[[], Awaitable[bool]]
"""Ask the device once more; whether it tells the same versions as before, and shows that it has its key."""


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
    prove: Prove | None = None,
    key_shown: KeyShown | None = None,
    unverified: Sequence[Unverified] = (),
) -> Outcome:
    """Bring one device up to date.

    All components are confirmed before any firmware byte moves, and all firmware is here and verified before the
    device is touched. Components are installed one after the other; the first failure stops.

    `unverified` is what an earlier run began to send, to a device that ran something else, and did not see running:
    it is looked at first, by `prove`. That nothing is to be done is not believed of a peer without the device's key:
    `key_shown` asks it to show that.

    Raises:
        BleOtaError: What could not be done; the doors say which.
    """
    proven = [done for sent in unverified if prove and (done := await _proven(sent, prove, report))]
    agreed = await _agreed(device, fetch_plan, decide, consent, record)
    if isinstance(agreed, UpToDate) and caveat(device):
        agreed = await _believed(agreed, device, key_shown)
    if not isinstance(agreed, Approved):
        return _without(agreed, proven, [u.component for u in unverified if not _told(device, u.component)])
    due = agreed.plan.components
    for component in due:
        await report(component, "confirmed")
    images = {c.no: [await fetch(c, f) for f in c.files] for c in due}
    return Done((*proven, *[await _one(c, images[c.no], install, report) for c in due]))


async def _believed(outcome: UpToDate, device: DeviceInfo, key_shown: KeyShown | None) -> UpToDate:
    """Return `outcome` if the peer shows that it has the device's key. Raises `KeyNotShownError`."""
    if key_shown is None or not await key_shown():
        raise KeyNotShownError(outcome.why)
    return UpToDate(outcome.why.removesuffix(caveat(device)))


def _told(device: DeviceInfo, component: Component) -> bool:
    """Return True if the device itself tells which version of `component` it runs."""
    return device.proof_of(component) not in ("", "developer-center")


def _without(outcome: Outcome, proven: Sequence[Installed], open_still: Sequence[Component]) -> Outcome:
    """Return how a run ends that installs nothing.

    Raises:
        UnprovenError: There is nothing to install, and an earlier run sent what the device does not tell anything of.
    """
    if not isinstance(outcome, UpToDate):
        return outcome
    if open_still:
        numbers = ", ".join(c.no or "the firmware" for c in open_still)
        msg = f"an earlier run sent {numbers}, and the device does not tell what it runs; {outcome.why}"
        raise UnprovenError(msg)
    return Done(tuple(proven)) if proven else outcome


async def _agreed(
    device: DeviceInfo, fetch_plan: FetchPlanOf, decide: Decide, consent: Consent, record: Record
) -> Approved | Outcome:
    """Show the plan until it is agreed to and still the same afterwards: consent can take minutes."""
    approved: Approved | None = None
    for _ in range(PLANS_MAX):
        fetched = await fetch_plan(device)
        if fetched is None:
            return UpToDate(f"the Developer Center has no plan for this device{caveat(device)}")
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


async def _proven(sent: Unverified, prove: Prove, report: Report) -> Installed | None:
    """Report the success that an earlier run could not see."""
    installed = await prove(sent)
    if installed is not None:
        await report(sent.component, "succeeded")
    return installed


async def _one(component: Component, images: Sequence[VerifiedImage], install: Install, report: Report) -> Installed:
    try:
        installed = await install(component, images)
    except (RefusedByDeviceError, NotVerifiedError):  # the device's own word; nothing else is a failure
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
    del plain["one_of_modules"]
    return plain | {"running": device.running(component), "proof": device.proof_of(component)}

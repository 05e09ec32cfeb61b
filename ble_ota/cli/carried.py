"""What an earlier run of a device has left: its claim, its consent, and what it could not see proven.

A run carries on the newest agreed one that was not brought to its end, which may itself have carried one on: the
chain of them stands in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ble_ota.cli.claims import device_locked
from ble_ota.cli.journal import Journal
from ble_ota.cli.liveness import is_dead, lock_names
from ble_ota.cli.run import Run
from ble_ota.cli.wiring import places_of
from ble_ota.events import Warned
from ble_ota.ledger import Changes, Entry, Ledger, RunRow
from ble_ota.model import Approved, Component, ComponentKind, Consent, FetchPlan, Plan
from ble_ota.proof import Unverified
from ble_ota.target import Target

CHAIN_MAX = 100  # our choice: runs that carry one another on, before one stops looking further back

OWN_PROOFS = ("device-information", "device")  # of `proof.PROOFS`: the device's own word
OLD_PROOF = "device-information"  # of runs that did not keep which it was

LEFT_ALONE = "it is neither closed nor carried on"
IN_RUN = ", in run "  # between who agreed and where, when that was in an earlier run


async def claim(run: Run, journal: Journal, target: Target) -> None:
    """Be the only run on this device from now on, and take up what an earlier one has left.

    Raises:
        DeviceBusyError: Another run is at work on it.
        StorageError: The state folder or the ledger cannot be written.
    """
    run.device = f"{target.product_key}/{target.device_key}" if target.device_key else target.advert.address
    known: Changes = {"product_key": target.product_key, "device_key": target.device_key}
    known["address"] = target.advert.address
    device = {name: str(value) for name, value in known.items()}
    radios = [journal.settings.radio]
    held = run.hold(device_locked(journal.settings, radios, lock_names(**device), command=run.command, run=run.id))
    journal.met(target)
    others = [row for row in await journal.ledger.open_runs(**device) if row.id != run.id]
    await journal.ledger.abandon_runs([row.id for row in others if is_dead(row, held)])
    journal.carried = await _left(run, journal, device)
    await journal.change({**known, "name": target.advert.name})
    if journal.carried is not None:
        journal.chain = await chain_of(journal.ledger, journal.carried)
        await journal.change({"carries_on": journal.carried.id})


async def chain_of(ledger: Ledger, row: RunRow) -> list[RunRow]:
    """`row`, the run that it carries on, and so forth: newest first, `CHAIN_MAX` at most."""
    chain = [row]
    while len(chain) < CHAIN_MAX and chain[-1].carries_on:
        before = await ledger.run(chain[-1].carries_on)
        if before is None or before in chain:
            break
        chain.append(before)
    return chain


async def _left(run: Run, journal: Journal, device: Mapping[str, str]) -> RunRow | None:
    """Return the run to carry on. One that may be at work elsewhere is not, and that is told."""
    row = await journal.ledger.pending(**device)
    if row is None or row.id == run.id or not _same_world(row, journal):
        return None
    if not row.open:
        return row
    run.emit(Warned(f"run {row.id} of {row.who} has no verdict and may still be at work on this device; {LEFT_ALONE}"))
    return None


def _same_world(row: RunRow, journal: Journal) -> bool:
    """Virtual worlds have the same devices and plans in them, and are not the same."""
    mine = journal.settings
    virtual = any(r.startswith("virtual:") for r in (row.radio, mine.radio))
    return row.cloud == mine.cloud and (not virtual or places_of(row.radio) == places_of(mine.radio))


def consent(run: Run, journal: Journal, otherwise: Consent) -> Consent:
    """Consent that carries over while the plan, or what is left of it, is the same; else `otherwise` is asked."""

    async def given(plan: Plan) -> Approved | None:
        row = journal.carried
        journal.agreed_before = row is not None and _agreed_to(row, plan)
        if row is None or not journal.agreed_before:
            return await otherwise(plan)
        run.common.tell(f"carrying on run {row.id}: this very plan was agreed to there")
        word, _, earlier = row.approved_by.partition(IN_RUN)
        return Approved(plan, f"{word}{IN_RUN}{earlier or row.id}")

    return given


def _agreed_to(row: RunRow, plan: Plan) -> bool:
    """Whether all of this plan was agreed to in that run, for a device that ran what it runs now.

    What is installed meanwhile may be missing from it: a plan keeps its id when a part of it is done.
    """
    if row.plan_id != plan.fetched.id or not plan.components:
        return False
    agreed = {c["no"]: c for c in row.plan.get("components", ())}
    if row.fingerprint != plan.fetched.fingerprint and not (
        plan.fetched.id and all(_same(agreed.get(c.no), c) for c in plan.fetched.components)
    ):
        return False
    return all(agreed[c.no]["running"] == plan.device.running(c) for c in plan.components)


def _same(kept: Mapping[str, Any] | None, now: Component) -> bool:
    """Whether a component of a kept plan is this one: versions, sizes and digests; links and notes may change."""
    if kept is None:
        return False
    words = kept["kind"], kept["source_version"], kept["target_version"], kept["delta"]
    files = [(f["size"], f["digests"]) for f in kept["files"]]
    return (words, files) == (
        (now.kind.name.lower(), now.source_version, now.target_version, now.delta),
        [(f.size_bytes, [str(d) for d in f.digests]) for f in now.files],
    )


async def unverified(journal: Journal) -> list[Unverified]:
    """Return components that the resumed runs began to send and did not see running.

    A component that ran its target before is left out: its version would prove nothing. Where the device did not tell
    what it ran before, the whole component must have been sent.
    """
    failed: set[str] = set()
    found: list[Unverified] = []
    for row in journal.chain:
        events = await journal.ledger.events(row.id)
        began = {e.body.get("component") for e in events if e.name in ("transfer.started", "transfer.done")}
        whole = {e.body.get("component") for e in events if e.name == "transfer.done"}
        rebooted = {e.body.get("component") for e in events if _rebooted(e)}
        failed |= {r.component for r in await journal.ledger.reports_of(row.id) if r.outcome == "failed"}
        for sent in _sent(row):
            no, before = sent.component.no, sent.version_before
            due = (began if before is not None else whole) - failed - journal.left.keys()
            if no in due and before != sent.component.target_version:
                journal.left[no] = row
                found.append(replace(sent, rebooted=no in rebooted))
    return found


def _rebooted(entry: Entry) -> bool:
    """Return True if the device was seen to reboot into what it had been sent."""
    seen = entry.name == "device.rebooting" and entry.body.get("evidence") == "disconnected"
    return seen or entry.name == "device.verified"


def _sent(row: RunRow) -> list[Unverified]:
    """Return the components of a kept plan with the device's own word of before, as far as carrying on needs them."""
    planned = {c["no"]: c for c in row.plan.get("components", ())}
    components = [
        Component(no, ComponentKind[c["kind"].upper()], c["target_version"], "", ()) for no, c in planned.items()
    ]
    plan = FetchPlan(row.plan_id, row.product_key, row.device_key, tuple(components))
    proofs = {no: c.get("proof", OLD_PROOF) for no, c in planned.items()}
    return [
        Unverified(c, planned[c.no]["running"], proofs[c.no]) if proofs[c.no] in OWN_PROOFS else Unverified(c, None, "")
        for c in plan.components
    ]

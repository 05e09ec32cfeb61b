"""`ble-ota reports resolve`: settle a run that ended unproven by a person's word.

The word becomes a status report with `resolved_by`. It changes neither the verdict of the run nor what the device is
known to run; the run is not carried on any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from ble_ota.cli.carried import chain_of
from ble_ota.cli.common import Common
from ble_ota.cli.journal import place_of, who
from ble_ota.cli.ledger_head import keep_head
from ble_ota.cli.outbox import account_of, alone
from ble_ota.cli.retold import device_text, report_data, report_line
from ble_ota.errors import UsageError
from ble_ota.ledger import Ledger, Report, ReportedOutcome, RunRow
from ble_ota.settings import Settings
from ble_ota.text import clean

UNPROVEN = "unproven"
"""The reason of such a run, and the state of its components."""


async def resolve(common: Common, settings: Settings, run: str, outcome: ReportedOutcome, *, yes: bool) -> int:
    """Run `ble-ota reports resolve`; exit 11 when the user says no.

    Raises:
        UsageError: There is no such run, it cannot be settled, or this command may not ask.
        DeviceBusyError: Another run is at work on the device.
    """
    async with await Ledger.open(place_of(settings)) as ledger:
        row = await _run(ledger, run)
        words = await _words(ledger, settings, row, outcome)
        if not yes and not _agreed(common, row, words):
            common.result({"resolved": []}, "Nothing was settled")
            return 11
        async with alone(settings, ledger, (words[0].product_key, words[0].device_key), "reports resolve"):
            words = await _words(ledger, settings, row, outcome)  # a run may have come in between
            await ledger.resolve(words)
        kept = [r for r in await ledger.reports_of(words[0].run) if r.resolved_by]
        if why := await keep_head(settings, ledger):
            common.tell(f"warning: {why}")
    common.result({"resolved": [report_data(r) for r in kept]}, "\n".join(map(report_line, kept)))
    common.tell("`ble-ota reports send` sends this")
    return 0


async def _run(ledger: Ledger, run: str) -> RunRow:
    if (row := await ledger.run(run)) is None:
        msg = f"there is no run {clean(run, most=200)}"
        raise UsageError(msg, hint="`ble-ota history` lists the runs")
    return row


async def _words(ledger: Ledger, settings: Settings, row: RunRow, outcome: ReportedOutcome) -> list[Report]:
    """Return the reports that a word about this run makes, one for each component that is open.

    Raises:
        UsageError: The run cannot be settled by a word.
    """
    if row.ending is None or row.ending.reason != UNPROVEN:
        ended = "has no verdict" if row.ending is None else f"ended {row.ending.verdict} ({row.ending.reason})"
        msg = f"run {row.id} {ended}: only a run that ended {UNPROVEN} is settled by a word"
        raise UsageError(msg, hint=f"`ble-ota history show {row.id}` tells what is known of it")
    chain = await chain_of(ledger, row)
    planned = next((r for r in chain if r.approved_by and r.plan.get("components")), row)
    reports = [r for of in chain for r in await ledger.reports_of(of.id)]
    if before := next((r for r in reports if r.resolved_by), None):
        msg = f"run {row.id} was settled before: {before.outcome}, by the word of {before.resolved_by}"
        raise UsageError(msg, hint=f"`ble-ota history show {row.id}` shows it; the first word stands")
    await _check_open(ledger, row, planned)
    components = _open_components(row, chain, planned)
    account = next((r.account for r in reports if r.outcome == "confirmed"), account_of(settings))
    return [
        Report(
            planned.id,
            account,
            planned.product_key,
            planned.device_key,
            planned.plan_id,
            component,
            outcome,
            planned.versions_before,
            planned.plan.get("ends_at_s"),
            resolved_by=who(),
        )
        for component in components
    ]


async def _check_open(ledger: Ledger, row: RunRow, planned: RunRow) -> None:
    """Raise `UsageError` unless `planned` has a plan of the Developer Center, and nothing came after it."""
    if "file" in planned.arguments or not planned.plan:
        msg = f"run {row.id} has no plan of the Developer Center, so there is nothing to report"
        raise UsageError(msg, hint="`ble-ota resume` looks at the device again")
    device = {"product_key": planned.product_key, "device_key": planned.device_key, "address": planned.address}
    pending = await ledger.pending(**device)
    if pending is None or pending.id != planned.id:
        later = f"run {pending.id} came after it" if pending else "a later run of its device has settled it"
        msg = f"run {row.id} is not the last one of its device: {later}"
        raise UsageError(msg, hint=f"`ble-ota history show {planned.product_key}/{planned.device_key}` lists them")


def _open_components(row: RunRow, chain: Sequence[RunRow], planned: RunRow) -> list[str]:
    """Return the components that ended unproven; where none is said to have, all that were not verified."""
    verified = {no for r in chain for no, state in _states(r) if state == "verified"} | {
        no for r in chain for no in r.versions_after
    }
    mine = {no for no, state in _states(row) if state == UNPROVEN}
    left = [str(c["no"]) for c in planned.plan["components"] if c["no"] not in verified]
    found = [no for no in left if no in mine] or left
    if not found:
        msg = f"every component of run {row.id} was verified by its device"
        raise UsageError(msg, hint=f"`ble-ota history show {row.id}` tells what is known of it")
    return found


def _states(row: RunRow) -> list[tuple[object, object]]:
    return [(c.get("component"), c.get("state")) for c in row.ending.components] if row.ending else []


def _agreed(common: Common, row: RunRow, words: Sequence[Report]) -> bool:
    if not common.may_ask:
        msg = "a word about a run cannot be taken back, and this command may not ask"
        raise UsageError(msg, hint="Pass `--yes` to settle it without being asked")
    common.tell(f"run {row.id} of {device_text(row)} could not see whether its device runs the new firmware")
    targets = {c["no"]: c["target_version"] for c in row.plan.get("components", ())}
    for word in words:
        target = f" ({targets[word.component]})" if word.component in targets else ""
        common.tell(f"  {word.component or 'firmware'}{target}: {word.outcome}, by your word")
    return common.agree("Report this to the Developer Center?")

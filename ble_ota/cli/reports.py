"""`ble-ota reports list|send|drop`: status reports that the Developer Center has not taken yet."""

from __future__ import annotations

from collections.abc import Sequence

from ble_ota.cli.common import Common
from ble_ota.cli.journal import place_of, who
from ble_ota.cli.ledger_head import keep_head
from ble_ota.cli.outbox import Sender, account_of, send_all
from ble_ota.cli.retold import local, report_data, report_line
from ble_ota.cli.session import session_of
from ble_ota.cli.wiring import vault_of
from ble_ota.errors import UsageError
from ble_ota.events import Emit, Event, Warned
from ble_ota.ledger import Ledger, Report
from ble_ota.settings import Settings

LATEST = 20  # settled reports that a list shows
ALL = 1_000_000  # our choice: more than anybody reads


async def listed(common: Common, settings: Settings, *, everything: bool) -> int:
    """Run `ble-ota reports list`: those that are kept first, then the latest of the others, or all of them."""
    async with await Ledger.open(place_of(settings)) as ledger:
        kept = await ledger.kept()
        others = [r for r in await ledger.reports(limit=ALL if everything else LATEST) if r.state != "kept"]
    lines = [_line(r) for r in (*kept, *others)]
    data = {"kept": [report_data(r) for r in kept], "settled": [report_data(r) for r in others]}
    common.result(data, "\n".join(lines) or "No report is kept, and none was sent")
    return 0


async def send(common: Common, settings: Settings) -> int:
    """Run `ble-ota reports send`; exit 20 where some of the account's reports are still kept.

    Raises:
        BleOtaError: The session or the ledger cannot be had.
    """
    async with await Ledger.open(place_of(settings)) as ledger:
        account = account_of(settings)
        before, everyone = await ledger.kept(account), await ledger.kept()
        if before:
            async with session_of(common, settings, vault_of(settings)) as center:
                await send_all(Sender(center, ledger, account, _teller(common), locking=settings))
            await _keep_head(common, settings, ledger)
        after = await _again(ledger, before)
    elsewhere = [r for r in everyone if r.account != account]
    data = {state: [report_data(r) for r in after if r.state == state] for state in ("sent", "kept", "superseded")}
    data["other_accounts"] = [report_data(r) for r in elsewhere]
    lines = [*map(_line, after), *(f"{_line(r)} (of another account: {r.account})" for r in elsewhere)]
    common.result(data, "\n".join(lines) or "There is nothing to send")
    return 20 if data["kept"] else 0


async def drop(common: Common, settings: Settings, numbers: Sequence[int], *, yes: bool) -> int:
    """Run `ble-ota reports drop`; exit 11 when the user says no.

    Raises:
        UsageError: One of them is not kept, or there is nobody to ask.
    """
    async with await Ledger.open(place_of(settings)) as ledger:
        kept = {r.id: r for r in await ledger.kept()}
        if unknown := [str(n) for n in numbers if n not in kept]:
            msg = f"no report {', '.join(unknown)} is kept"
            raise UsageError(msg, hint="`ble-ota reports` shows those that are, with their numbers")
        dropped = [kept[n] for n in dict.fromkeys(numbers)]
        if not yes and not _sure(common, dropped):
            common.result({"dropped": []}, "Nothing was dropped")
            return 11
        for report in dropped:
            await ledger.settle(report.id or 0, "dropped", f"by {who()}")
        await _keep_head(common, settings, ledger)
        dropped = await _again(ledger, dropped)
    common.result({"dropped": [report_data(r) for r in dropped]}, "\n".join(map(_line, dropped)))
    return 0


async def _keep_head(common: Common, settings: Settings, ledger: Ledger) -> None:
    if why := await keep_head(settings, ledger):
        common.tell(f"warning: {why}")


def _sure(common: Common, dropped: Sequence[Report]) -> bool:
    if not common.may_ask:
        msg = "dropping a report cannot be undone, and there is nobody to ask"
        raise UsageError(msg, hint="Pass `--yes` to drop without being asked")
    common.tell("\n".join(map(_line, dropped)))
    return common.agree("Drop this for good?")


async def _again(ledger: Ledger, reports: Sequence[Report]) -> list[Report]:
    """What has become of them."""
    now = {r.id: r for run in {r.run for r in reports} for r in await ledger.reports_of(run)}
    return [now[r.id] for r in reports]


def _line(report: Report) -> str:
    device = f"{report.product_key}/{report.device_key}"
    return f"{report_line(report)}  ({device}, run {report.run}, {local(report.created_at_s)})"


def _teller(common: Common) -> Emit:
    def emit(event: Event) -> None:
        if isinstance(event, Warned):
            common.tell(event.message)

    return emit

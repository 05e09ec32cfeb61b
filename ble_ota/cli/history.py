"""`ble-ota history list|show|export|verify`: what was done to which device, and how it went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from ble_ota.cli import retold
from ble_ota.cli.carried import chain_of
from ble_ota.cli.common import Common
from ble_ota.cli.journal import place_of
from ble_ota.cli.ledger_head import KeptHead, kept_head
from ble_ota.cli.output import caught_up
from ble_ota.cli.retold import Retold
from ble_ota.errors import UsageError
from ble_ota.ledger import Head, Ledger, RunRow
from ble_ota.settings import Settings
from ble_ota.text import clean

LATEST = 10  # runs of a device that `show` lists
PAGE = 20  # runs that an export holds in memory
NOTHING = "No run is in the ledger"


async def listed(common: Common, settings: Settings, *, limit: int, device: str | None) -> int:
    """Run `ble-ota history list`: newest first, a line each."""
    async with await Ledger.open(place_of(settings)) as ledger:
        rows = await ledger.runs(of=device or "", limit=limit)
    common.result({"runs": [retold.brief(r) for r in rows]}, "\n".join(map(retold.line, rows)) or _nothing(device))
    return 0


async def show(common: Common, settings: Settings, which: str) -> int:
    """Run `ble-ota history show`: a run in full; or a device's latest runs, and in full what they come to.

    Raises:
        UsageError: There is no such run or device, or several runs begin so.
    """
    verbose = common.verbose > 0
    async with await Ledger.open(place_of(settings)) as ledger:
        if row := await ledger.run(which):
            told = await _retold(ledger, row)
            common.result(retold.full(told, events=verbose), retold.text(told, events=verbose))
            return 0
        rows = await ledger.runs(of=which, limit=LATEST)
        if not rows:
            msg = f"the ledger knows no run and no device {clean(which, most=200)}"
            raise UsageError(msg, hint="`ble-ota history` lists the runs; a device goes by address, name or keys")
        in_full = [await _retold(ledger, r) for r in await _telling(ledger, which, rows)]
    data = {"runs": [retold.brief(r) for r in rows], "in_full": [retold.full(t, events=verbose) for t in in_full]}
    lines = [*map(retold.line, rows), *("\n" + retold.text(t, events=verbose) for t in in_full)]
    common.result({"device": which} | data, "\n".join(lines))
    return 0


async def export(common: Common, settings: Settings, *, device: str | None) -> int:
    """Run `ble-ota history export`: a JSON line for each run, newest first, with its events and settings."""
    count = 0
    async with await Ledger.open(place_of(settings)) as ledger:
        async for row in _all(ledger, device or ""):
            data = retold.full(await _retold(ledger, row), events=True) | {"settings": row.settings}
            replace(common, json=True).result(data, "")
            await caught_up()
            count += 1
    common.tell(f"{count} run{'' if count == 1 else 's'} exported" if count else _nothing(device))
    return 0


async def verify(common: Common, settings: Settings, *, head: str | None = None) -> int:
    """Run `ble-ota history verify`; exit 21 where the ledger does not say any more what was written.

    Args:
        common: Takes the result.
        settings: Say where the ledger and the vault are.
        head: A head that was written down earlier, COUNT:HASH.

    Raises:
        UsageError: `head` is not one.
    """
    given = {} if head is None else {"`--head`": Head.parse(head)}
    async with await Ledger.open(place_of(settings)) as ledger:
        ledger_id, now = await ledger.head() or ("", None)
        kept = await kept_head(settings, ledger_id) if ledger_id else KeptHead(why="the ledger has lost its id")
        in_vault = {} if kept.head is None else {kept.where: kept.head}
        faults = await ledger.verify(in_vault | given)
    data = {"intact": not faults, "faults": faults, "ledger": ledger_id or None, "head": now and str(now)}
    data |= {"kept": {"where": kept.where or None, "head": kept.head and str(kept.head), "why": kept.why}}
    lines = [*(faults or ["The ledger is intact"]), *([] if now is None else [f"head {now}"]), _kept_line(kept)]
    common.result(data, "\n".join(lines))
    return 21 if faults else 0


def _kept_line(kept: KeptHead) -> str:
    if kept.why:
        return f"no head to compare with: {kept.why}"
    return f"{kept.where} has " + (
        f"head {kept.head}" if kept.head else "no head of this ledger, nothing to compare with"
    )


async def _retold(ledger: Ledger, row: RunRow) -> Retold:
    chain = (await chain_of(ledger, row))[1:]
    reports = [r for of in (row, *chain) for r in await ledger.reports_of(of.id)]
    return Retold(row, chain, reports, await ledger.events(row.id))


async def _telling(ledger: Ledger, device: str, rows: list[RunRow]) -> list[RunRow]:
    """The newest run, and the newest one that brought firmware, if that is another."""
    if rows[0].versions_after:
        return rows[:1]
    async for row in _all(ledger, device):
        if row.versions_after:
            return [rows[0], row]
    return rows[:1]


async def _all(ledger: Ledger, device: str) -> AsyncIterator[RunRow]:
    """Every run, newest first."""
    before = ""
    while rows := await ledger.runs(of=device, limit=PAGE, before=before):
        for row in rows:
            yield row
        before = rows[-1].id


def _nothing(device: str | None) -> str:
    return f"{NOTHING} of {device}" if device else NOTHING

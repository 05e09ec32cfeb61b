"""`ble-ota resume`: carry on what was left unfinished."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ble_ota.cli import ask, flash, update
from ble_ota.cli.common import Common
from ble_ota.cli.journal import place_of
from ble_ota.cli.liveness import begun_here
from ble_ota.cli.run import Run
from ble_ota.cli.wiring import vault_of
from ble_ota.errors import DeviceBusyError, SettingsError, TrustError, UsageError
from ble_ota.image_file import opened
from ble_ota.ledger import Ledger, RunRow
from ble_ota.model import Algorithm, Digest, Outcome, UpToDate
from ble_ota.settings import Settings
from ble_ota.target import Wanted
from ble_ota.text import clean


@dataclass(frozen=True, slots=True)
class Left:
    """A run to carry on, and the settings to do it with."""

    row: RunRow
    settings: Settings
    common: Common
    """The options of this command, with the settings file and the profile of that run."""


async def resume(common: Common, run_id: str | None) -> int:
    """Run `ble-ota resume`."""
    run = Run(common, "resume")

    async def job() -> Outcome:
        left = await _left(common, run_id)
        if isinstance(left, UpToDate):
            return left
        run.common = left.common
        return await _carry_on(run, left)

    return await run.tell(job)


async def _left(common: Common, run_id: str | None) -> Left | UpToDate:
    """What is to be carried on: in the user's ledger, else in that of a demo that was killed.

    Raises:
        UsageError: There is no run of this name, or it had another profile than this command names.
        SettingsError: The settings file or the profile of that run is gone.
        DeviceBusyError: It may be at work on another host.
    """
    settings = await common.load_settings()
    found = await _in_ledger(settings, run_id)
    if isinstance(found, RunRow):
        return await _as_then(common, found)
    from ble_ota.cli.demo import unfinished_demo

    demo = unfinished_demo(settings.state_dir)
    if demo is not None:
        in_demo = await _in_ledger(demo, run_id)
        if isinstance(in_demo, RunRow):
            return Left(in_demo, demo, common)
        found = found or in_demo
    if found is None:
        msg = f"there is no run {clean(run_id or '', most=200)}"
        raise UsageError(msg, hint="`ble-ota history` lists the runs")
    return found


async def _as_then(common: Common, row: RunRow) -> Left:
    """Load the settings that the run had: its profile, its radio and cloud, and its file unless another is named.

    A run that kept no profile is older than this: there the one that this command names holds.
    """
    profile = str(row.arguments.get("profile", common.profile))
    if common.profile not in ("", profile):
        began = f"with the profile {profile!r}" if profile else "without a profile"
        msg = f"run {row.id} was begun {began}, and {common.profile!r} is named now"
        raise UsageError(msg, hint=f"Run `ble-ota resume {row.id}` without `--profile`")
    config = common.config or (Path(kept) if (kept := row.arguments.get("config")) else None)
    then = replace(common, profile=profile, config=config)
    try:
        return Left(row, await then.load_settings(radio=row.radio, cloud=row.cloud), then)
    except SettingsError as error:
        msg = f"run {row.id} cannot be resumed with the settings it had: {error}"
        raise SettingsError(msg, hint=error.hint) from error


async def _in_ledger(settings: Settings, run_id: str | None) -> RunRow | UpToDate | None:
    """The run that is named, or the newest, if it is unfinished; else why there is nothing to resume, or None."""
    async with await Ledger.open(place_of(settings)) as ledger:
        unfinished = await ledger.unfinished()
        if run_id is None:
            return _newest(unfinished)
        row = await ledger.run(run_id)
    if row is None:
        return None
    if row.id not in {r.id for r in unfinished}:
        return UpToDate(f"there is nothing to resume: {_why(row, unfinished)}")
    if _elsewhere(row):
        raise DeviceBusyError(_at_work(row), hint="Resume it on that host, or run its command again here")
    return row


def _newest(unfinished: Sequence[RunRow]) -> RunRow | UpToDate:
    """Return the newest run that this host may carry on."""
    if found := next((row for row in unfinished if not _elsewhere(row)), None):
        return found
    why = _at_work(unfinished[0]) if unfinished else "no run was left unfinished"
    return UpToDate(f"there is nothing to resume: {why}")


def _elsewhere(row: RunRow) -> bool:
    """Return True if the run may be at work on another host, where this one cannot see that."""
    return row.open and not begun_here(row)


def _at_work(row: RunRow) -> str:
    return f"run {row.id} of {row.who} has no verdict and may still be at work there"


def _why(row: RunRow, unfinished: Sequence[RunRow]) -> str:
    if row.ending is not None and not row.approved_by:
        return f"run {row.id} ended {row.ending.verdict} before its plan was agreed to"
    if not row.approved_by:
        return f"run {row.id} has no plan yet that was agreed to"
    if newer := next((r.id for r in unfinished if _wanted(r) == _wanted(row)), ""):
        return f"run {row.id} was followed by run {newer}, which is the one to resume"
    ended = f" ended {row.ending.verdict}" if row.ending is not None else ""
    return f"run {row.id}{ended}, and its device needs nothing more of it"


async def _carry_on(run: Run, left: Left) -> Outcome:
    """Do the same job again, with that run's device and arguments; the plan and what was agreed to say the rest."""
    row = left.row
    wanted = _wanted(row)
    run.device = str(wanted)
    word = ask.consent(run.common, yes=False)
    downgrade = bool(row.arguments.get("allow_downgrade"))
    if "file" in row.arguments:
        wish = flash.Wish(
            file=await _file(row),
            device=str(wanted),
            to=row.plan["components"][0]["target_version"],
            reinstall=bool(row.arguments.get("reinstall")),
            protocol=row.arguments.get("protocol"),
            yes=False,
            allow_downgrade=downgrade,
        )
        return await flash.bring_file(flash.Task(run, left.settings, word, wish, row.id))
    policy = update.policy_of(left.settings, allow_downgrade=downgrade, attended=True)  # doubts were seen, or will be
    offline = bool(row.arguments.get("offline"))
    task = update.Task(run, left.settings, vault_of(left.settings), policy, word, row.id, offline=offline)
    return await update.bring_up_to_date(task, wanted)


def _wanted(row: RunRow) -> Wanted:
    """The device: by its keys, since its address may change while it is updated; else by its address."""
    if row.product_key and row.device_key:
        return Wanted(product_key=row.product_key, device_key=row.device_key)
    return Wanted.parse(row.address)


async def _file(row: RunRow) -> Path:
    """The file that was agreed to, where it still is what it was.

    Raises:
        UsageError: It cannot be read.
        TrustError: It has changed.
    """
    file = Path(str(row.arguments["file"]))
    digest = str(Digest(Algorithm.SHA256, await asyncio.to_thread(_sha256, file)))
    agreed = row.plan["components"][0]["files"][0]["digests"]
    if digest not in agreed:
        msg = f"{file} is {digest} now, and {', '.join(agreed)} was agreed to in run {row.id}"
        raise TrustError(msg, hint="Bring that file back, or run `ble-ota flash` with this one")
    return file


def _sha256(file: Path) -> str:
    """Return the SHA-256 of a local file. Blocks on the disk; raises as `image_file.opened`."""
    with opened(file) as content:
        return content.summary.sha256

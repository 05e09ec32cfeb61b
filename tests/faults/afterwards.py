"""What must hold when the dust has settled, whatever has happened to the host on the way.

Read from what the parties have kept: the device its flash, the Developer Center its records, the host its ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ble_ota.errors import DeviceBusyError
from ble_ota.events import Verdict
from ble_ota.ledger import Entry, Ledger, Owner, Report, RunRow, claimed
from ble_ota.virtual.developer_center import DeveloperCenter
from ble_ota.virtual.peripherals.quecthing import Boot, Flash
from ble_ota.virtual.world import World

NOBODY = Owner(0, "", "", "", 0.0)
IN_ORDER = re.compile(r"(confirmed )+(succeeded )*")


@dataclass(frozen=True, slots=True)
class Story:
    """All that was kept."""

    world: World
    runs: Sequence[RunRow]  # oldest first
    events: Mapping[str, Sequence[Entry]]  # by run
    reports: Sequence[Report]  # oldest first
    records: Sequence[dict[str, Any]]
    ledger: Sequence[str]  # what its own check finds


async def told(world: World, state: Path) -> Story:
    """Read it. Nobody may be at work on it."""
    async with await Ledger.open(state / "ledger.db") as ledger:
        runs = (await ledger.runs(limit=10_000))[::-1]
        events = {r.id: await ledger.events(r.id) for r in runs}
        reports = (await ledger.reports(limit=10_000))[::-1]
        return Story(world, runs, events, reports, DeveloperCenter(world).records(), await ledger.verify())


async def otherwise(state: Path, *, may: Set[str] = frozenset()) -> list[str]:
    """The runs that ended neither well, nor by a kill, nor as they `may`."""
    async with await Ledger.open(state / "ledger.db") as ledger:
        endings = [(run.id, run.ending) for run in await ledger.runs(limit=10_000)]
    ends = {"verified", "up_to_date", "killed", *may}
    return [f"run {run}: {e.verdict}, {e.reason}, {e.message}" for run, e in endings if e and e.reason not in ends]


async def wrong(world: World, state: Path) -> list[str]:
    """Sentences of what does not hold after the device was brought home; none when all is well."""
    story = await told(world, state)
    found = [*story.ledger, *_device(story), *_verdicts(story), *_claims(story, state)]
    for component in world.components:
        found += [*_center(story, component.no), *_outbox(story, component.no)]
    return found


def _device(story: Story) -> Iterator[str]:
    """The right image, every byte of it."""
    boot = Boot(story.world, Flash(story.world.home(story.world.devices[0])))
    for component in story.world.components:
        if b"".join(boot.image(component.no)) != b"".join(story.world.firmware(f) for f in component.files):
            yield f"the flash does not hold the image of {component.no}"
        if boot.versions[component.no] != component.target:
            yield f"{component.no} runs {boot.versions[component.no]}"


def _verdicts(story: Story) -> Iterator[str]:
    """One verdict in every run, and one PASS among them: nothing is installed twice, and no success goes unsaid."""
    for run in story.runs:
        if run.ending is None:
            yield f"run {run.id} has no verdict"
    passed = [r.id for r in story.runs if r.ending is not None and r.ending.verdict == Verdict.PASS]
    if len(passed) != 1:
        yield f"{len(passed)} runs say PASS: {[(r.id, r.ending and r.ending.verdict) for r in story.runs]}"


def _claims(story: Story, state: Path) -> Iterator[str]:
    """The device is free: nobody holds its claim."""
    device = story.world.devices[0]
    names = [f"address {device.address}", f"device {story.world.product_key}/{device.device_key}"]
    try:
        with claimed(state / "claims", [f"virtual:{story.world.folder}"], names, NOBODY):
            pass
    except DeviceBusyError as error:
        yield str(error)


def _center(story: Story, component: str) -> Iterator[str]:
    """Confirmed before the firmware was touched and not after the success; the success is the last word."""
    reported = [r for r in story.records if r["what"] == "status.reported" and r["componentNo"] == component]
    said = "".join(f"{r['meaning']} " for r in reported)
    if not IN_ORDER.fullmatch(said):
        yield f"the Developer Center heard of {component}: {said}"
    confirmed_s = min((r["ts"] for r in reported if r["meaning"] == "confirmed"), default=float("inf"))
    fetched_s = min((r["ts"] for r in story.records if r["what"] == "firmware.fetched"), default=float("inf"))
    sent_s = min((e.at_s for es in story.events.values() for e in es if e.name == "transfer.started"), default=0.0)
    if not confirmed_s <= min(fetched_s, sent_s):
        yield f"firmware was fetched or sent before {component} was confirmed"


def _outbox(story: Story, component: str) -> Iterator[str]:
    """One confirmation in effect; a success that is sent, or stays with a reason."""
    mine = [r for r in story.reports if r.component == component]
    confirmed = [r for r in mine if r.outcome == "confirmed"]
    succeeded = [r for r in mine if r.outcome == "succeeded"]
    if [r.state for r in confirmed].count("sent") != 1:
        yield f"confirmations of {component} in effect: {[(r.run, r.state) for r in confirmed]}"
    heard = [r["meaning"] for r in story.records if r["what"] == "status.reported" and r["componentNo"] == component]
    if heard.count("confirmed") > len(confirmed):
        yield f"{component} was confirmed {heard.count('confirmed')} times, {len(confirmed)} were written down before"
    if not succeeded:
        yield f"nobody reports the success of {component}"
    for report in succeeded:
        told = report.state == "sent" and "succeeded" in heard
        if not told and not report.why:
            yield f"the success of {component} is {report.state} without a reason"

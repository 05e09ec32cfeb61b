"""`ble-ota virtual replay`: a recorded run once more, against the code of today.

The device is the transcript's. There is no cloud, no ledger and nobody to ask; the firmware is zeros of the recorded
sizes. Time leaps from one event to the next, so that a run of minutes takes none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ble_ota.cli.common import Common
from ble_ota.cli.run import Run
from ble_ota.cli.verdict import Ended, of_error, of_outcome
from ble_ota.cli.wiring import drivers_of
from ble_ota.content import BLOCK_BYTES, Content, Hasher
from ble_ota.errors import BleOtaError, SettingsError, StopAsked
from ble_ota.events import Emit, Event, Verdict
from ble_ota.install import Installer, Patience
from ble_ota.model import Component, Digest, Done, Mark, Outcome, PlannedFile, Secret, UpToDate, VerifiedImage
from ble_ota.settings import isolated
from ble_ota.target import Target, identify
from ble_ota.transcript import Part, Transcript, Words, broken, need_s
from ble_ota.virtual.peripherals.quecthing.recital import SECRET
from ble_ota.virtual.peripherals.quecthing.replay import Divergence
from ble_ota.virtual.replayed import Replayed, read, replayed
from ble_ota.virtual.swift import swiftly

LINKS_MAX = 1000  # as the setting's


async def replay(common: Common, file: Path) -> int:
    """Run `ble-ota virtual replay`; the exit code is what the run comes to now. Raises `UsageError`."""
    on = replayed(await asyncio.to_thread(read, file))
    host = Host.of(on)
    run = Run(common, "virtual replay", on.device.address)
    now: Ended | None = None

    async def job() -> Outcome:
        nonlocal now
        try:
            outcome = await _elsewhere(host, run)
        except BleOtaError as error:
            now = of_error(error)
            raise
        now = of_outcome(outcome)
        return outcome

    code = await run.tell(job)
    if now is not None:
        common.result(*_compared(on.transcript, now, on.device.divergence()))
    return code


async def _elsewhere(host: Host, run: Run) -> Outcome:
    """Play in a thread with a loop of its own, and tell its events in this one."""
    loop, listening = asyncio.get_running_loop(), True

    def told(event: Event) -> None:
        if listening:
            run.emit(event)

    def emit(event: Event) -> None:
        loop.call_soon_threadsafe(told, event)

    try:
        return await asyncio.to_thread(lambda: swiftly(host.play(emit)))
    finally:
        listening = False


def _compared(then: Transcript, now: Ended, divergence: Divergence | None) -> tuple[Words, str]:
    """What the recorded run came to and what it comes to now, as data and in words."""
    recorded = {"verdict": then.verdict, "reason": then.reason, "exit_code": then.exit_code}
    played = {"verdict": now.verdict.value, "reason": now.reason, "exit_code": now.exit_code}
    same = recorded == played
    text = f"as recorded: {_ending(played)}"
    if not same:
        text = f"differs: {_ending(recorded)} was recorded by {then.tool}, and now it is {_ending(played)}"
    if divergence is not None:
        text += f"\nanother conversation: {divergence}"
    left = None if divergence is None else asdict(divergence)
    return {"recorded": recorded | {"tool": then.tool}, "now": played, "same": same, "divergence": left}, text


def _ending(words: Words) -> str:
    return f"{words['verdict']}, {words['reason']} ({words['exit_code']})"


@dataclass(frozen=True, slots=True)
class Host:
    """The host's side of a transcript: what this code does in the recorded one's place."""

    on: Replayed
    target: Target
    patience: Patience

    @classmethod
    def of(cls, on: Replayed) -> Host:
        """Take up the settings of the recorded run. Raises `UsageError`."""
        then = on.transcript
        try:
            driver = drivers_of(isolated(quecthing=dict(then.options)))[then.driver]
        except SettingsError as error:
            raise broken(f"its options: {error}") from error
        sighting = driver.recognise(then.advert) if then.advert is not None else None
        if then.advert is None or sighting is None:
            raise broken("its advertisement is not of its device")
        target = Target(then.advert, sighting, driver, then.product_key, then.device_key)
        return cls(on, target, _patience(then.patience))

    async def play(self, emit: Emit) -> Outcome:
        """Do what the recorded run did with the device.

        Raises:
            BleOtaError: As a run would; `StopAsked` where the recorded one was stopped.
        """
        task, stopped = asyncio.current_task(), False

        def stop() -> None:
            nonlocal stopped
            stopped = task is not None and task.cancel()

        if self.on.transcript.verdict == Verdict.ABORTED:
            self.on.device.stopped = stop
        try:
            return await self._installed(emit)
        except asyncio.CancelledError:
            if task is None or not stopped:
                raise
            task.uncancel()
            msg = "the recorded run was stopped here"
            raise StopAsked(msg) from None

    async def _installed(self, emit: Emit) -> Outcome:
        then = self.on.transcript
        secret = Secret(SECRET)
        device = await identify(self.target, self.on.radio, secret, emit=emit)
        if not then.parts:
            return UpToDate("the recorded run sent nothing to the device, so there is no more to play")
        device = replace(device, versions=then.parts[0].versions)
        marks = _Marks({p.no: p.mark for p in then.parts})
        installer = Installer(self.target, device, self.on.radio, secret, emit, self.patience, marks)
        return Done(tuple([await installer.install(*_zeros(part)) for part in then.parts]))


@dataclass(frozen=True, slots=True)
class _Marks:
    """What earlier runs had left, as recorded."""

    left: Mapping[str, Mark | None]

    async def last(self, component: str, file: int, sha256: str) -> Mark | None:
        mark = self.left.get(component)
        return replace(mark, sha256=sha256) if mark is not None and mark.file == file else None

    def keep(self, mark: Mark) -> None:
        """Keep nothing: a replay is not resumed."""

    async def product(self) -> str:
        """Return "": a transcript does not hold it."""
        return ""

    def keep_product(self, fact: str) -> None:
        """Keep nothing."""


def _zeros(part: Part) -> tuple[Component, list[VerifiedImage]]:
    """A component as it was, its files of zeros."""
    contents = [zeros(size) for size, _, _ in part.files]
    files = tuple(
        PlannedFile("", size, tuple(Digest(a, content.summary.digests[a.value]) for a in algorithms), n, name)
        for n, (content, (size, algorithms, name)) in enumerate(zip(contents, part.files, strict=True))
    )
    component = Component(part.no, part.kind, part.target_version, "", files)
    return component, [VerifiedImage.of(f, c) for f, c in zip(files, contents, strict=True)]


def zeros(size_bytes: int) -> Content:
    """Make the content of a file of zeros, which takes no memory: a transcript may name gigabytes."""
    hasher = Hasher()
    for start in range(0, size_bytes, BLOCK_BYTES):
        hasher.update(bytes(min(BLOCK_BYTES, size_bytes - start)))

    async def read(_offset: int, length: int) -> bytes:
        return bytes(length)

    return Content(hasher.summary(), read)


def _patience(words: Words) -> Patience:
    """The recorded budgets; what was not recorded, or is not known any more, is as today. Raises `UsageError`."""
    found: dict[str, Any] = {f.name: need_s(words, f.name) for f in fields(Patience) if f.name in words}
    for name in {"links", "stuck_links", "run_links", "floor_bytes"} & found.keys():
        found[name] = int(found[name])
        if "links" in name and not 1 <= found[name] <= LINKS_MAX:
            raise broken(f"{found[name]} {name}")
    return Patience(**found)

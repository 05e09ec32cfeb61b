"""After any step of any story about host, link, device, plan and cloud the twelve invariants hold.

The invariants are those of the table in README.md; their numbers stand at each check. A story is a seed;
`FAULTS=whole` tells hundreds.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from ble_ota.errors import UnprovenError
from ble_ota.events import Verdict
from ble_ota.ledger import Ending, Entry, RunRow
from ble_ota.planning import Order, order
from ble_ota.virtual.air import Fate
from ble_ota.virtual.developer_center import Faults
from ble_ota.virtual.peripherals.quecthing import Habits, Impostor, Liar, Lies
from ble_ota.virtual.peripherals.quecthing.impostor import Answer
from tests.faults.machine import BORN, REFUSALS, SIZE, Factory, Process, Told, chance, clock, install
from tests.faults.seeds import blocks

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(0)]

STEPS = 25
DEADLINE_S = 3600.0 + 10.0 + 5.0  # of the settings; for reports afterwards; for a goodbye
EVENTS_MAX = 300  # of one run; without progress, which the ledger does not take
TASKS_MAX = 40
UNPROVEN = UnprovenError.exit_code
KEYLESS = "a peer that has not shown the device's key"
QUICK = Habits(settle_s=0.5, boot_s=1.0)
HABITS = (
    QUICK,
    Habits(settle_s=0.5, boot_s=1.0, keeps_session_over_disconnect=True),
    Habits(settle_s=0.5, boot_s=1.0, keeps_session_over_disconnect=True, on_new_offer="continues", id9="next"),
    Habits(settle_s=5.0, boot_s=9.0, keeps_session_over_power=True, page_bytes=200, stray_packet="cancels"),
    Habits(settle_s=0.5, boot_s=1.0, reboots_without_ack=True),
    Habits(settle_s=0.5, boot_s=1.0, erase_s=5.0, slow_answer_s=0.5),
    Habits(settle_s=0.5, boot_s=1.0, answers_version=False, firmware_revision=True),
)
TROUBLED = (
    Habits(settle_s=0.5, boot_s=1.0, boots_old=True),
    Habits(settle_s=0.5, boot_s=1.0, declines=True),
    Habits(settle_s=0.5, boot_s=1.0, accepts_without_bytes=True, claims_version="1.1.0"),
    Habits(settle_s=0.5, boot_s=1.0, silent_after=SIZE // 2),
    Habits(settle_s=0.5, boot_s=1.0, endless_pauses=True),
    Habits(settle_s=0.5, boot_s=1.0, answers_version=False),
    Habits(settle_s=0.5, boot_s=1.0, reverts_after_s=20.0),
    Habits(settle_s=0.5, boot_s=1.0, moves_version_id=30),
    Habits(settle_s=0.5, boot_s=1.0, fail_at_end=True),
)
AFTER_SUCCESS_S = (0.0, 0.3, 1.0, 3.0)
ANSWERS: tuple[Answer, ...] = ("silent", "empty", "clear", "garbled")
CLOUD = (
    Faults(status=500, times=4),
    Faults(lost_answer=True, times=1),
    Faults(lost_answer=True, only="reportUpgradeStatus", times=1),
    Faults(code=5000, only="reportUpgradeStatus", times=3),
    Faults(truncate_at=SIZE // 2, only="/oss/", times=1),
    Faults(flip_bit_at=SIZE // 3, only="/oss/", times=1),
    Faults(plan_downgrade=True, only="getFetchPlan", times=2),
    Faults(plan_for_other_product=True, only="getFetchPlan", times=1),
    Faults(plan_wrong_size=True, only="getFetchPlan", spares=1, times=1),
    Faults(delay_s=40.0, times=1),
)
Rule = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Story:
    """What happens, step by step, and what was told to whom."""

    factory: Factory
    chance: random.Random
    steps: list[str] = field(default_factory=list[str])
    told: dict[str, str] = field(default_factory=dict[str, str])
    """The verdict that each run that ended by itself has told."""
    highest: dict[str, str] = field(default_factory=dict[str, str])
    """The highest version that each component has run."""
    reverted: bool = False
    """Whether the device may fall back by itself."""
    lied: bool = False
    """Whether the device may have told a version that it does not run."""

    # ------------------------------------------------------------------ rules

    @property
    def rules(self) -> dict[Rule, int]:
        """What may happen, and how often it does."""
        return {
            self.start: 8,
            self.wait: 6,
            self.cut_the_link: 2,
            self.meddle_with_the_link: 3,
            self.kill_the_host: 3,
            self.take_the_power: 2,
            self.fail_the_power: 2,
            self.publish: 3,
            self.change_the_device: 2,
            self.trouble_the_device: 2,
            self.let_it_lie: 1,
            self.trouble_the_cloud: 3,
            self.carry_it_away: 1,
            self.lose_the_adapter: 1,
            self.stand_in: 3,
        }

    async def step(self) -> None:
        rules = self.rules
        (rule,) = self.chance.choices(list(rules), list(rules.values()))
        self.steps.append(rule.__name__)
        await rule()

    @property
    def alive(self) -> list[Process]:
        return [p for p in self.factory.processes if p.alive]

    async def start(self) -> None:
        """Now and then there is another one at work already."""
        if not self.alive or self.chance.random() < 0.3:
            self.factory.start()
        await self._pass(self.chance.choice((0.0, 0.1, 1.0, 15.0)))

    async def wait(self) -> None:
        await self._pass(self.chance.choice((0.05, 0.2, 0.5, 1.0, 3.0, 20.0, 100.0, 400.0)))

    async def cut_the_link(self) -> None:
        self.factory.air.cut()

    async def meddle_with_the_link(self) -> None:
        harm = self.chance.choice((Fate.CUT_BEFORE, Fate.CUT_AFTER, Fate.LOSE_ANSWER, Fate.LOSE))
        self.factory.fates = [Fate.PASS] * self.chance.randrange(60) + [harm]

    async def kill_the_host(self) -> None:
        for process in self.alive:
            await self.factory.kill(process)

    async def take_the_power(self) -> None:
        self.factory.power(on=False)
        await self._pass(self.chance.choice((0.1, 3.0, 30.0)))
        self.factory.power(on=True)

    async def fail_the_power(self) -> None:
        self.factory.cuts_power_in = self.chance.randrange(1, 12)

    async def publish(self) -> None:
        """Another version of one component, or the same one with other bytes."""
        component = self.chance.choice(self.factory.world.components)
        number = int(component.target.split(".")[1]) + self.chance.choice((0, 1, 1))
        self.factory.publish(component.no, f"1.{number}.0", self.chance.randbytes(SIZE))

    async def change_the_device(self) -> None:
        self.factory.behave(self.chance.choice(HABITS))
        self.factory.power(on=True)

    async def trouble_the_device(self) -> None:
        habits = self.chance.choice(TROUBLED)
        self.factory.behave(habits)
        self.reverted = self.reverted or habits.reverts_after_s is not None
        self.lied = self.lied or habits.claims_version is not None
        self.factory.power(on=True)

    async def let_it_lie(self) -> None:
        lies = Lies(self.chance.randrange(1 << 30), rate=0.3, most=self.chance.randrange(2, 20), unasked_every_s=1.0)
        self.lied = True
        self.factory.power(on=True)
        self.factory.air.add(Liar(self.factory.device, lies))

    async def trouble_the_cloud(self) -> None:
        self.factory.center.faults = self.chance.choice(CLOUD)

    async def carry_it_away(self) -> None:
        self.factory.air.out_of_range = True
        await self._pass(self.chance.choice((1.0, 15.0)))
        self.factory.air.out_of_range = False

    async def lose_the_adapter(self) -> None:
        for_s = self.chance.choice((0.5, 10.0, 40.0))
        self._now_or_after_success(partial(self.factory.lose_the_adapter, for_s))

    async def stand_in(self) -> None:
        """A peer without the key is in the device's place for a while, or beside it."""
        world, chance = self.factory.world, self.chance
        component = world.components[0]
        claims = chance.choice((component.target, self.factory.runs[component.no].version, BORN.version, "9.9.9"))
        answers, refuses = chance.choice(ANSWERS), chance.choice((None, None, *REFUSALS.values()))
        impostor = Impostor(
            world,
            world.devices[0],
            claims=claims,
            answers=answers,
            refuses=refuses,
            address=chance.choice(("", "", "DE:AD:BE:EF:00:01")),
        )
        for_s = chance.choice((2.0, 20.0, 90.0))
        self._now_or_after_success(partial(self.factory.stand_in, impostor, for_s))

    def _now_or_after_success(self, act: Callable[[], None]) -> None:
        """Let it happen now, or soon after the device will say that it has all of a file."""
        if self.chance.random() < 0.3:
            act()
        else:
            later = partial(asyncio.get_running_loop().call_later, self.chance.choice(AFTER_SUCCESS_S), act)
            self.factory.device.on_success.append(later)

    async def _pass(self, for_s: float) -> None:
        """Let time pass for everybody."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(for_s):
                await asyncio.Event().wait()

    # ------------------------------------------------------------------ invariants

    async def check(self) -> Told:
        """The twelve invariants, as far as they can be seen from here."""
        ledger = await self.factory.ledger()
        self._bytes()
        self._confirmations(ledger)
        self._reports(ledger)
        self._one_writer(ledger)
        self._direction()
        for process in self.factory.processes:
            self._ended(ledger, process)
            # 7: what one run writes, and how many tasks are about, is bounded; memory and steps: test_bounded.py.
            assert len(ledger.events.get(process.run, ())) <= EVENTS_MAX
        assert len(asyncio.all_tasks()) <= TASKS_MAX
        assert ledger.faults == []  # 4: nothing that was written down has changed since
        return ledger

    def _bytes(self) -> None:
        """1: what lies in flash is of an image that a plan named. 6: and of one alone, from its beginning."""
        boot = self.factory.boot
        for staged in boot.staged:
            no, (version, image) = self.factory.published[staged.check]
            assert image.startswith(boot.flash.content(staged.area))
            assert (staged.component, staged.version, staged.size) == (no, version, len(image))
        for no, firmware in self.factory.runs.items():
            assert self.factory.torn or firmware == BORN or (no, firmware) in self.factory.published.values()

    def _confirmations(self, ledger: Told) -> None:
        """8: the confirmation had arrived before the first byte did; it is in effect once."""
        assert self.factory.unconfirmed == []
        sent = {(r.run, r.component) for r in ledger.reports if r.outcome == "confirmed" and r.state == "sent"}
        for run, events in ledger.events.items():
            row, chain = ledger.rows[run], ledger.chain(run)
            for no, digest in _digests(row).items():
                in_effect = [r for r in chain if (r, no) in sent and _digests(ledger.rows[r]).get(no) == digest]
                alike = takewhile(lambda r: ledger.rows[r].fingerprint == row.fingerprint, chain)  # noqa: B023
                once = [r for r in alike if r in in_effect]  # another plan in between was agreed to anew
                assert len(once) <= 1, f"{chain} confirm one plan more than once"
                if any(e.name == "transfer.started" and e.body["component"] == no for e in events):
                    assert in_effect, f"{run} sends what nobody confirmed"

    def _reports(self, ledger: Told) -> None:
        """11: a failure is the device's own word. 12: a success is true."""
        for report in ledger.reports:
            agreed = {c["no"]: c for c in ledger.rows[report.run].plan["components"]}[report.component]
            if report.outcome == "failed":
                assert self._refused(ledger, report.run, report.created_at_s) or self._denied(
                    ledger, report.run, agreed, report.created_at_s
                )
            elif report.outcome == "succeeded":
                assert self.lied or self.factory.published[_digest(agreed)] in self.factory.ran

    def _one_writer(self, ledger: Told) -> None:
        """5: of all processes alive one at most has claimed the device; per file and adapter: see the cache's tests."""
        claimed = [p.run for p in self.alive if p.run in ledger.rows and ledger.rows[p.run].address]
        assert len(claimed) <= 1

    def _direction(self) -> None:
        """9: the device never goes down, unless it falls back by itself."""
        for no, (version, _) in self.factory.runs.items():
            highest = self.highest.get(no, BORN.version)
            assert self.reverted or order(version, highest) in (Order.SAME, Order.HIGHER)
            self.highest[no] = version

    def _ended(self, ledger: Told, process: Process) -> None:
        row = ledger.rows.get(process.run)
        ending = row.ending if row is not None else None
        if ending is not None:  # 3, 4: a verdict, once written, stands
            assert self.told.setdefault(process.run, ending.verdict) == ending.verdict
        if process.dead:
            return  # until the next run on its device says ABORTED in its place
        took_s = (process.ended_s or clock()) - process.began_s
        assert took_s <= DEADLINE_S, "3: nothing outlives the deadline"
        if process.ended_s is None:
            return
        assert ending is not None, "3: a run that has ended has a verdict"
        assert ending.exit_code == process.code, "3: and no other one than it told"
        assert ending.reason not in ("", "bug")
        assert ending.message
        if ending.verdict in (Verdict.PASS, Verdict.FAIL):
            assert not process.keyless[-1], "12: the last word before it is of a peer with the key"
        elif ending.verdict == Verdict.NOTHING_TO_DO:
            assert not process.keyless[-1] or KEYLESS in ending.message, "12: or it is said that it is not"
        if ending.verdict == Verdict.PASS:
            self._passed(ledger, process, ending)
        elif ending.verdict == Verdict.FAIL:
            self._failed(ledger, process, ending)
        assert (ending.exit_code == UNPROVEN) == (ending.reason == "unproven")
        if ending.exit_code == UNPROVEN:
            self._unproven(ledger, process, ending)

    def _passed(self, ledger: Told, process: Process, ending: Ending) -> None:
        """2: the device said so, on a link made after the last byte; and it was true. 9: it is what was agreed to."""
        events = [e for run in reversed(ledger.chain(process.run)) for e in ledger.events[run]]
        proven = [c["component"] for c in ending.components if c["state"] == "verified"]
        assert proven
        for component in _agreed(ledger, process.run):
            no = component["no"]
            if self.lied and no not in proven:
                continue  # the device told that it ran the rest of the plan already
            sent, verified = (_last(events, name, no) for name in ("transfer.started", "device.verified"))
            assert sent < verified
            assert any(e.name == "link.connected" for e in events[sent:verified])
            if self.lied and not any(e.name == "transfer.done" for e in events[sent:verified]):
                continue  # a run that began to send died, and the device told the target after that
            assert (no, process.then[no]) == self.factory.published[_digest(component)]
            assert process.then[no].version == component["target_version"]

    def _failed(self, ledger: Told, process: Process, ending: Ending) -> None:
        """11: the device itself refused the file, or told another version after the last byte."""
        if ending.reason != "not_verified":
            action = REFUSALS[ending.reason.removesuffix("_by_device")]
            assert self._refused(ledger, process.run, process.ended_s or 0.0, action)
            return
        agreed = {c["no"]: c for c in ledger.rows[process.run].plan["components"]}
        failed = [agreed[c["component"]] for c in ending.components if c["state"] == "failed"]
        assert failed
        for component in failed:
            assert self._denied(ledger, process.run, component, process.ended_s or 0.0)
            assert self.lied or process.then[component["no"]].version != component["target_version"]

    def _refused(self, ledger: Told, run: str, until_s: float, action: int | None = None) -> bool:
        """Whether the device itself refused a file in the time of a run."""
        said = [w.refusal for w in self.factory.device.words if ledger.rows[run].started_at_s <= w.at_s <= until_s]
        return any(said) if action is None else action in said

    def _denied(self, ledger: Told, run: str, component: Mapping[str, Any], until_s: float) -> bool:
        """Whether the device itself told another version after the last byte."""
        no, events = component["no"], ledger.events[run]
        sent = [e for e in events if e.name == "transfer.done" and e.body["component"] == no]
        version_id = {c.no: c.version_id for c in self.factory.world.components}[no]
        words = (w for w in self.factory.device.words if sent and sent[-1].at_s <= w.at_s <= until_s)
        return any(w.told.get(version_id, component["target_version"]) != component["target_version"] for w in words)

    def _unproven(self, ledger: Told, process: Process, ending: Ending) -> None:
        """11: what is not proven either way is not reported, until the same command has looked again."""
        assert ending.verdict == Verdict.ERROR
        unproven = [c["component"] for c in ending.components if c["state"] == "unproven"]
        for report in ledger.reports:
            assert (
                report.run != process.run
                or report.component not in unproven
                or report.outcome == "confirmed"
                or report.created_at_s > (process.ended_s or 0.0)
            )

    # ------------------------------------------------------------------ the end

    async def come_home(self) -> None:
        """10: once nothing is in the way any more, the same command brings it home, and nobody cleans up before."""
        for process in self.alive:
            await self.factory.done(process)
        factory = self.factory
        factory.fates, factory.cuts_power_in = [], 0
        factory.device.on_success.clear()
        await self._pass(AFTER_SUCCESS_S[-1])  # what is to happen already happens before
        factory.adapter_back_s = 0.0
        factory.center.faults, factory.air.out_of_range = Faults(), False
        factory.relieve()
        factory.behave(QUICK)
        factory.power(on=True)
        code = await factory.done(factory.start())
        await self.check()
        assert code in (0, 10)
        for component in factory.world.components:
            version, _ = now = factory.runs[component.no]
            assert version == component.target
            assert (component.no, now) in factory.published.values()
        assert await factory.done(factory.start()) == 10
        ledger = await self.check()
        assert all(row.ending is not None or not row.address for row in ledger.rows.values())  # 3: all have a verdict


def _last(events: list[Entry], name: str, component: str) -> int:
    return max(n for n, e in enumerate(events) if e.name == name and e.body["component"] == component)


def _agreed(ledger: Told, run: str) -> list[dict[str, Any]]:
    """The components of the plan that a run installed by: its own, or that of the one whose work it found done."""
    plans = [ledger.rows[r].plan for r in ledger.chain(run)]
    return next(list(p["components"]) for p in plans if p)


def _digests(row: RunRow) -> dict[str, str]:
    return {c["no"]: _digest(c) for c in row.plan.get("components", ())}


def _digest(component: Mapping[str, Any]) -> str:
    """The SHA-256 of a planned component's one file."""
    return str(component["files"][0]["digests"][0]).removeprefix("sha256:")


@blocks(12, whole=600, of=4)
async def test_the_invariants_hold_after_every_step_of_any_story(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: range
) -> None:
    verdicts: Counter[str] = Counter()
    for seed in block:
        factory = Factory(tmp_path / str(seed), seed)
        with monkeypatch.context() as patched:
            install(factory, patched)
            story = Story(factory, chance(seed))
            try:
                for _ in range(STEPS):
                    await story.step()
                    await story.check()
                story.steps.append("come_home")
                await story.come_home()
            except BaseException as error:
                error.add_note(f"seed {seed}: {', '.join(story.steps)}")
                raise
            verdicts.update(story.told.values())
    assert verdicts[Verdict.PASS] >= len(block) // 2, verdicts
    assert len(verdicts) > 2, verdicts

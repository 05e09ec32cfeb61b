from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli.carried import CHAIN_MAX, chain_of, consent, unverified
from ble_ota.cli.common import Common
from ble_ota.cli.journal import Journal
from ble_ota.cli.marks import LedgerMarks
from ble_ota.cli.run import Run
from ble_ota.events import Event
from ble_ota.ledger import Changes, Ending, Entry, Ledger, Report, RunRow, Started
from ble_ota.model import (
    Algorithm,
    Approved,
    Component,
    ComponentKind,
    DeviceInfo,
    Digest,
    FetchPlan,
    Plan,
    PlannedFile,
)
from ble_ota.settings import isolated
from ble_ota.virtual.developer_center import DeveloperCenter, serve
from ble_ota.virtual.world import World
from tests.cli.desk import Desk
from tests.cli.left import FORGETS, at, given_up, interrupted, killed, new_firmware, reported, reports, rows

# ------------------------------------------------------------------ the same command again


async def test_the_same_command_again_carries_on_without_a_question(desk: Desk) -> None:
    first = await interrupted(desk)
    assert await desk.update(yes=False) == 0
    newest, before = await rows()
    assert (newest.carries_on, newest.command) == (before.id, "update")
    assert before.id == first.last["run"]
    assert reported(desk) == [2, 9]


async def test_a_changed_plan_is_asked_for_again(desk: Desk) -> None:
    await given_up(desk)
    new_firmware(desk, "1.2.0")
    assert await desk.update(yes=False) == 2
    assert "--yes" in desk.told().last["hint"]


async def test_after_a_final_verdict_nothing_is_carried_on(desk: Desk) -> None:
    await given_up(desk)
    desk.behaves(replace(FORGETS, declines=True))
    assert await desk.update(yes=False) == 32
    desk.behaves(FORGETS)
    assert await desk.update(yes=False) == 2
    assert (await rows())[0].carries_on == ""


async def test_a_killed_run_is_closed_by_the_next_of_its_device(desk: Desk) -> None:
    run = await killed(desk, at("transfer.progress", bytes=1000), replace(FORGETS, silent_after=1000))
    desk.behaves(FORGETS)
    assert (await rows())[0].open
    assert await desk.update(yes=False) == 0
    before = (await rows())[1]
    assert before.ending is not None
    assert (before.id, before.ending.verdict, before.ending.reason) == (run, "ABORTED", "killed")


async def test_what_was_sent_whole_by_a_killed_run_is_proven_by_looking(desk: Desk) -> None:
    await killed(desk, at("device.rebooting"), FORGETS)
    assert await desk.update(yes=False) == 0
    told = desk.told()
    assert (told.last["verdict"], "transfer.started" in told.names) == ("PASS", False)
    assert reported(desk) == [2, 9]


async def test_what_is_proven_late_is_reported_for_the_run_that_sent_it(desk: Desk) -> None:
    run = await killed(desk, at("device.rebooting"), FORGETS)
    assert await desk.update(yes=False) == 0
    kept = [(r.run, r.outcome, r.state) for r in await reports()]
    assert kept == [(run, "confirmed", "sent"), (run, "succeeded", "sent")]
    assert "status.reported" in desk.told().names


async def test_what_was_proven_and_reported_by_a_killed_run_is_a_success_once(desk: Desk) -> None:
    await killed(desk, at("device.verified"), FORGETS)
    assert await desk.update(yes=False) == 0
    assert (desk.told().last["verdict"], reported(desk)) == ("PASS", [2, 9])


async def test_in_another_virtual_world_nothing_is_carried_on(desk: Desk, tmp_path: Path) -> None:
    await given_up(desk)
    World.create(tmp_path / "other", size_bytes=2000)
    desk.set(radio=f"virtual:{tmp_path / 'other'}")
    assert await desk.update(yes=False) == 2
    assert (await rows())[0].carries_on == ""


async def test_what_is_left_of_a_plan_is_carried_on_and_confirmed_once(desk: Desk, tmp_path: Path) -> None:
    """One component is done, the other broke off: the Developer Center's plan has only that one left."""
    world = World.create(tmp_path / "two", packages={"MAIN": (b"a" * 500,), "MCU": (b"b" * 2000,)})
    center = DeveloperCenter(world)
    async with serve(center) as url:
        two = replace(desk, world=world, center=center, url=url)
        two.set(cloud=url, radio=f"virtual:{world.folder}", quecthing__version_ids='{"MCU": 13}')
        await interrupted(two)
        await interrupted(two, yes=False)  # what is left of what is left
        assert await two.update(yes=False) == 0
        assert [(r["componentNo"], r["reportStatus"]) for r in two.records("status.reported")] == [
            ("MAIN", 2),
            ("MCU", 2),
            ("MAIN", 9),
            ("MCU", 9),
        ]
    assert two.told().last["components"] == [{"component": c, "state": "verified"} for c in ("MAIN", "MCU")]


# ------------------------------------------------------------------ the ledger's side of it


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncGenerator[Ledger, None]:
    async with await Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


DIGEST = Digest(Algorithm.SHA256, "5a" * 32)


def part(no: str = "A", **other: Any) -> Component:
    file = PlannedFile("https://one", 9, (DIGEST,), name="a.bin")
    return replace(Component(no, ComponentKind.MODULE, "2", "1", (file,), notes="new"), **other)


def plan(*parts: Component, id: str = "7", running: Mapping[str, str] | None = None) -> Plan:  # noqa: A002
    device = DeviceInfo("AA", "", "p", "d", running or {"A": "1", "B": "1", "C": "1"})
    return Plan(
        device, FetchPlan(id, "p", "d", parts), tuple(c for c in parts if device.running(c) != c.target_version)
    )


async def run_of(
    ledger: Ledger,
    id: str,  # noqa: A002
    agreed: Plan,
    *,
    carries_on: str = "",
    sent: Sequence[str] = (),
    began: Sequence[str] = (),
    rebooted: Sequence[str] = (),
    proof: str | None = "device",
    verdict: str = "ERROR",
) -> RunRow:
    """An ended run that `agreed` was agreed to in, with these components begun, and those sent whole.

    `proof` is kept for what ran before; None: as an older version of this program kept it.
    """
    parts = [
        {
            "no": c.no,
            "kind": c.kind.name.lower(),
            "source_version": c.source_version,
            "target_version": c.target_version,
            "delta": c.delta,
            "running": agreed.device.running(c),
            **({} if proof is None else {"proof": proof}),
            "files": [{"name": f.name, "size": f.size_bytes, "digests": [str(d) for d in f.digests]} for f in c.files],
        }
        for c in agreed.fetched.components
    ]
    known = Changes(
        product_key="p", device_key="d", plan_id=agreed.fetched.id, approved_by="ada", carries_on=carries_on
    )
    known |= {"plan": {"components": parts}, "fingerprint": agreed.fetched.fingerprint}
    known |= {"versions_before": agreed.device.versions}
    await ledger.begin(Started(id, "update", "", {}, {}, "bleak", "eu", "ada@here", 1, "1"))
    names = ("transfer.started", began), ("transfer.done", sent), ("device.rebooting", rebooted)
    steps = [(name, {"component": c, "evidence": "disconnected"}) for name, all_ in names for c in all_]
    await ledger.write(id, [Entry(n, 1.0, name, body) for n, (name, body) in enumerate(steps)], known)
    await ledger.finish(id, [], Ending(verdict, "", 1))
    row = await ledger.run(id)
    assert row is not None
    return row


async def journal(ledger: Ledger, carried: RunRow | None) -> tuple[Journal, list[Event]]:
    told: list[Event] = []
    marks = LedgerMarks(ledger, "now", told.append)
    chain = [] if carried is None else await chain_of(ledger, carried)
    return Journal(ledger, "now", isolated(), told.append, marks, carried=carried, chain=chain), told


async def asked(ledger: Ledger, carried: RunRow | None, now: Plan) -> bool:
    """Whether a new word is wanted."""
    asks: list[Plan] = []

    async def otherwise(plan: Plan) -> Approved | None:
        asks.append(plan)
        return None

    made, _ = await journal(ledger, carried)
    got = await consent(Run(Common("update", quiet=True), "update"), made, otherwise)(now)
    assert made.agreed_before is (got is not None)
    assert (got is None) is bool(asks)
    assert got is None or (carried is not None and got == Approved(now, f"ada, in run {carried.id}"))
    return bool(asks)


SAME: dict[str, Plan] = {
    "the same": plan(part()),
    "another link and other notes": plan(part(notes="x", files=(PlannedFile("https://two", 9, (DIGEST,)),))),
}
OTHER: dict[str, Plan] = {
    "another plan": plan(part(), id="8"),
    "another version": plan(part(target_version="3")),
    "another source": plan(part(source_version="0")),
    "another size": plan(part(files=(PlannedFile("", 8, (DIGEST,)),))),
    "another digest": plan(part(files=(PlannedFile("", 9, (Digest(Algorithm.SHA256, "00" * 32),)),))),
    "one file more": plan(part(files=(PlannedFile("", 9, (DIGEST,)),) * 2)),
    "a delta": plan(part(delta=True)),
    "a component more": plan(part(), part("B")),
    "another component": plan(part("B")),
    "a device that runs something else": plan(part(), running={"A": "0"}),
    "a device that does not say what it runs": plan(part(), running={"B": "1"}),
}


@pytest.mark.parametrize("what", SAME)
async def test_consent_carries_over_to_the_same_plan(ledger: Ledger, what: str) -> None:
    assert not await asked(ledger, await run_of(ledger, "run-1", plan(part())), SAME[what])


@pytest.mark.parametrize("what", OTHER)
async def test_consent_does_not_carry_over_to_another_plan(ledger: Ledger, what: str) -> None:
    assert await asked(ledger, await run_of(ledger, "run-1", plan(part())), OTHER[what])


async def test_consent_carries_over_to_what_is_left_of_a_plan(ledger: Ledger) -> None:
    both = await run_of(ledger, "run-1", plan(part(), part("B")))
    assert not await asked(ledger, both, plan(part("B"), running={"A": "2", "B": "1"}))


async def test_what_is_left_of_a_plan_without_an_id_is_asked_for(ledger: Ledger) -> None:
    both = await run_of(ledger, "run-1", plan(part(), part("B"), id=""))
    assert await asked(ledger, both, plan(part("B"), id=""))


async def test_with_nothing_to_carry_on_a_word_is_wanted(ledger: Ledger) -> None:
    assert await asked(ledger, None, plan(part()))


# ------------------------------------------------------------------ what was sent whole and not seen running


async def test_what_any_run_of_the_chain_had_sent_whole_is_unproven(ledger: Ledger) -> None:
    await run_of(ledger, "run-1", plan(part(), part("B")), sent=["A"])
    newest = await run_of(ledger, "run-2", plan(part(), part("B")), carries_on="run-1", sent=["B"])
    made, _ = await journal(ledger, newest)
    assert [u.component.no for u in await unverified(made)] == ["B", "A"]
    assert {no: row.id for no, row in made.left.items()} == {"A": "run-1", "B": "run-2"}


async def test_what_was_not_sent_whole_is_not_unproven(ledger: Ledger) -> None:
    made, _ = await journal(ledger, await run_of(ledger, "run-1", plan(part(), part("B")), sent=["B"]))
    assert [u.component.no for u in await unverified(made)] == ["B"]


async def test_what_a_run_only_began_to_send_is_unproven_too(ledger: Ledger) -> None:
    """It may have been killed between the last packet and its record."""
    made, _ = await journal(ledger, await run_of(ledger, "run-1", plan(part(), part("B")), began=["B"]))
    (left,) = await unverified(made)
    assert (left.component.no, left.version_before, left.proof_before) == ("B", "1", "device")


@pytest.mark.parametrize("proof", ["developer-center", ""])
async def test_where_the_device_did_not_tell_what_ran_before_the_whole_must_have_been_sent(
    ledger: Ledger, proof: str
) -> None:
    both = plan(part(), part("B"), part("C"))
    row = await run_of(ledger, "run-1", both, began=["A", "B", "C"], sent=["B", "C"], rebooted=["C"], proof=proof)
    made, _ = await journal(ledger, row)
    left = [(u.component.no, u.version_before, u.proof_before, u.rebooted) for u in await unverified(made)]
    assert left == [("B", None, "", False), ("C", None, "", True)]


async def test_a_run_of_an_older_version_is_proven_by_any_word_of_the_device(ledger: Ledger) -> None:
    made, _ = await journal(ledger, await run_of(ledger, "run-1", plan(part()), sent=["A"], proof=None))
    assert [u.proof_before for u in await unverified(made)] == ["device-information"]


async def test_of_several_modules_none_is_proven_by_the_unnamed_version(ledger: Ledger) -> None:
    made, _ = await journal(ledger, await run_of(ledger, "run-1", plan(part(), part("B")), sent=["A"]))
    (left,) = await unverified(made)
    assert not left.component.sole_module
    made, _ = await journal(ledger, await run_of(ledger, "run-2", plan(part()), sent=["A"]))
    assert (await unverified(made))[0].component.sole_module


async def test_an_installation_of_what_ran_before_is_never_proven_by_the_version(ledger: Ledger) -> None:
    again = plan(part(), running={"A": "2"})
    made, _ = await journal(ledger, await run_of(ledger, "run-1", again, sent=["A"]))
    assert await unverified(made) == []


@pytest.mark.parametrize(("outcome", "left"), [("confirmed", ["A"]), ("succeeded", ["A"]), ("failed", [])])
async def test_only_what_has_failed_is_not_looked_at_again(ledger: Ledger, outcome: Any, left: list[str]) -> None:
    row = await run_of(ledger, "run-1", plan(part()), sent=["A"])
    await ledger.keep(Report("run-1", "me", "p", "d", "7", "A", outcome, {}))
    made, _ = await journal(ledger, row)
    assert [u.component.no for u in await unverified(made)] == left


async def test_what_has_failed_in_a_later_run_has_failed_for_the_earlier_ones(ledger: Ledger) -> None:
    await run_of(ledger, "run-1", plan(part()), sent=["A"])
    newest = await run_of(ledger, "run-2", plan(part()), carries_on="run-1")
    await ledger.keep(Report("run-2", "me", "p", "d", "7", "A", "failed", {}))
    made, _ = await journal(ledger, newest)
    assert await unverified(made) == []


async def test_nothing_carried_on_leaves_nothing_unproven(ledger: Ledger) -> None:
    assert await unverified((await journal(ledger, None))[0]) == []


async def test_a_chain_is_told_newest_first_and_has_an_end(ledger: Ledger) -> None:
    runs = [await run_of(ledger, f"run-{n}", plan(part()), carries_on=f"run-{n - 1}") for n in range(CHAIN_MAX + 5)]
    chain = await chain_of(ledger, runs[-1])
    assert [r.id for r in chain[:2]] == [f"run-{CHAIN_MAX + 4}", f"run-{CHAIN_MAX + 3}"]
    assert len(chain) == CHAIN_MAX


async def test_a_chain_that_bites_its_tail_has_an_end(ledger: Ledger) -> None:
    await run_of(ledger, "run-1", plan(part()), carries_on="run-2")
    newest = await run_of(ledger, "run-2", plan(part()), carries_on="run-1")
    assert [r.id for r in await chain_of(ledger, newest)] == ["run-2", "run-1"]


async def test_a_chain_whose_beginning_is_lost_has_an_end(ledger: Ledger) -> None:
    newest = await run_of(ledger, "run-2", plan(part()), carries_on="run-1")
    assert [r.id for r in await chain_of(ledger, newest)] == ["run-2"]

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ble_ota.ledger import Ending, Entry, Ledger
from ble_ota.ledger.runs import KILLED
from tests.ledger.words import APPROVED, HERE, KNOWN, Clock, ending, entry, started


class AnyOrder(RuleBasedStateMachine):
    """Runs of one device, begun, written, ended and abandoned in any order, beside a list that says what must be."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.ledger = self.runner.run(Ledger.open("sqlite://", now=Clock()))
        self.events: dict[str, list[Entry]] = {}
        self.endings: dict[str, Ending | None] = {}
        self.approved: dict[str, bool] = {}

    def teardown(self) -> None:
        self.runner.run(self.ledger.close())
        self.runner.close()

    @rule(approve=st.booleans())
    def begin(self, approve: bool) -> None:
        name = f"run-{len(self.events)}"
        self.runner.run(self.ledger.begin(started(name)))
        self.runner.run(self.ledger.write(name, [], APPROVED if approve else KNOWN))
        self.events[name], self.endings[name], self.approved[name] = [], None, approve

    @precondition(lambda self: self.events)
    @rule(data=st.data(), seqs=st.lists(st.integers(0, 30), max_size=4))
    def write(self, data: st.DataObject, seqs: list[int]) -> None:
        name = data.draw(st.sampled_from(sorted(self.events)))
        told = [entry(seq) for seq in seqs]
        after = [e.seq for e in self.events[name]] + seqs
        good = self.endings[name] is None and all(a < b for a, b in pairwise(after))
        self.attempt(self.ledger.write(name, told), allowed=good)
        self.events[name] += told if good else []

    @precondition(lambda self: self.events)
    @rule(data=st.data(), verdict=st.sampled_from(["PASS", "FAIL", "ERROR", "TIMEOUT", "ABORTED", "DECLINED"]))
    def finish(self, data: st.DataObject, verdict: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.events)))
        good = self.endings[name] is None
        self.attempt(self.ledger.finish(name, [], ending(verdict)), allowed=good)
        if good:
            self.endings[name] = ending(verdict)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        mine = data.draw(st.sampled_from(sorted(self.events)))
        others = [row.id for row in self.runner.run(self.ledger.open_runs(**HERE)) if row.id != mine]
        closed = self.runner.run(self.ledger.abandon_runs(others))
        assert closed == [name for name, end in self.endings.items() if end is None and name != mine]
        self.endings.update(dict.fromkeys(closed, KILLED))

    def attempt(self, call: Coroutine[None, None, None], *, allowed: bool) -> None:
        try:
            self.runner.run(call)
        except ValueError:
            assert not allowed
        else:
            assert allowed

    @invariant()
    def each_run_has_its_events_in_order_and_at_most_its_one_verdict(self) -> None:
        for row in self.runner.run(self.ledger.runs()):
            assert row.ending == self.endings[row.id]
            assert self.runner.run(self.ledger.events(row.id)) == self.events[row.id]

    @invariant()
    def what_is_pending_is_the_newest_approved_run_that_nothing_final_came_after(self) -> None:
        expected = None
        for name in reversed(self.events):
            end = self.endings[name]
            if end is not None and end.verdict in {"PASS", "FAIL", "DECLINED"}:
                break
            if self.approved[name]:
                expected = name
                break
        found = self.runner.run(self.ledger.pending(**HERE))
        assert (found.id if found else None) == expected

    @invariant()
    def the_chain_holds(self) -> None:
        assert self.runner.run(self.ledger.verify()) == []


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)

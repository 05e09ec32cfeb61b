from __future__ import annotations

from dataclasses import fields

import pytest

from ble_ota.events import Verdict
from ble_ota.ledger import CARRIED_ON, FINAL, Changes, RunRow, Started
from ble_ota.ledger.rows import Ending
from tests.ledger.words import ending

ROW = {f.name: None for f in fields(RunRow)}


@pytest.mark.parametrize("end", [ending("PASS"), ending("ABORTED")])
def test_a_run_with_a_verdict_is_not_open(end: Ending) -> None:
    assert not RunRow(**{**ROW, "ending": end}).open  # type: ignore[arg-type]


def test_a_run_without_a_verdict_is_open() -> None:
    assert RunRow(**{**ROW, "ending": None}).open  # type: ignore[arg-type]


def test_a_run_tells_all_that_was_known_at_first_and_all_that_became_known() -> None:
    assert {f.name for f in fields(Started)} | set(Changes.__annotations__) <= set(ROW)


def test_a_verdict_is_either_final_or_carried_on_and_a_refusal_is_neither() -> None:
    assert not FINAL & CARRIED_ON
    assert set(Verdict) - FINAL - CARRIED_ON == {Verdict.REFUSED}

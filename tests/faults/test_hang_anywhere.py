"""Count the calls of a good run at each of its doors, then let each one never come back.

The whole of it, with every operation of a link: `FAULTS=whole pytest tests/faults/test_hang_anywhere.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.cli.run import AFTERWARDS_S, STORED_S
from ble_ota.perform import GOODBYE_S
from tests.faults.trouble import DEADLINE_S, Came, Stage, chosen, hang, stands

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(300)]

TIMEOUT = (124, "TIMEOUT", "deadline")
UNWRITTEN = (22, "ERROR", "storage")  # a verdict that cannot be written down is not told
GOOD = (0, "PASS", "verified")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def in_time(came: Came) -> bool:
    return came.seconds <= DEADLINE_S + GOODBYE_S + STORED_S + AFTERWARDS_S + 1


async def test_a_door_that_hangs_is_left_at_the_deadline(stage: Stage) -> None:
    calls = await stage.good()
    for at, call in chosen(calls, link=False):
        came = await stage.struck(at, hang, call)
        wanted = UNWRITTEN if call in ("ledger.finish", "ledger.mark") else TIMEOUT  # the mark is waited for at the end
        assert came.how == (GOOD if stands(calls, at) else wanted), f"call {at}, {call}"
        assert in_time(came), f"call {at}, {call}: {came.seconds} s"


async def test_an_operation_of_a_link_that_hangs_is_left_at_the_deadline_or_taken_for_silence(stage: Stage) -> None:
    for at, call in chosen(await stage.good(), link=True):
        came = await stage.struck(at, hang, call)
        assert came.how in ((GOOD, TIMEOUT) if call == "notification" else (TIMEOUT,)), f"call {at}, {call}"
        assert in_time(came), f"call {at}, {call}: {came.seconds} s"

"""Count the calls of a good run at each of its doors, then let each one raise what it may, or what nobody expects.

The whole of it, with every operation of a link: `FAULTS=whole pytest tests/faults/test_error_anywhere.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.trouble import Stage, chosen, named, stands, unexpected

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(300)]

# What a call may come to that raises what it may raise; a call that is not here does not keep a run from its PASS. A
# confirmation whose answer is lost is sent once more.
REASONS = {
    "ledger": (22, "ERROR", "storage"),
    "login_by_email": (20, "ERROR", "cloud_unreachable"),
    "device": (20, "ERROR", "cloud_unreachable"),
    "fetch_plan": (20, "ERROR", "cloud_unreachable"),
    "fetch": (20, "ERROR", "cloud_unreachable"),
}
GOOD = (0, "PASS", "verified")
FIRST = {"scan": (34, "ERROR", "adapter"), "connect": (34, "ERROR", "adapter")}  # later on it is tried again


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


async def test_an_error_of_a_door_ends_in_its_own_reason(stage: Stage) -> None:
    calls = await stage.good()
    for at, call in chosen(calls, link=False):
        came = await stage.struck(at, named, call)
        if stands(calls, at) or call == "ledger.mark":  # a mark is a convenience, and is given up with a warning
            wanted = GOOD
        else:
            first = FIRST.get(call, GOOD) if calls.index(call) == at else GOOD
            wanted = REASONS.get(call.partition(".")[0], first)
        assert came.how == wanted, f"call {at}, {call}"


async def test_the_success_is_reported_when_the_verdict_stands(stage: Stage) -> None:
    calls = await stage.good()
    assert [stands(calls, at) for at, call in enumerate(calls) if call == "report"] == [False, True]


async def test_an_error_of_a_link_is_tried_again(stage: Stage) -> None:
    for at, call in chosen(await stage.good(), link=True):
        assert (await stage.struck(at, named, call)).how == GOOD, f"call {at}, {call}"


@pytest.mark.parametrize("link", [False, True], ids=["at a door", "of a link"])
async def test_what_nobody_expected_ends_in_one_verdict_and_is_called_a_bug(stage: Stage, link: bool) -> None:
    calls = await stage.good()
    for at, call in chosen(calls, link=link):
        came = await stage.struck(at, unexpected, call)
        assert came.how == (GOOD if stands(calls, at) else (1, "ERROR", "bug")), f"call {at}, {call}"
        assert stands(calls, at) or "nobody expected this" in came.last["message"], f"call {at}, {call}"

from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.virtual.developer_center.records import Records
from ble_ota.virtual.developer_center.state import LOCK_S, REPORT_STATUS, WRONG_PASSWORDS, State
from tests.virtual.developer_center.conftest import NOW, Clock


@pytest.fixture
def state(tmp_path: Path, clock: Clock) -> State:
    return State(Records(tmp_path / "records.jsonl", clock))


@pytest.fixture
def restarted(state: State, tmp_path: Path, clock: Clock) -> State:
    """The same, after reports, a logout and two wrong passwords, by another process."""
    _report(state, "MAIN", "succeeded", "1.1.0")
    state.note("logout", session="s1")
    for _ in range(2):
        state.note("login.refused", wrong=True)
    return State(Records(tmp_path / "records.jsonl", clock))


def _report(state: State, component: str, meaning: str | None, target: str = "2") -> None:
    status = REPORT_STATUS[meaning] if meaning else 5
    state.note(
        "status.reported",
        deviceKey="D1",
        componentNo=component,
        reportStatus=status,
        meaning=meaning,
        targetVersion=target,
    )


def test_success_moves_the_version(state: State) -> None:
    _report(state, "MAIN", "succeeded", "1.1.0")
    assert state.version("D1", "MAIN") == "1.1.0"


@pytest.mark.parametrize("meaning", ["confirmed", "failed", None])
def test_anything_but_success_leaves_the_version(state: State, meaning: str | None) -> None:
    _report(state, "MAIN", meaning)
    assert state.version("D1", "MAIN") is None


def test_a_failure_after_success_leaves_the_new_version(state: State) -> None:
    _report(state, "MAIN", "succeeded", "1.1.0")
    _report(state, "MAIN", "failed")
    assert state.version("D1", "MAIN") == "1.1.0"


def test_the_last_report_counts(state: State) -> None:
    _report(state, "MAIN", "confirmed")
    _report(state, "MAIN", "failed")
    assert state.status("D1", "MAIN") == REPORT_STATUS["failed"]


def test_components_are_kept_apart(state: State) -> None:
    _report(state, "MAIN", "failed")
    assert state.status("D1", "MCU") is None


def test_devices_are_kept_apart(state: State) -> None:
    _report(state, "MAIN", "failed")
    assert state.meanings("D2") == set()


def test_the_fifth_wrong_password_locks(state: State) -> None:
    for _ in range(WRONG_PASSWORDS):
        state.note("login.refused", wrong=True)
    assert state.locked_until == NOW + LOCK_S


def test_four_wrong_passwords_do_not_lock(state: State) -> None:
    for _ in range(WRONG_PASSWORDS - 1):
        state.note("login.refused", wrong=True)
    assert state.locked_until == 0


def test_other_refusals_do_not_count(state: State) -> None:
    state.note("login.refused", wrong=False)
    assert state.wrong_passwords == 0


def test_a_login_forgives(state: State) -> None:
    state.note("login.refused", wrong=True)
    state.note("login")
    assert state.wrong_passwords == 0


def test_what_else_happens_changes_nothing(state: State) -> None:
    state.note("firmware.fetched", name="MAIN-0.bin")
    assert (state.wrong_passwords, state.meanings("D1")) == (0, set())


def test_the_version_survives_a_restart(restarted: State) -> None:
    assert restarted.version("D1", "MAIN") == "1.1.0"


def test_a_logout_survives_a_restart(restarted: State) -> None:
    assert (restarted.ended("s1"), restarted.ended("s2")) == (True, False)


def test_wrong_passwords_survive_a_restart(restarted: State) -> None:
    assert restarted.wrong_passwords == 2


def test_an_order_that_was_taken_is_kept(state: State) -> None:
    state.note("order.given", deviceKey="D1", code=200)
    state.note("auto.set", deviceKey="D1", on=True)
    assert [record["what"] for record in state.orders("D1")] == ["order.given", "auto.set"]


def test_an_order_that_was_refused_is_no_order(state: State) -> None:
    state.note("order.given", deviceKey="D1", code=5011)
    assert list(state.orders("D1")) == []


def test_orders_of_devices_are_kept_apart(state: State) -> None:
    state.note("auto.set", deviceKey="D1", on=True)
    assert list(state.orders("D2")) == []


def freeze(state: State, clock: Clock, times: int, *, apart_s: float) -> None:
    """Freeze the account so many times; the clock stands at the last one."""
    for n in range(times):
        clock.now += apart_s if n else 0
        for _ in range(WRONG_PASSWORDS):
            state.note("login.refused", wrong=True)


def test_the_third_freeze_within_a_day_blocks(state: State, clock: Clock) -> None:
    freeze(state, clock, 3, apart_s=43_199)
    assert state.blocked_until == clock.now + 86_400


def test_two_freezes_do_not_block(state: State, clock: Clock) -> None:
    freeze(state, clock, 2, apart_s=1200)
    assert state.blocked_until == 0


def test_three_freezes_in_more_than_a_day_do_not_block(state: State, clock: Clock) -> None:
    freeze(state, clock, 3, apart_s=43_200)
    assert state.blocked_until == 0


def test_a_login_between_freezes_forgets_none(state: State, clock: Clock) -> None:
    freeze(state, clock, 2, apart_s=1200)
    state.note("login")
    freeze(state, clock, 1, apart_s=1200)
    assert state.blocked_until > 0

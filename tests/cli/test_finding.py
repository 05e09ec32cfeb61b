from __future__ import annotations

from ble_ota.cli.finding import Finding


def test_what_is_well_is_one_line() -> None:
    assert str(Finding("clock", True, "3 s behind")) == "ok  clock: 3 s behind"


def test_what_is_not_well_says_what_to_do_below() -> None:
    assert str(Finding("clock", False, "slow", "Set it", 3)) == "NO  clock: slow\n      hint: Set it"

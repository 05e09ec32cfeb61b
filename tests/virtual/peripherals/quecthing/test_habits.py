from __future__ import annotations

import ast
import inspect
from dataclasses import FrozenInstanceError

import pytest

from ble_ota.virtual.peripherals.quecthing import habits
from ble_ota.virtual.peripherals.quecthing.habits import Habits, Pause


def test_the_default_patience_is_the_documented_one() -> None:
    assert Habits().patience_s == 15


def test_a_device_makes_no_trouble_unless_told_to() -> None:
    quiet = Habits()
    assert not any((quiet.declines, quiet.drops_while_paused, quiet.fail_at_end, quiet.boots_old, quiet.pauses))
    assert {quiet.cancel_at, quiet.silent_after, quiet.wrong_offset_at} == {None}


def test_a_pause_ends_within_what_it_announces_unless_told_otherwise() -> None:
    pause = Pause(0)
    assert pause.lasts_s is not None
    assert pause.lasts_s < pause.delay_s


def test_habits_are_exchanged_as_a_whole() -> None:
    with pytest.raises(FrozenInstanceError):
        Habits().declines = True  # type: ignore[misc]


@pytest.mark.parametrize("name", ["Habits", "Pause"])
def test_every_habit_says_what_it_does(name: str) -> None:
    tree = ast.parse(inspect.getsource(habits))
    (found,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    silent = [
        ast.unparse(field)
        for field, after in zip(found.body, [*found.body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign) and not isinstance(after, ast.Expr)
    ]
    assert silent == []

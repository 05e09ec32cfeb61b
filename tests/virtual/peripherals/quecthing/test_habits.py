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
    text = inspect.getsource(habits)
    tree = ast.parse(text[text.index("@dataclass(frozen=True, slots=True)\nclass Habits") :])
    begins = text[text.index("class Habits") :].split("    # Trouble", 1)[0].count("\n") + 1
    (found,) = (n for n in tree.body if isinstance(n, ast.ClassDef))
    troubles = [
        n.target.id
        for n in found.body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name) and n.lineno > begins
    ]
    quiet = Habits()
    made = {name: getattr(quiet, name) for name in troubles if getattr(quiet, name)}
    assert len(troubles) > 15
    assert made == {"claims_version_after": "always"}  # says when, not whether


def test_a_device_keeps_nothing_unless_told_to() -> None:
    assert (Habits().keeps_session_over_disconnect, Habits().keeps_session_over_power) == (False, False)


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

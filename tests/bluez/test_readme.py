"""The tables of the README say what is true: no pain is missing, and what is named exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = Path(__file__).with_name("README.md").read_text("utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
PAINS = re.compile(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


@cache
def written_in(path: str) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return {n.name for n in functions if n.name.startswith("test_")}


def test_every_pain_has_one_row() -> None:
    assert [number for number, _ in PAINS.findall(TEXT)] == [str(n) for n in range(1, 14)]


@pytest.mark.parametrize(("number", "held"), PAINS.findall(TEXT))
def test_a_pain_names_a_test_or_says_why_it_cannot_happen(number: str, held: str) -> None:
    assert NAMED.search(held) or held.startswith("cannot happen"), number


@pytest.mark.parametrize("named", sorted({"::".join(found) for found in NAMED.findall(TEXT)}))
def test_what_is_named_exists(named: str) -> None:
    path, _, test = named.partition("::")
    assert (ROOT / path).is_file()
    assert not test or test in written_in(path)


def test_nothing_else_in_it_looks_like_a_test() -> None:
    assert TEXT.count("::test_") == len([test for _, test in NAMED.findall(TEXT) if test])


def test_every_file_of_tests_inside_is_in_it() -> None:
    there = {p.relative_to(ROOT).as_posix() for p in Path(__file__).parent.glob("inside/test_*.py")}
    assert there - {path for path, _ in NAMED.findall(TEXT)} == set()

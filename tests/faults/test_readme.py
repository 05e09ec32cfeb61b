"""The table of faults says what is true: no row is missing, and what it names exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = Path(__file__).with_name("README.md")
TEXT = README.read_text("utf-8")
GROUPS = {"A": 14, "P": 11, "B": 10, "D": 8, "S": 6, "M": 5, "N": 15, "C": 13}
IDS = [f"{group}{n}" for group, most in GROUPS.items() for n in range(1, most + 1)]
ROW = re.compile(r"^\| (?P<id>[A-Z][0-9]+) \| (?P<fault>[^|]+) \| (?P<proof>[^|]+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
ROWS = {row["id"]: row["proof"] for row in ROW.finditer(TEXT)}
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


@cache
def written_in(path: str) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return {n.name for n in functions if n.name.startswith("test_")}


def test_every_fault_has_one_row() -> None:
    assert [row["id"] for row in ROW.finditer(TEXT)] == IDS


@pytest.mark.parametrize("fault", IDS)
def test_a_row_names_a_test_or_says_why_there_is_none(fault: str) -> None:
    proof = ROWS[fault]
    assert NAMED.search(proof) or proof.startswith(("not covered", "cannot happen"))


@pytest.mark.parametrize("named", sorted({"::".join(found) for found in NAMED.findall(TEXT)}))
def test_what_is_named_exists(named: str) -> None:
    path, _, test = named.partition("::")
    assert (ROOT / path).is_file()
    assert not test or test in written_in(path)


def test_nothing_else_in_it_looks_like_a_test() -> None:
    """A name that is misspelt would be no name to the test above."""
    assert TEXT.count("::test_") == len([test for _, test in NAMED.findall(TEXT) if test])


def test_every_file_of_this_folder_that_has_tests_is_in_it() -> None:
    named = {path for path, _ in NAMED.findall(TEXT)}
    here = {p.relative_to(ROOT).as_posix() for p in Path(__file__).parent.glob("test_*.py")}
    assert here - named == {"tests/faults/test_readme.py"}


def test_the_commands_can_be_given() -> None:
    assert len(COMMANDS) > 2
    for command in COMMANDS:
        words = [w for w in command.split() if "=" not in w or w.startswith("--")]
        assert words[0] in ("pytest", "python"), command
        if words[0] == "python":
            assert find_spec(words[2]) is not None, command
            said = subprocess.run(
                [sys.executable, "-m", words[2], "--help"], cwd=ROOT, capture_output=True, text=True, check=True
            )
            assert [w for w in words if w.startswith("--") and w not in said.stdout] == [], command
        else:
            assert all((ROOT / w).exists() for w in words if w.startswith("tests")), command


def test_the_variables_of_the_commands_are_read_by_the_tests() -> None:
    """Each one that stands there is asked for somewhere in this folder."""
    said = set(re.findall(r"\b(FAULT[A-Z_]*)=", TEXT))
    read = "".join(p.read_text("utf-8") for p in Path(__file__).parent.glob("*.py"))
    assert said
    assert {name for name in said if f'environ.get("{name}")' not in read} == set()

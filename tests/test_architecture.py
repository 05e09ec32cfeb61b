"""The shape of the house, held by a test: the mirror, the sizes, and what may not be said."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("ble_ota", "firmware_cache")
FILE_LINES, FUNCTION_LINES = 300, 50  # alarms: files stay near 150, functions near 10

# Modules whose test stands elsewhere, and where.
TESTED_ELSEWHERE = {
    "ble_ota/__main__.py": "tests/cli/test_app.py",
    "ble_ota/virtual/peripheral.py": "only protocols and records",
}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def has_logic(path: Path) -> bool:
    """Whether a package's `__init__.py` defines anything: one that only gathers names needs no test."""
    body = ast.parse(path.read_text()).body
    return any(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for n in body)


def mirror(path: Path) -> Path:
    inside = path.relative_to(ROOT)
    parts = inside.parts[1:] if inside.parts[0] == "ble_ota" else inside.parts
    name = "test_init.py" if path.name == "__init__.py" else f"test_{path.name.removeprefix('_')}"
    return ROOT.joinpath("tests", *parts[:-1], name)


@pytest.mark.parametrize("path", list(modules()), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_has_its_test_file(path: Path) -> None:
    if str(path.relative_to(ROOT)) in TESTED_ELSEWHERE or (path.name == "__init__.py" and not has_logic(path)):
        return
    assert mirror(path).exists(), f"{path.relative_to(ROOT)} wants {mirror(path).relative_to(ROOT)}"


@pytest.mark.parametrize("path", list(modules()), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    for function in functions(ast.parse(text)):
        start = function.body[1].lineno if ast.get_docstring(function) and len(function.body) > 1 else function.lineno
        assert (function.end_lineno or start) - start < FUNCTION_LINES, function.name


def test_the_exceptions_of_the_mirror_exist() -> None:
    assert [name for name in TESTED_ELSEWHERE if not (ROOT / name).exists()] == []


def test_nothing_outside_the_product_is_named() -> None:
    """No path of a machine, no address of a package registry, in any file that is tracked."""
    listing = subprocess.run(["/usr/bin/env", "git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    forbidden = re.compile(r"(?<![\w.])/(?:root|home|work)/[a-z]|//(?:pypi|files\.pythonhosted)\.|/simple/[a-z]")
    found = [
        name
        for name in listing.stdout.split()
        if (ROOT / name).is_file()
        and name != "tests/test_architecture.py"
        and forbidden.search((ROOT / name).read_text("utf-8", errors="replace"))
    ]
    assert found == []

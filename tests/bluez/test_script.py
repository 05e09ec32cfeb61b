"""`.ci/bluez` tells the truth: what it skips it names, what fails inside fails outside. The emulator is a fake here."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "bluez"
INSIDE = Path(__file__).parent / "inside"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the script is for Linux")

QEMU = """#!/usr/bin/env bash
share=$(grep -oP 'id=share,path=\\K[^,]+' <<<"$*")
cp "$share/env" "$BLUEZ_TEST/env"
echo "what pytest says" >>"$share/out.txt"
echo "what the kernel says" >"$share/console.txt"
[ -z "$BLUEZ_CODE" ] || echo "$BLUEZ_CODE" >"$share/code"
"""


class Desk:
    """A folder of programs that stand before the system's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), "BLUEZ_NEED_MB": "1"}
        self.variables |= {"BLUEZ_MACHINE": str(folder), "BLUEZ_TEST": str(folder), "BLUEZ_CODE": ""}
        self.program("uname", '[ "$1" = -s ] && echo Linux || echo x86_64')
        self.program("apt-get", 'echo "apt-get $*"')
        self.program("qemu-system-x86_64", QEMU)

    def program(self, name: str, text: str) -> None:
        file = self.folder / name
        file.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def run(self, *words: str, **variables: str) -> tuple[int, str]:
        ended = subprocess.run(
            [str(SCRIPT), *words],
            env=self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=30,
        )
        return ended.returncode, ended.stdout


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def written_inside() -> set[str]:
    return {
        f"tests/bluez/inside/{file.name}::{node.name}"
        for file in INSIDE.glob("test_*.py")
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_another_machine_is_skipped_with_the_reason(desk: Desk) -> None:
    desk.program("uname", '[ "$1" = -s ] && echo Darwin || echo arm64')
    code, said = desk.run()
    assert code == 0
    assert said.startswith("SKIPPED: this is Darwin on arm64")


def test_too_little_memory_is_skipped_with_the_reason(desk: Desk) -> None:
    code, said = desk.run(BLUEZ_NEED_MB="99999999")
    assert code == 0
    assert "MB of memory are free, and 99999999 are needed" in said


def test_what_only_root_may_install_is_skipped_and_named(desk: Desk) -> None:
    desk.program("id", "echo 1000")
    desk.program("ldd", "true")  # a busybox with libraries is none for a machine that has nothing else
    code, said = desk.run()
    assert code == 0
    assert said.startswith("SKIPPED: ")
    assert "busybox-static" in said.splitlines()[0]


def test_every_test_that_is_skipped_is_named(desk: Desk) -> None:
    _, said = desk.run(BLUEZ_NEED_MB="99999999")
    named = {line.removeprefix("  SKIPPED: ") for line in said.splitlines() if "::" in line}
    assert len(named) > 20
    assert written_inside() - named == set()


def test_a_file_that_has_its_tests_from_elsewhere_is_named(desk: Desk) -> None:
    _, said = desk.run(BLUEZ_NEED_MB="99999999")
    assert [file.name for file in INSIDE.glob("test_*.py") if file.name not in said] == []


def test_what_passes_inside_passes_and_is_shown(desk: Desk) -> None:
    code, said = desk.run(BLUEZ_CODE="0")
    assert code == 0
    assert "what pytest says" in said


@pytest.mark.parametrize("inside", ["1", "2", "5", "124"])
def test_what_fails_inside_fails(desk: Desk, inside: str) -> None:
    code, said = desk.run(BLUEZ_CODE=inside)
    assert code == 1
    assert f"pytest inside ended with {inside}" in said


def test_a_machine_that_ends_too_soon_fails_with_its_last_words(desk: Desk) -> None:
    code, said = desk.run()
    assert code == 1
    assert "what the kernel says" in said


def test_a_machine_that_does_not_end_is_ended(desk: Desk) -> None:
    desk.program("qemu-system-x86_64", "exec sleep 60")
    code, said = desk.run(BLUEZ_LIMIT_S="1")
    assert code == 1
    assert "the machine ended (124)" in said


def test_machines_share_the_tests_and_each_counts(desk: Desk) -> None:
    desk.program("qemu-system-x86_64", QEMU.replace('"$BLUEZ_CODE" >', '"$(grep -c 2/2 "$share/env")" >'))
    code, said = desk.run(BLUEZ_CODE="one fails", BLUEZ_MACHINES="2")
    assert code == 1
    assert said.count("what pytest says") == 2
    assert said.count("FAILED: pytest inside ended with 1") == 1


@pytest.mark.parametrize(("words", "machines"), [((), "2"), (("-k", "scan"), "1")])
def test_all_tests_are_shared_by_two_machines_where_they_have_room(
    desk: Desk, words: tuple[str, ...], machines: str
) -> None:
    desk.program("nproc", "echo 2")
    _, said = desk.run(*words, BLUEZ_CODE="0")
    assert f"machine 1 of {machines} ran" in said
    assert ("machine 2 of 2 ran" in said) is (machines == "2")


def test_what_is_said_to_pytest_arrives_word_by_word(desk: Desk) -> None:
    desk.run("-k", "a or b", BLUEZ_CODE="0")
    said = subprocess.run(
        ["/bin/bash", "-c", f'. {desk.folder}/env; printf "%s|" "${{ARGUMENTS[@]}}"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "-k|a or b|"


def test_pytest_outside_collects_nothing_of_it() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--collect-only", "tests/bluez"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "BLE_OTA_BLUEZ"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "test_script.py" in said.stdout
    assert [line for line in said.stdout.splitlines() if line.startswith("tests/bluez/inside")] == []

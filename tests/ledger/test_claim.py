from __future__ import annotations

import asyncio
import json
import os
import subprocess
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import pytest

from ble_ota.errors import DeviceBusyError, StorageError
from ble_ota.ledger import Owner, claimed
from tests.ledger.words import process

OWNER = Owner(pid=4711, command="update d1", run="run-1", who="ada@bench-3", since_s=1_800_000_000.0)
LATER = Owner(pid=4712, command="resume", run="run-2", who="bob@bench-3", since_s=1_800_000_100.0)
NAME = "p11/d1"

CHILD = """
import sys
from pathlib import Path
from ble_ota.ledger import Owner, claimed
folder, place, *names = sys.argv[1:]
with claimed(Path(folder), [place], names, Owner(4711, "update d1", "run-1", "ada@bench-3", 1_800_000_000.0)):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "claims"


def elsewhere(folder: Path, *names: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """Another process that holds `names`."""
    return process(CHILD, str(folder), str(folder), *names)


def claim(folder: Path, *names: str) -> None:
    with claimed(folder, [str(folder)], names, LATER):
        pass


def test_a_claim_ends_with_its_block(folder: Path) -> None:
    claim(folder, NAME)
    claim(folder, NAME)


def test_a_claim_ends_with_an_error_in_its_block(folder: Path) -> None:
    with pytest.raises(KeyError), claimed(folder, [str(folder)], [NAME], OWNER):
        raise KeyError
    claim(folder, NAME)


def test_what_another_process_holds_is_refused_with_its_name(folder: Path) -> None:
    with elsewhere(folder, NAME), pytest.raises(DeviceBusyError) as busy:
        claim(folder, NAME)
    assert str(busy.value) == f"{NAME} is being updated by {OWNER}"
    assert busy.value.exit_code == 12


def test_an_owner_is_told_in_full() -> None:
    assert str(OWNER).startswith("`ble-ota update d1` (process 4711 of ada@bench-3, run run-1, since 2027-01-1")


def test_a_claim_dies_with_its_process(folder: Path) -> None:
    with elsewhere(folder, NAME) as child:
        child.kill()
        child.wait(10)
        claim(folder, NAME)


def test_who_holds_a_name_is_refused_it_a_second_time(folder: Path) -> None:
    with claimed(folder, [str(folder)], [NAME], OWNER), pytest.raises(DeviceBusyError, match="run run-1"):
        claim(folder, NAME)


async def test_of_two_tasks_one_holds_it(folder: Path) -> None:
    holding, let_go = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        with claimed(folder, [str(folder)], [NAME], OWNER):
            holding.set()
            await let_go.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        await holding.wait()
        with pytest.raises(DeviceBusyError):
            claim(folder, NAME)
        let_go.set()


def test_a_second_claim_does_not_end_the_first(folder: Path) -> None:
    with claimed(folder, [str(folder)], [NAME], OWNER):
        for _ in range(2):
            with pytest.raises(DeviceBusyError, match="run run-1"):
                claim(folder, NAME)


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "b", "a"), ("b", "a")])
def test_all_names_are_held_or_none(names: tuple[str, ...], folder: Path) -> None:
    with claimed(folder, [str(folder)], ["b"], OWNER):
        with pytest.raises(DeviceBusyError, match=r"^b is being updated"):
            claim(folder, *names)
        claim(folder, "a", "c")


def test_every_name_is_held(folder: Path) -> None:
    with claimed(folder, [str(folder)], ["a", "b"], OWNER):
        for name in "ab":
            with pytest.raises(DeviceBusyError):
                claim(folder, name)


def test_two_state_folders_exclude_each_other_at_one_place(folder: Path, tmp_path: Path) -> None:
    """Also while the other state folder is that of another user."""
    places = [str(folder), f"second {folder}"]
    with claimed(tmp_path / "other", places, ["a", "b"], OWNER):
        for place in places:
            for name in "ab":
                with (
                    pytest.raises(DeviceBusyError, match=rf"^{name} is held on this machine by process {os.getpid()} "),
                    claimed(folder, [f"free {folder}", place], [f"free {folder}", name], LATER),
                ):
                    pass
        with claimed(folder, [f"another {folder}"], ["a", "b"], LATER):
            pass
    with claimed(folder, [f"free {folder}", *places], [f"free {folder}", "a", "b"], LATER):
        pass  # what was refused holds nothing


def test_a_name_given_twice_is_held_once(folder: Path) -> None:
    claim(folder, NAME, NAME)


def test_another_device_is_free(folder: Path) -> None:
    with claimed(folder, [str(folder)], [NAME], OWNER):
        claim(folder, "p11/d2")


def test_the_lock_file_stays(folder: Path) -> None:
    claim(folder, NAME)
    assert len(list(folder.glob("*.lock"))) == 1


def test_a_name_is_no_path(folder: Path) -> None:
    claim(folder, "../../outside/\x00\udcff\ud800" + "x" * 1000)
    assert {p.suffix for p in folder.iterdir()} == {".lock", ".json"}
    assert list(folder.parent.iterdir()) == [folder]


GARBLED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"pid": 1}',
    b"\xff\xfe",
    json.dumps(asdict(OWNER) | {"pid": "x"}).encode(),
    json.dumps(asdict(OWNER) | {"since_s": 1e300}).encode(),
    json.dumps(asdict(OWNER) | {"since_s": None}).encode(),
    json.dumps(asdict(OWNER) | {"command": "x" * 5000}).encode(),
    b"[" * 4000,
]


@pytest.mark.parametrize("content", GARBLED)
def test_an_owner_that_cannot_be_read_is_another_process(content: bytes, folder: Path) -> None:
    with claimed(folder, [str(folder)], [NAME], OWNER):
        (told,) = folder.glob("*.json")
        told.write_bytes(content)
        with pytest.raises(DeviceBusyError, match=f"^{NAME} is being updated by another process$"):
            claim(folder, NAME)


def test_an_owner_that_has_not_said_so_yet_is_another_process(folder: Path) -> None:
    with claimed(folder, [str(folder)], [NAME], OWNER):
        (told,) = folder.glob("*.json")
        told.unlink()
        with pytest.raises(DeviceBusyError, match="by another process"):
            claim(folder, NAME)


def test_what_an_owner_says_is_shown_clean(folder: Path) -> None:
    with (
        claimed(folder, [str(folder)], [NAME], Owner(1, "up\x1b[31mdate", "run-1", "ada", 0.0)),
        pytest.raises(DeviceBusyError, match=r"`ble-ota up\[31mdate`"),
    ):
        claim(folder, NAME)


def test_a_folder_that_cannot_be_made_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        claim(tmp_path / "state" / "claims", NAME)


def test_an_owner_that_cannot_be_written_leaves_nothing_held(folder: Path) -> None:
    claim(folder, "a", "b")
    told = sorted(folder.glob("*.json"))
    for file in told:
        file.unlink()
    told[1].mkdir()
    (told[1] / "x").write_text("")
    with pytest.raises(StorageError):
        claim(folder, "a", "b")
    (told[1] / "x").unlink()
    told[1].rmdir()
    claim(folder, "a", "b")


def test_an_error_of_the_block_is_not_taken_for_one_of_the_folder(folder: Path) -> None:
    with pytest.raises(FileNotFoundError), claimed(folder, [str(folder)], [NAME], OWNER):
        raise FileNotFoundError

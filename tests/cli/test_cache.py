from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ble_ota.cli import cache
from ble_ota.cli.app import app
from ble_ota.cli.common import Common
from ble_ota.errors import UsageError
from ble_ota.settings import load
from firmware_cache import FirmwareCache, Known, NotCachedError

ONE, TWO = sorted((b"one", b"two"), key=lambda c: sha256(c).hexdigest())
A, B = (sha256(c).hexdigest() for c in (ONE, TWO))
SHORT = A[:6]
NOWHERE = "0" * 64


@pytest.fixture
def shelf() -> FirmwareCache:
    """The cache that the command line uses, with two files in it."""
    made = FirmwareCache(load().cache_dir)
    made.add(ONE, known=Known("one.bin", "1.0"))
    made.add(TWO, known=Known("two.bin", "2.0"))
    return made


def said(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["cache", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def told(*arguments: object) -> Any:
    """The data of the one line that a successful command prints."""
    code, out, _ = said(*arguments, "--json")
    (line,) = out.splitlines()
    told = json.loads(line)
    assert (code, told["event"]) == (0, "result")
    return told["data"]


def rot(made: FirmwareCache, digest: str) -> None:
    path = next(e.path for e in made.entries() if e.sha256 == digest)
    path.chmod(0o644)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


# ---------------------------------------------------------------- ls, path


def test_files_are_listed_with_what_is_known_of_them(shelf: FirmwareCache) -> None:
    shelf.pin(A, "line-1")
    data = told("ls")
    assert (data["folder"], data["total_bytes"]) == (str(shelf.root), 6)
    (one,) = (f for f in data["files"] if f["sha256"] == A)
    assert (one["size_bytes"], one["pins"], one["source"]) == (3, ["line-1"], "")
    assert one["known_as"] == [{"name": "one.bin", "version": "1.0"}]
    assert one["added_at"].endswith("Z")
    assert one["last_used_at"].endswith("Z")


def test_the_latest_used_is_listed_first(shelf: FirmwareCache) -> None:
    for digest in (A, B, A):
        shelf.find(digest)
        assert told("ls")["files"][0]["sha256"] == digest


def test_files_are_a_line_each_for_people(shelf: FirmwareCache) -> None:
    shelf.pin(A)
    lines = said("ls")[1].splitlines()
    assert sorted(line[:12] for line in lines) == [A[:12], B[:12]]
    assert next(line for line in lines if "pinned by user" in line).startswith(A[:12])


def test_an_empty_cache_is_a_sentence() -> None:
    assert said("ls")[:2] == (0, "The cache is empty\n")
    assert told("ls")["files"] == []


def test_the_folder_is_a_path(shelf: FirmwareCache) -> None:
    assert said("path")[:2] == (0, f"{shelf.root}\n")
    assert told("path") == {"path": str(shelf.root)}


@pytest.mark.parametrize("which", [A, A[:6], A[:40], A.upper(), f"sha256:{A}"])
def test_a_file_has_a_path(shelf: FirmwareCache, which: str) -> None:
    assert Path(told("path", which)["path"]).read_bytes() == ONE


def test_a_damaged_file_has_no_path(shelf: FirmwareCache) -> None:
    rot(shelf, A)
    code, out, err = said("path", A)
    assert (code, out) == (21, "")
    assert f"{A} is damaged, and went to quarantine" in err
    assert "ble-ota cache import" in err


# ---------------------------------------------------------------- which


@pytest.mark.parametrize("which", [A[:5], "", "one.bin", f"{A}0", "../../x", f"sha256:{A[:5]}"])
@pytest.mark.parametrize("command", ["path", "verify", "pin", "unpin"])
def test_what_names_no_file_is_exit_2(shelf: FirmwareCache, command: str, which: str) -> None:
    code, _, err = said(command, which)
    assert (code, "hint: " in err) == (2, True)


@pytest.mark.parametrize("command", [["path"], ["verify"], ["push", "to"], ["export", "to.tar"]])
def test_a_file_that_is_not_here_is_exit_2(
    shelf: FirmwareCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = said(*command, NOWHERE)
    assert (code, f"no file {NOWHERE} is here" in err) == (2, True)
    assert not (tmp_path / command[-1]).exists()


def test_several_files_that_begin_so_are_exit_2() -> None:
    digests = ["abcdef" + c * 58 for c in "01"]
    with pytest.raises(UsageError, match="2 files that begin with abcdef are here"):
        cache._one(digests, "abcdef")
    assert cache._one(digests, "abcdef1") == digests[1]


# ---------------------------------------------------------------- add


def test_a_local_file_is_kept_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "fw.bin").write_bytes(ONE)
    data = told("add", tmp_path / "fw.bin", "--version", "1.1")
    assert (data["sha256"], data["size_bytes"], data["present"]) == (A, 3, False)
    assert Path(data["path"]).read_bytes() == ONE
    assert told("ls")["files"][0]["known_as"] == [{"name": "fw.bin", "version": "1.1"}]


def test_a_local_file_can_be_given_a_name(tmp_path: Path) -> None:
    (tmp_path / "fw.bin").write_bytes(ONE)
    told("add", tmp_path / "fw.bin", "--name", "golden")
    assert told("ls")["files"][0]["known_as"] == [{"name": "golden", "version": ""}]


def test_a_file_that_is_here_already_is_said_to_be(shelf: FirmwareCache, tmp_path: Path) -> None:
    (tmp_path / "fw.bin").write_bytes(ONE)
    assert told("add", tmp_path / "fw.bin")["present"] is True
    assert said("add", tmp_path / "fw.bin")[1] == f"{A}  3 B  was here already\n"


@pytest.mark.parametrize("name", ["none.bin", "."])
def test_what_is_no_file_is_exit_2(tmp_path: Path, name: str) -> None:
    code, _, err = said("add", tmp_path / name)
    assert (code, "is no file" in err) == (2, True)


def test_a_cache_that_cannot_be_written_is_exit_22(tmp_path: Path) -> None:
    (tmp_path / "fw.bin").write_bytes(ONE)
    load().cache_dir.write_bytes(b"in the way")
    code, out, _ = said("add", tmp_path / "fw.bin", "--json")
    assert (code, json.loads(out)["exit_code"]) == (22, 22)


@pytest.mark.parametrize("command", [["ls"], ["verify"], ["prune"], ["path", A], ["push", "x"], ["export", "x"]])
def test_a_cache_that_everybody_may_write_is_exit_22(
    shelf: FirmwareCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (shelf.root / "v1" / "blobs").chmod(0o777)
    code, _, err = said(*command)
    assert (code, "may be written by everybody" in err) == (22, True)


# ---------------------------------------------------------------- verify


def test_intact_files_are_exit_0(shelf: FirmwareCache) -> None:
    assert told("verify") == {"intact": [A, B], "damaged": []}
    assert said("verify")[1] == "2 files are intact\n"


def test_one_flipped_bit_in_one_of_a_hundred_files_is_exit_21() -> None:
    made = FirmwareCache(load().cache_dir)
    digests = sorted(made.add(n.to_bytes() * 1000).sha256 for n in range(100))
    rot(made, digests[42])
    code, out, _ = said("verify", "--json")
    data = json.loads(out)["data"]
    assert (code, data["damaged"], len(data["intact"])) == (21, [digests[42]], 99)
    assert told("verify")["damaged"] == []


def test_a_damaged_file_is_named_for_people(shelf: FirmwareCache) -> None:
    rot(shelf, A)
    assert said("verify")[:2] == (21, f"{A} is damaged, and went to quarantine\n1 file is intact\n")


def test_only_some_files_are_verified(shelf: FirmwareCache) -> None:
    rot(shelf, A)
    assert told("verify", B[:8], B) == {"intact": [B], "damaged": []}


# ---------------------------------------------------------------- prune, pin


def test_what_was_used_lately_stays(shelf: FirmwareCache) -> None:
    data = told("prune", "--max-bytes", 0)
    assert (data["removed"], data["spared"], data["left_bytes"]) == ([], {A: "fresh", B: "fresh"}, 6)


def test_what_is_pinned_stays_and_the_rest_goes(shelf: FirmwareCache) -> None:
    told("pin", SHORT)
    data = told("prune", "--max-bytes", 0, "--min-age", 0)
    assert ([f["sha256"] for f in data["removed"]], data["spared"], data["freed_bytes"]) == ([B], {A: "pinned"}, 3)
    assert [f["sha256"] for f in told("ls")["files"]] == [A]


def test_within_the_usual_budget_nothing_goes(shelf: FirmwareCache) -> None:
    assert told("prune", "--min-age", 0)["removed"] == []


def test_a_dry_run_only_says_what_would_go(shelf: FirmwareCache) -> None:
    code, out, _ = said("prune", "--max-bytes", 3, "--min-age", 0, "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "3 B would go, 3 B of firmware would stay")
    assert len(told("ls")["files"]) == 2


def test_what_goes_is_a_line_each_for_people(shelf: FirmwareCache) -> None:
    told("pin", SHORT)
    lines = said("prune", "--max-bytes", 0, "--min-age", 0)[1].splitlines()
    assert lines[1:] == [f"{A[:12]} stays: pinned", "3 B went, 3 B of firmware stay"]
    assert lines[0].startswith(f"{B[:12]}  3 B  ")
    assert lines[0].endswith("  went")


@pytest.mark.parametrize("wrong", [["--max-bytes", "-1"], ["--min-age", "-1"], ["--max-bytes", "x"]])
def test_a_budget_that_cannot_be_meant_is_exit_2(wrong: list[str]) -> None:
    assert said("prune", *wrong)[0] == 2


def test_a_file_is_pinned_and_unpinned(shelf: FirmwareCache) -> None:
    assert told("pin", SHORT, "--name", "line-1") == {"sha256": A, "name": "line-1", "present": True}
    assert shelf.pins() == {A: ("line-1",)}
    assert told("unpin", SHORT, "--name", "line-1") == {"sha256": A, "name": "line-1"}
    assert shelf.pins() == {}


def test_a_file_that_is_still_to_come_is_pinned_by_its_whole_digest() -> None:
    code, out, _ = said("pin", NOWHERE)
    assert (code, out) == (0, f"{NOWHERE} is pinned by user; it is not here, and will stay once it comes\n")
    assert said("unpin", NOWHERE)[0] == 0


def test_what_another_name_has_pinned_is_not_unpinned(shelf: FirmwareCache) -> None:
    told("pin", SHORT, "--name", "line-1")
    code, _, err = said("unpin", SHORT)
    assert (code, f"no file {SHORT} is pinned by user" in err) == (2, True)
    assert shelf.pins() == {A: ("line-1",)}


def test_a_name_that_cannot_be_a_pins_is_exit_2(shelf: FirmwareCache) -> None:
    code, _, err = said("pin", SHORT, "--name", "../x")
    assert (code, "a pin's name is" in err) == (2, True)


# ---------------------------------------------------------------- push, export, import


def test_a_mirror_is_filled(shelf: FirmwareCache, tmp_path: Path) -> None:
    data = told("push", tmp_path / "mirror", SHORT)
    assert data == {"folder": str(tmp_path / "mirror"), "copied": [A], "present": []}
    assert (tmp_path / "mirror" / "blobs" / "sha256" / A).read_bytes() == ONE
    assert said("push", tmp_path / "mirror")[1] == f"{B} was copied\n1 file was there already\n"


def test_files_are_carried_to_another_machine(
    shelf: FirmwareCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = told("export", tmp_path / "fw.tar")
    assert ([f["sha256"] for f in data["files"]], data["bundle"]) == ([A, B], str(tmp_path / "fw.tar"))
    monkeypatch.setenv("BLE_OTA_CACHE_DIR", str(tmp_path / "other"))
    assert told("import", tmp_path / "fw.tar") == {"added": [A, B], "present": [], "damaged": [], "missing": []}
    assert {f["known_as"][0]["name"] for f in told("ls")["files"]} == {"one.bin", "two.bin"}
    assert said("import", tmp_path / "fw.tar")[1] == "2 files were here already\n"


def test_some_files_are_exported(shelf: FirmwareCache, tmp_path: Path) -> None:
    assert said("export", tmp_path / "fw.tar", B)[1].splitlines()[1] == f"1 file in {tmp_path / 'fw.tar'}"


def test_a_bundle_replaces_a_file_only_by_force(shelf: FirmwareCache, tmp_path: Path) -> None:
    bundle = tmp_path / "fw.tar"
    bundle.write_bytes(b"before")
    code, _, err = said("export", bundle)
    assert (code, "--force" in err, bundle.read_bytes()) == (2, True, b"before")
    told("export", bundle, "--force")
    assert told("import", bundle)["present"] == [A, B]


@pytest.mark.parametrize("to", ["a file", "a folder", "nothing"])
def test_a_bundle_replaces_a_link_only_by_force_and_never_what_it_leads_to(
    shelf: FirmwareCache, tmp_path: Path, to: str
) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "fw.tar"
    if to == "a file":
        elsewhere.write_bytes(b"before")
    if to == "a folder":
        elsewhere.mkdir()
    link.symlink_to(elsewhere)
    code, _, err = said("export", link)
    assert (code, "--force" in err, link.is_symlink()) == (2, True, True)
    told("export", link, "--force")
    assert (link.is_symlink(), told("import", link)["present"]) == (False, [A, B])
    assert elsewhere.read_bytes() == b"before" if to == "a file" else elsewhere.is_dir() is (to == "a folder")


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_bundle_never_takes_the_name_of_a_folder(
    shelf: FirmwareCache, tmp_path: Path, force: tuple[str, ...]
) -> None:
    (tmp_path / "folder").mkdir()
    code, _, err = said("export", tmp_path / "folder", *force)
    assert (code, "no ordinary file" in err, "--force" in err) == (2, True, False)
    assert list((tmp_path / "folder").iterdir()) == []


def test_an_export_that_fails_leaves_the_bundle_before(shelf: FirmwareCache, tmp_path: Path) -> None:
    (tmp_path / "fw.tar").write_bytes(b"before")
    rot(shelf, A)
    assert said("export", tmp_path / "fw.tar", "--force")[0] == 21
    assert (tmp_path / "fw.tar").read_bytes() == b"before"


def test_a_damaged_file_is_not_exported(shelf: FirmwareCache, tmp_path: Path) -> None:
    rot(shelf, A)
    assert said("export", tmp_path / "fw.tar")[0] == 21
    assert not (tmp_path / "fw.tar").exists()


def test_a_bundle_with_a_damaged_file_is_exit_21_and_the_others_come(
    shelf: FirmwareCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told("export", tmp_path / "fw.tar")
    content = (tmp_path / "fw.tar").read_bytes()
    (tmp_path / "fw.tar").write_bytes(content.replace(ONE + bytes(9), b"???" + bytes(9)))
    monkeypatch.setenv("BLE_OTA_CACHE_DIR", str(tmp_path / "other"))
    code, out, _ = said("import", tmp_path / "fw.tar")
    assert (code, out) == (21, f"{B} came\n{A} is damaged in the bundle, and was not taken\n")


def test_a_bundle_that_lacks_a_file_is_exit_21(shelf: FirmwareCache, tmp_path: Path) -> None:
    told("export", tmp_path / "fw.tar")
    content = (tmp_path / "fw.tar").read_bytes()
    end = content.index(f"blobs/sha256/{B}".encode())
    (tmp_path / "fw.tar").write_bytes(content[:end] + bytes(1024))
    code, out, _ = said("import", tmp_path / "fw.tar")
    assert (code, f"{B} is named by the bundle, and is not in it" in out) == (21, True)


def test_what_is_no_bundle_is_exit_21(tmp_path: Path) -> None:
    (tmp_path / "fw.tar").write_bytes(b"something else" * 100)
    code, out, _ = said("import", tmp_path / "fw.tar", "--json")
    assert (code, "the bundle is refused" in json.loads(out)["message"]) == (21, True)


def test_a_bundle_that_is_not_there_is_exit_22(tmp_path: Path) -> None:
    assert said("import", tmp_path / "none.tar")[0] == 22


def test_a_file_that_went_a_moment_ago_is_exit_2_with_what_would_bring_it() -> None:
    with pytest.raises(UsageError, match=f"{A} is not in the cache") as caught, cache._errors():
        raise NotCachedError(A)
    assert f"ble-ota cache export fw.tar {A[:12]}" in caught.value.hint


async def test_text_from_outside_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fw.bin").write_bytes(ONE)
    await cache.add(Common("cache add"), load(), tmp_path / "fw.bin", Known("a\x1b[2J", "1\r"))
    await cache.ls(Common("cache ls"), load())
    out = capsys.readouterr().out
    assert (sys.stdout.isatty(), "\x1b" in out, "\r" in out) == (False, False, False)

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked, PasswordDeleteError

from ble_ota.errors import StorageError
from ble_ota.model import Secret
from ble_ota.vault import FILE_MAX, FileVault, KeyringVault, LazyVault, MemoryVault, Vault, open_vault

X, Y = Secret("hunter2"), Secret("hunter3")


class Ring(KeyringBackend):
    """A keyring in memory."""

    priority = -1  # never chosen by itself

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def _unlocked(self) -> dict[tuple[str, str], str]:
        if self.locked:
            msg = "locked"
            raise KeyringLocked(msg)
        return self.kept

    def get_password(self, service: str, username: str) -> str | None:
        return self._unlocked().get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._unlocked()[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self._unlocked().pop((service, username), None) is None:
            raise PasswordDeleteError


@pytest.fixture
def ring() -> Iterator[Ring]:
    before, ring = keyring.get_keyring(), Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


@pytest.fixture(params=["file", "keyring", "memory"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    if request.param == "file":
        return FileVault(tmp_path / "state" / "secrets.json")
    if request.param == "memory":
        return MemoryVault()
    request.getfixturevalue("ring")
    return KeyringVault()


# ------------------------------------------------------------------ all vaults


def test_a_secret_comes_back(vault: Vault) -> None:
    vault.put("a", X)
    vault.put("b", Y)
    assert (vault.get("a"), vault.get("b")) == (X, Y)
    assert (vault.look("a"), vault.look("b")) == (X, Y)


def test_a_secret_is_replaced(vault: Vault) -> None:
    vault.put("a", X)
    vault.put("a", Y)
    assert vault.get("a") == Y


def test_what_was_never_kept_is_nothing(vault: Vault) -> None:
    assert vault.get("a") is vault.look("a") is None


def test_a_secret_is_forgotten_and_the_others_stay(vault: Vault) -> None:
    vault.put("a", X)
    vault.put("b", Y)
    vault.drop("a")
    assert (vault.get("a"), vault.get("b")) == (None, Y)


def test_forgetting_what_is_not_there_is_no_error(vault: Vault) -> None:
    vault.drop("a")


# ------------------------------------------------------------------ a keyring that hangs or breaks


class Hung(Ring):
    """One that waits for a person at another display."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.gate = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        self.gate.wait()
        return None


def test_a_keyring_that_hangs_is_given_up_and_not_asked_again(ring: Ring) -> None:
    keyring.set_keyring(hung := Hung())
    vault = KeyringVault(within_s=0.05)
    for _ in range(3):
        with pytest.raises(StorageError, match=r"did not answer within 0\.05 s") as caught:
            vault.look("a")
        assert "`keyring = false`" in caught.value.hint
    assert vault.get("a") is None
    assert hung.asked == 1
    hung.gate.set()


class Broken(Ring):
    """One whose connection breaks."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def _unlocked(self) -> dict[tuple[str, str], str]:
        raise self._error


CALLS: list[Callable[[Vault], object]] = [lambda v: v.look("a"), lambda v: v.put("a", X), lambda v: v.drop("a")]


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), RuntimeError("gone"), TimeoutError()])
def test_whatever_a_keyring_raises_is_its_own_error(ring: Ring, error: Exception) -> None:
    keyring.set_keyring(Broken(error))
    for call in CALLS:
        with pytest.raises(StorageError, match="the system keyring"):
            call(KeyringVault())


def test_a_vault_that_is_opened_later_is_opened_once(tmp_path: Path) -> None:
    opened = list[Vault]()

    def open_it() -> Vault:
        opened.append(FileVault(tmp_path / "secrets.json"))
        return opened[-1]

    vault = LazyVault(open_it)
    assert opened == []
    vault.put("a", X)
    assert (vault.get("a"), vault.look("a"), vault.where) == (X, X, str(tmp_path / "secrets.json"))
    vault.drop("a")
    assert (vault.get("a"), len(opened)) == (None, 1)


# ------------------------------------------------------------------ which one


def test_the_keyring_is_used_where_there_is_one(ring: Ring, tmp_path: Path) -> None:
    open_vault(tmp_path, use_keyring=True).put("a", X)
    assert ring.kept == {("ble-ota", "a"): "hunter2"}


@pytest.mark.parametrize("none", [fail.Keyring, null.Keyring])  # there is none; somebody has switched it off
def test_a_file_is_used_where_there_is_no_keyring(
    ring: Ring, tmp_path: Path, none: Callable[[], KeyringBackend]
) -> None:
    keyring.set_keyring(none())
    assert open_vault(tmp_path, use_keyring=True).where == str(tmp_path / "secrets.json")


def test_a_file_is_used_where_the_settings_say_so(ring: Ring, tmp_path: Path) -> None:
    open_vault(tmp_path, use_keyring=False).put("a", X)
    assert ring.kept == {}


# ------------------------------------------------------------------ the keyring


def test_a_locked_keyring_has_nothing(ring: Ring) -> None:
    KeyringVault().put("a", X)
    ring.locked = True
    assert KeyringVault().get("a") is None


def test_a_locked_keyring_cannot_say_that_it_has_nothing(ring: Ring) -> None:
    ring.locked = True
    with pytest.raises(StorageError) as caught:
        KeyringVault().look("a")
    assert "keyring = false" in caught.value.hint


def test_a_locked_keyring_that_is_to_keep_is_named_and_the_secret_not_shown(ring: Ring) -> None:
    ring.locked = True
    with pytest.raises(StorageError) as caught:
        KeyringVault().put("a", X)
    assert "keyring = false" in caught.value.hint
    assert "hunter2" not in str(caught.value)


def test_a_locked_keyring_that_is_to_forget_is_named(ring: Ring) -> None:
    ring.locked = True
    with pytest.raises(StorageError):
        KeyringVault().drop("a")


# ------------------------------------------------------------------ the file


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        FileVault(tmp_path / "s.json").put("a", X)
    finally:
        os.umask(before)
    assert (tmp_path / "s.json").stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_could_read_is_replaced_by_one_they_cannot(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("{}")
    (tmp_path / "s.json").chmod(0o644)
    FileVault(tmp_path / "s.json").put("a", X)
    assert (tmp_path / "s.json").stat().st_mode & 0o777 == 0o600


def test_the_file_is_replaced_and_not_written_over(tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "s.json")
    vault.put("a", X)
    with (tmp_path / "s.json").open() as earlier:
        vault.put("a", Y)
        assert json.load(earlier) == {"a": "hunter2"}


def test_a_write_that_fails_leaves_the_file_and_no_scrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = FileVault(tmp_path / "s.json")
    vault.put("a", X)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        vault.put("a", Y)
    assert vault.get("a") == X
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.json", "s.lock"]


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"a": "' + b"x" * FILE_MAX + b'"}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.json").write_bytes(content)
    with pytest.raises(StorageError) as caught:
        FileVault(tmp_path / "s.json").get("a")
    assert "ble-ota login" in caught.value.hint


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', '{"a": ""}'])
def test_what_is_no_secret_is_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.json").write_text(content)
    assert FileVault(tmp_path / "s.json").get("a") is None


def test_what_a_killed_writer_left_goes_with_the_next_change(tmp_path: Path) -> None:
    (tmp_path / "s.tmp").write_text('{"a": "hunter2"}')
    FileVault(tmp_path / "s.json").put("b", Y)
    assert not (tmp_path / "s.tmp").exists()


# ------------------------------------------------------------------ the file, and other processes

WRITER = """
import sys
from pathlib import Path
from ble_ota.model import Secret
from ble_ota.vault import FileVault
vault = FileVault(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for n in range(200):
    vault.put(f"{sys.argv[2]}{n}", Secret(str(n)))
    vault.drop(f"{sys.argv[2]}{n - 1}" if n % 2 else "none")
"""

HOLDER = """
import sys
from pathlib import Path
from ble_ota.vault import FileVault
with FileVault(Path(sys.argv[1]))._changing():
    print("ready", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def processes(program: str, *arguments: tuple[str, ...]) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that have started and wait for a line."""
    with ExitStack() as running:
        started = [
            running.enter_context(subprocess.Popen([sys.executable, "-c", program, *a], stdin=-1, stdout=-1, text=True))
            for a in arguments
        ]
        for process in started:
            running.callback(process.kill)
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started


def test_two_processes_lose_nothing_of_what_both_keep(tmp_path: Path) -> None:
    file = str(tmp_path / "s.json")
    with processes(WRITER, (file, "a"), (file, "b")) as writers:
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        assert [writer.wait(50) for writer in writers] == [0, 0]
    assert json.loads((tmp_path / "s.json").read_text()) == {f"{w}{n}": str(n) for w in "ab" for n in range(1, 200, 2)}


def test_a_change_waits_for_another_process_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.vault.WAIT_S", 0.1)
    vault = FileVault(tmp_path / "s.json")
    with (
        processes(HOLDER, (str(tmp_path / "s.json"),)),
        pytest.raises(StorageError, match="changed by another process"),
    ):
        vault.put("a", X)
    assert vault.get("a") is None


def test_a_lock_whose_holder_was_killed_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.vault.WAIT_S", 0)
    vault = FileVault(tmp_path / "s.json")
    with processes(HOLDER, (str(tmp_path / "s.json"),)) as (holder,):
        holder.kill()
        holder.wait(10)
        vault.put("a", X)
    assert vault.get("a") == X


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        FileVault(tmp_path / "state" / "s.json").put("a", X)


def test_to_forget_what_is_not_there_makes_no_folder(tmp_path: Path) -> None:
    FileVault(tmp_path / "state" / "s.json").drop("a")
    assert list(tmp_path.iterdir()) == []

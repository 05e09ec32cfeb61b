from __future__ import annotations

import errno
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ble_ota.errors import DeviceBusyError
from ble_ota.ledger import machine_lock as module
from ble_ota.ledger.machine_lock import PREFIX, HeldError, file_lock, is_free, key_of, machine_locked
from tests.ledger.words import process

KEY = "9F8E7D6C5B4A"
NAME = f"device p11/{KEY}"
NOBODY = 65534
HOLDS = """
import sys
from ble_ota.ledger.machine_lock import machine_locked
with machine_locked(*sys.argv[1:]):
    print("held", flush=True)
    sys.stdin.read()
"""
SQUATS = """
import os, socket, sys
if len(sys.argv) > 3:
    os.setuid(int(sys.argv[3]))
sockets = [socket.socket(socket.AF_UNIX) for _ in range(2)]
sockets[0].bind("\\0" + sys.argv[1])
if len(sys.argv) > 2:
    sockets[0].listen(int(sys.argv[2]))
    sockets[1].connect("\\0" + sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root starts a process as another")


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A place that no other test has."""
    return f"virtual:{tmp_path}"


def refused(place: str, name: str = NAME) -> str:
    """The words of the refusal."""
    with pytest.raises(DeviceBusyError) as busy, machine_locked(place, name):
        pass
    assert busy.value.exit_code == 12
    return str(busy.value)


# ------------------------------------------------------------------ on Linux


@linux
def test_the_refusal_names_process_and_user(place: str) -> None:
    with process(HOLDS, place, NAME) as child:
        user = rf"\S+ \(uid {os.getuid()}\)"
        assert re.fullmatch(rf"{NAME} is held on this machine by process {child.pid} of user {user}", refused(place))
        assert not is_free(place, NAME)


@linux
def test_a_killed_process_frees_the_lock_at_once(place: str) -> None:
    with process(HOLDS, place, NAME) as child:
        child.kill()
        child.wait(10)
        with machine_locked(place, NAME):
            pass


@linux
def test_the_lock_ends_with_its_block_and_with_an_error_in_it(place: str) -> None:
    for error in (KeyError, FileNotFoundError, HeldError):
        with pytest.raises(error), machine_locked(place, NAME):
            raise error
        assert is_free(place, NAME)


@linux
def test_a_process_that_holds_it_is_refused_it_a_second_time(place: str) -> None:
    with machine_locked(place, NAME):
        assert f"process {os.getpid()} " in refused(place)
        assert f"process {os.getpid()} " in refused(place)  # the first refusal has not let go of it


@linux
def test_other_places_and_other_devices_are_free(place: str) -> None:
    with machine_locked(place, NAME):
        assert is_free(f"{place}/other", NAME)
        assert is_free(place, f"{NAME}1")


@linux
def test_programs_that_are_started_meanwhile_do_not_inherit_it(place: str) -> None:
    wait = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with machine_locked(place, NAME):
        child = subprocess.Popen(wait, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline()  # it runs its own program
        assert is_free(place, NAME)
        child.communicate()


@linux
def test_no_user_reads_a_device_key_from_the_names(place: str) -> None:
    with machine_locked(place, NAME):
        (line,) = [line for line in Path("/proc/net/unix").read_text().splitlines() if key_of(place, NAME) in line]
    assert line.endswith(f" @{PREFIX[1:]}{key_of(place, NAME)}")
    assert re.fullmatch("[0-9a-f]{64}", key_of(place, NAME))
    assert KEY.lower() not in line.lower()


def test_a_name_of_any_characters_has_a_key() -> None:
    assert len({key_of("a", "b"), key_of("ab", ""), key_of("", "\0\udcff" + "x" * 9999)}) == 3


@linux
@root
def test_another_user_is_excluded_and_named(place: str) -> None:
    with process(SQUATS, PREFIX[1:] + key_of(place, NAME), "1", str(NOBODY)) as child:
        assert re.search(rf"by process {child.pid} of user .*{NOBODY}", refused(place))


@linux
@root
def test_another_network_namespace_is_not_excluded(place: str) -> None:
    """The limit that the module's documentation names; the state folder's lock is then the only one."""
    command = ["unshare", "--net", sys.executable, "-c", HOLDS, place, NAME]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True) as child:
        assert child.stdout is not None
        if child.stdout.readline() != "held\n":
            pytest.skip("this container may not make a network namespace")
        assert is_free(place, NAME)
        child.kill()


SQUATTERS = {"does not listen": [], "has a full queue": ["0"]}


@linux
@pytest.mark.parametrize("listens", SQUATTERS.values(), ids=SQUATTERS)
def test_a_foreign_socket_that_cannot_be_asked_counts_as_held(place: str, listens: list[str]) -> None:
    with process(SQUATS, PREFIX[1:] + key_of(place, NAME), *listens):
        assert refused(place) == f"{NAME} is held on this machine by another process"
    assert is_free(place, NAME)


@linux
def test_many_questions_do_not_hide_the_holder(place: str) -> None:
    with process(HOLDS, place, NAME) as child:
        for _ in range(200):
            assert not is_free(place, NAME)
        assert f"process {child.pid} " in refused(place)


@linux
def test_a_user_without_a_name_goes_by_number(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with process(HOLDS, place, NAME):
        assert refused(place).endswith(f" of user {os.getuid()}")


@linux
@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.ENOMEM])
def test_a_bind_that_is_refused_counts_as_held(place: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sandboxed(socket.socket):
        def bind(self, address: Any, /) -> None:
            raise OSError(number, os.strerror(number), address)

    monkeypatch.setattr(socket, "socket", Sandboxed)
    why = os.strerror(number)
    assert refused(place) == f"whether {NAME} is held by another process on this machine cannot be checked: {why}"
    assert not is_free(place, NAME)


@linux
def test_no_socket_to_be_had_counts_as_held(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def sandboxed(*_: Any) -> None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(socket, "socket", sandboxed)
    with pytest.raises(DeviceBusyError, match="cannot be checked: Address family not supported") as busy:
        machine_locked(place, NAME).__enter__()
    assert "sandbox" in busy.value.hint


@linux
def test_what_is_shown_of_a_name_is_clean(place: str) -> None:
    with machine_locked(place, "a\x1b[31mb"):
        assert refused(place, "a\x1b[31mb").startswith("a[31mb is held")


# ------------------------------------------------------------------ elsewhere: a file, tried on Linux


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all users, as on a system without abstract sockets."""
    folder = tmp_path / "shared" / "locks"
    monkeypatch.setattr(module, "_lock", partial(file_lock, folder))
    return folder


HOLDS_FILE = """
import sys
from pathlib import Path
from ble_ota.ledger.machine_lock import file_lock
with file_lock(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_file_excludes_and_dies_with_its_process(shared: Path, place: str) -> None:
    with process(HOLDS_FILE, str(shared), key_of(place, NAME)) as child:
        assert refused(place) == f"{NAME} is held on this machine by another process"
        child.kill()
        child.wait(10)
        assert is_free(place, NAME)


def test_a_file_is_not_reentrant_and_ends_with_its_block(shared: Path, place: str) -> None:
    with machine_locked(place, NAME):
        assert not is_free(place, NAME)
        assert is_free(place, "another")
    assert is_free(place, NAME)
    assert len(list(shared.iterdir())) == 2


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_folder_and_file_are_open_to_all_users_whatever_the_umask(shared: Path, place: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert is_free(place, NAME)
    finally:
        os.umask(before)
    (file,) = shared.iterdir()
    assert [stat.S_IMODE(p.stat().st_mode) for p in (shared, file)] == [0o1777, 0o666]
    assert file.name == f"{key_of(place, NAME)}.lock"


def blocked_by_a_link(shared: Path, file: Path) -> None:
    shared.mkdir(parents=True)
    (shared / "victim").write_text("mine")
    file.symlink_to(shared / "victim")


def folder_is_a_link(shared: Path, _file: Path) -> None:
    (shared.parent / "elsewhere").mkdir(parents=True)
    shared.symlink_to(shared.parent / "elsewhere")


def folder_is_a_file(shared: Path, _file: Path) -> None:
    shared.parent.mkdir(parents=True)
    shared.touch()


def file_is_a_folder(_shared: Path, file: Path) -> None:
    file.mkdir(parents=True)


HARMS: list[Callable[[Path, Path], None]] = [
    blocked_by_a_link,
    folder_is_a_link,
    folder_is_a_file,
    file_is_a_folder,
]


@pytest.mark.parametrize("harm", HARMS)
def test_a_file_that_cannot_be_opened_counts_as_held(
    shared: Path, place: str, harm: Callable[[Path, Path], None]
) -> None:
    harm(shared, shared / f"{key_of(place, NAME)}.lock")
    assert "cannot be checked" in refused(place)
    assert not is_free(place, NAME)
    assert not list(shared.parent.glob("elsewhere/*"))


AS_NOBODY = """
import os, sys
from pathlib import Path
from ble_ota.ledger.machine_lock import HeldError, file_lock
os.setgid(65534); os.setuid(65534)
try:
    with file_lock(Path(sys.argv[1]), sys.argv[2]):
        print("free")
except HeldError:
    print("held")
except OSError as error:
    print(error.strerror)
"""


@root
@pytest.mark.parametrize("mode", [None, 0o600])
def test_another_user_uses_the_same_file_or_is_refused(tmp_path: Path, mode: int | None) -> None:
    folder = Path("/var/tmp") / f"ble-ota-test-{os.getpid()}"  # noqa: S108 -- pytest's folders are closed to other users
    command = [sys.executable, "-c", AS_NOBODY, str(folder), "key"]

    def asked() -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    try:
        with file_lock(folder, "key"):
            assert asked() == "held"
        assert asked() == "free"
        if mode is not None:
            (folder / "key.lock").chmod(mode)
            assert asked() == "Permission denied"
    finally:
        (folder / "key.lock").unlink()
        folder.rmdir()


def test_the_form_goes_by_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[str] = []

    def form(name: str) -> Callable[..., AbstractContextManager[None]]:
        @contextmanager
        def lock(*where: object) -> Iterator[None]:
            tried.append(" ".join([name, *map(str, where)]))
            yield

        return lock

    monkeypatch.setattr(module, "socket_lock", form("socket"))
    monkeypatch.setattr(module, "file_lock", form("file"))
    monkeypatch.setenv("PROGRAMDATA", str(tmp_path))
    for system in ("linux", "darwin", "win32"):
        monkeypatch.setattr(sys, "platform", system)
        assert is_free("a", "b")
    key = key_of("a", "b")
    assert tried == [f"socket {key}", f"file /var/tmp/ble-ota {key}", f"file {tmp_path}/ble-ota/locks {key}"]

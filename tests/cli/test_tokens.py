from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from ble_ota.cli.common import Common
from ble_ota.cli.session import login_of
from ble_ota.cli.tokens import VaultTokens, _taken, tokens_name, tokens_of
from ble_ota.cli.wiring import vault_of
from ble_ota.cloud import Tokens
from ble_ota.errors import StorageError
from ble_ota.model import Secret
from ble_ota.settings import Settings, isolated
from ble_ota.vault import MemoryVault
from ble_ota.virtual.developer_center import Faults
from tests.cli.desk import Desk

COMMON = Common("whoami", no_input=True)
PAIR = Tokens(Secret("Bearer a"), 1000.5, Secret("Bearer r"), 2000.25)
NAME = "session of somebody"


def store(vault: MemoryVault, tmp_path: Path, account: str = "ann@example.com") -> VaultTokens:
    made = VaultTokens(vault, NAME, tmp_path / "sessions")
    made.account = account
    return made


# ------------------------------------------------------------------ under which name


def named(profile: str = "", **settings: object) -> str:
    plain = {"cloud": "eu", "user_domain": "C.DM.1.1", "email": "ann@example.com"}
    return tokens_name(Common("whoami", profile=profile), isolated(**{**plain, **settings}))


OTHERS: dict[str, Callable[[], str]] = {
    "cloud": lambda: named(cloud="cn"),
    "app": lambda: named(user_domain="C.DM.1.2"),
    "account": lambda: named(email="bob@example.com"),
    "profile": lambda: named("work"),
    "nobody": lambda: named(email=""),
    "nobody of a profile": lambda: named("work", email=""),
    "phone": lambda: named(email="", phone="1711"),
    "country": lambda: named(email="", phone="1711", country_code="49"),
    "a profile that looks like an account": lambda: named("ann@example.com", email=""),
}


def test_each_has_a_name_of_its_own() -> None:
    names = [named(), *(other() for other in OTHERS.values())]
    assert len(set(names)) == len(names)


def test_the_same_has_the_same_name_however_it_is_written() -> None:
    assert named() == named(cloud="https://iot-api.acceleronix.io/", phone="1711")
    assert named(email="", phone="1") == named(email="", phone="1", country_code="+86")


# ------------------------------------------------------------------ what is kept


def test_tokens_come_back(tmp_path: Path) -> None:
    vault = MemoryVault()
    store(vault, tmp_path).save(PAIR)
    assert store(vault, tmp_path).load() == PAIR


def test_dropped_tokens_do_not_come_back(tmp_path: Path) -> None:
    vault = MemoryVault()
    store(vault, tmp_path).save(PAIR)
    store(vault, tmp_path).drop()
    assert vault.get(NAME) is None


def test_whose_tokens_they_are_is_kept_with_them(tmp_path: Path) -> None:
    vault = MemoryVault()
    store(vault, tmp_path).save(PAIR)
    later = store(vault, tmp_path, "")
    assert (later.load(), later.account) == (PAIR, "ann@example.com")


def test_tokens_of_another_account_are_none(tmp_path: Path) -> None:
    vault = MemoryVault()
    store(vault, tmp_path, "bob@example.com").save(PAIR)
    assert store(vault, tmp_path).load() is None


def test_tokens_of_another_account_are_not_dropped(tmp_path: Path) -> None:
    vault = MemoryVault()
    store(vault, tmp_path, "bob@example.com").save(PAIR)
    store(vault, tmp_path).drop()
    assert vault.get(NAME) is not None


@pytest.mark.parametrize("kept", ["no json", "[]", "{}", '{"access": 1}', '{"account": "ann@example.com"}'])
def test_tokens_that_cannot_be_read_are_none(tmp_path: Path, kept: str) -> None:
    vault = MemoryVault()
    vault.put(NAME, Secret(kept))
    assert store(vault, tmp_path).load() is None


def test_a_vault_that_cannot_say_is_not_one_that_has_nothing(tmp_path: Path) -> None:
    class Locked(MemoryVault):
        def look(self, name: str) -> Secret | None:
            raise StorageError(name)

        def get(self, name: str) -> Secret | None:
            return None

    with pytest.raises(StorageError):
        store(Locked(), tmp_path).load()


# ------------------------------------------------------------------ one at a time

HOLDER = """
import asyncio, sys
from pathlib import Path
from ble_ota.cli.tokens import VaultTokens
from ble_ota.vault import MemoryVault
async def hold():
    async with VaultTokens(MemoryVault(), sys.argv[1], Path(sys.argv[2])).only_one():
        print("ready", flush=True)
        sys.stdin.readline()
        Path(sys.argv[2], "left").touch()
asyncio.run(hold())
"""


@asynccontextmanager
async def holder(tmp_path: Path) -> AsyncGenerator[Process, None]:
    """Another process that holds the lock."""
    process = await started(HOLDER, NAME, str(tmp_path / "sessions"))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def started(program: str, *arguments: str) -> Process:
    process = await create_subprocess_exec(
        *(sys.executable, "-c", program, *arguments), stdin=PIPE, stdout=PIPE, env=dict(os.environ)
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_the_lock_is_waited_for(tmp_path: Path) -> None:
    async with holder(tmp_path) as process:

        async def wait() -> bool:
            async with store(MemoryVault(), tmp_path).only_one():
                return (tmp_path / "sessions" / "left").exists()

        waiting = asyncio.create_task(wait())
        await process.communicate(b"end\n")
        assert await waiting


async def test_a_lock_whose_holder_was_killed_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ble_ota.cli.tokens.WAIT_S", 5)
    async with holder(tmp_path) as process:
        process.kill()
        await process.wait()
        async with store(MemoryVault(), tmp_path).only_one():
            assert caplog.records == []


async def test_who_waited_in_vain_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ble_ota.cli.tokens.WAIT_S", 0.2)
    async with holder(tmp_path) as process, store(MemoryVault(), tmp_path).only_one():
        assert process.returncode is None
        assert "going on without its lock" in caplog.text


async def test_two_stores_of_one_process_take_turns(tmp_path: Path) -> None:
    inside: list[int] = []

    async def turn() -> None:
        async with store(MemoryVault(), tmp_path).only_one():
            inside.append(1)
            assert len(inside) == 1
            await asyncio.to_thread(lambda: None)
            inside.pop()

    await asyncio.gather(*(turn() for _ in range(5)))


async def test_another_session_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.tokens.WAIT_S", 0)
    other = VaultTokens(MemoryVault(), "another", tmp_path / "sessions")
    async with store(MemoryVault(), tmp_path).only_one(), other.only_one():
        assert len(list((tmp_path / "sessions").glob("*.lock"))) == 2


async def test_a_folder_that_cannot_be_used_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "sessions").write_text("")
    async with store(MemoryVault(), tmp_path).only_one():
        assert "cannot be locked" in caplog.text


async def test_an_error_in_the_block_is_told_and_lets_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[FileLock] = []  # kept, or a lock that nobody lets go of would end with its object

    def noted(lock: FileLock) -> bool:
        taken.append(lock)
        return _taken(lock)

    monkeypatch.setattr("ble_ota.cli.tokens._taken", noted)
    with pytest.raises(FileNotFoundError):
        async with store(MemoryVault(), tmp_path).only_one():
            raise FileNotFoundError
    async with asyncio.timeout(10), holder(tmp_path):
        pass


async def test_a_wait_that_is_cancelled_leaves_the_lock_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taking, go_on = threading.Event(), threading.Event()

    def slow(lock: FileLock) -> bool:
        taking.set()
        go_on.wait(10)
        return _taken(lock)

    monkeypatch.setattr("ble_ota.cli.tokens._taken", slow)

    async def wait() -> None:
        async with store(MemoryVault(), tmp_path).only_one():
            raise AssertionError

    waiting = asyncio.create_task(wait())
    await asyncio.to_thread(taking.wait, 10)
    waiting.cancel()
    _, waits = await asyncio.wait([waiting], timeout=0.1)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert waits  # or the thread would take the lock when nobody lets go of it
    async with asyncio.timeout(10), holder(tmp_path):
        pass


# ------------------------------------------------------------------ several processes

CALLER = """
import asyncio, sys
from ble_ota.cli.common import Common
from ble_ota.cli.session import cloud_of
from ble_ota.cli.wiring import vault_of
async def call():
    common = Common("whoami", no_input=True)
    settings = common.settings()
    async with cloud_of(common, settings, vault_of(settings)) as center:
        print("ready", flush=True)
        sys.stdin.readline()
        for user in await asyncio.gather(*(center.who_am_i() for _ in range(3))):
            print(user.email)
asyncio.run(call())
"""


async def logged_in(settings: Settings, *, lives_s: float) -> VaultTokens:
    """A real session, whose access token is believed to live so long."""
    async with login_of(COMMON, settings, vault_of(settings)) as center:
        tokens = center.tokens
    assert tokens is not None
    kept = tokens_of(COMMON, settings, vault_of(settings))
    kept.load()
    kept.save(replace(tokens, access_expires_s=time.time() + lives_s))
    return kept


async def test_several_processes_renew_a_session_once(desk: Desk) -> None:
    kept = await logged_in(COMMON.settings(), lives_s=30)
    desk.center.faults = Faults(only="refreshToken", delay_s=0.3)  # long enough for all to want one
    callers = [await started(CALLER) for _ in range(4)]
    said = await asyncio.gather(*(caller.communicate(b"go\n") for caller in callers))
    assert [out.split() for out, _ in said] == [[desk.world.user.email.encode()] * 3] * 4
    assert len(desk.records("refresh")) == 1
    tokens = kept.load()
    assert tokens is not None
    assert tokens.access_expires_s > time.time() + 3600


async def test_a_renewal_goes_on_where_its_holder_was_killed(desk: Desk, tmp_path: Path) -> None:
    await logged_in(COMMON.settings(), lives_s=30)
    desk.center.faults = Faults(only="refreshToken", delay_s=60, times=1)
    first, second = await started(CALLER), await started(CALLER)
    assert first.stdin is not None
    first.stdin.write(b"go\n")
    await first.stdin.drain()
    async with asyncio.timeout(20):
        while not desk.records("refresh"):
            await asyncio.to_thread(desk.records, "refresh")
    first.kill()
    out, _ = await second.communicate(b"go\n")
    await first.communicate()
    assert out.split() == [desk.world.user.email.encode()] * 3
    assert len(desk.records("refresh")) == 2


async def test_what_is_kept_names_the_account_and_no_lock_file_holds_a_secret(desk: Desk, tmp_path: Path) -> None:
    await logged_in(COMMON.settings(), lives_s=30)
    (name, kept), *others = json.loads((tmp_path / "state" / "secrets.json").read_text()).items()
    assert name.startswith("session ")
    assert json.loads(kept)["account"] == desk.world.user.email
    assert others == []
    assert [f.read_bytes() for f in (tmp_path / "state" / "sessions").iterdir()] == [b""]

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from ble_ota.cli import ledger_head
from ble_ota.cli.common import Common
from ble_ota.cli.history import verify
from ble_ota.cli.journal import place_of
from ble_ota.cli.ledger_head import OFF, entry_name, keep_head, kept_head
from ble_ota.cli.wiring import vault_of
from ble_ota.ledger import Head, Ledger
from ble_ota.model import Secret
from ble_ota.settings import Settings, isolated
from ble_ota.vault import SERVICE
from tests.cli.desk import Desk
from tests.cli.left import given_up
from tests.ledger.words import started

JSON = Common("history verify", json=True)


class Ring(KeyringBackend):
    """A keyring in memory that does something first."""

    priority = -1  # never chosen by itself

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.upon_get: Callable[[], object] = lambda: None
        self.upon_set: Callable[[], object] = lambda: None

    def get_password(self, service: str, username: str) -> str | None:
        self.upon_get()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.upon_set()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> Iterator[Ring]:
    before, ring = keyring.get_keyring(), Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


@pytest.fixture
def settings(tmp_path: Path, ring: Ring) -> Settings:
    return isolated(state_dir=tmp_path / "state")


@pytest.fixture
async def ledger(settings: Settings) -> AsyncIterator[Ledger]:
    async with await Ledger.open(place_of(settings)) as opened:
        yield opened


async def head_of(ledger: Ledger) -> tuple[str, Head]:
    told = await ledger.head()
    assert told is not None
    return told


def fails(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


# ------------------------------------------------------------------ keeping


async def test_the_head_is_one_entry_of_the_vault_and_follows_the_ledger(
    settings: Settings, ledger: Ledger, ring: Ring
) -> None:
    heads = list[Head]()
    for n in range(3):
        await ledger.begin(started(f"run-{n}"))
        assert await keep_head(settings, ledger) == ""
        ledger_id, head = await head_of(ledger)
        heads.append(head)
        assert ring.kept == {(SERVICE, f"ledger head {ledger_id}"): str(head)}
        assert (await kept_head(settings, ledger_id)).head == head
    assert [h.count for h in heads] == [2, 3, 4]


async def test_each_ledger_has_an_entry_of_its_own(settings: Settings, ledger: Ledger, ring: Ring) -> None:
    await keep_head(settings, ledger)
    async with await Ledger.open("sqlite://") as other:
        await keep_head(settings, other)
    assert len(ring.kept) == 2


async def test_a_file_is_a_vault_too(settings: Settings, ledger: Ledger) -> None:
    by_file = settings.model_copy(update={"keyring": False})
    assert await keep_head(by_file, ledger) == ""
    kept = await kept_head(by_file, (await head_of(ledger))[0])
    assert (kept.head, kept.where) == ((await head_of(ledger))[1], str(settings.state_dir / "secrets.json"))


async def test_a_later_head_is_not_replaced_by_an_earlier_one(
    settings: Settings, ledger: Ledger, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = await head_of(ledger)
    await ledger.begin(started())
    await keep_head(settings, ledger)
    before = dict(ring.kept)
    monkeypatch.setattr(ledger, "head", lambda: asyncio.sleep(0, earlier))  # as a slow process saw it
    assert await keep_head(settings, ledger) == ""
    assert ring.kept == before


async def test_of_two_processes_at_once_the_later_head_stays(settings: Settings, ledger: Ledger, ring: Ring) -> None:
    """Between the look and the change another process has appended, and kept its head."""
    ledger_id, first = await head_of(ledger)
    await ledger.begin(started())
    second = (await head_of(ledger))[1]
    vault_of(settings).put(entry_name(ledger_id), Secret(str(second)))
    assert not ledger_head._replace(settings, entry_name(ledger_id), None, first)
    assert list(ring.kept.values()) == [str(second)]
    assert ledger_head._replace(settings, entry_name(ledger_id), second, second)


async def test_a_head_that_the_ledger_does_not_hold_is_left_as_the_witness(
    settings: Settings, ledger: Ledger, ring: Ring
) -> None:
    ledger_id, head = await head_of(ledger)
    for witness in (Head(head.count, "0" * 64), Head(99, head.hash)):
        ring.kept[SERVICE, entry_name(ledger_id)] = str(witness)
        why = await keep_head(settings, ledger)
        assert "has lost or changed what the system keyring tells of" in why
        assert list(ring.kept.values()) == [str(witness)]


async def test_an_entry_that_is_no_head_is_replaced(settings: Settings, ledger: Ledger, ring: Ring) -> None:
    ledger_id, head = await head_of(ledger)
    ring.kept[SERVICE, entry_name(ledger_id)] = "nonsense"
    assert "is not a head" in (await kept_head(settings, ledger_id)).why
    assert await keep_head(settings, ledger) == ""
    assert list(ring.kept.values()) == [str(head)]


async def test_settings_may_keep_none(settings: Settings, ledger: Ledger, ring: Ring) -> None:
    off = settings.model_copy(update={"ledger_head": False})
    assert await keep_head(off, ledger) == ""
    assert ring.kept == {}
    assert (await kept_head(off, "1")).why == OFF


BROKEN = [KeyringLocked("locked"), BrokenPipeError(32, "Broken pipe"), RuntimeError("gone"), OSError(5, "I/O")]


@pytest.mark.parametrize("error", BROKEN, ids=lambda e: type(e).__name__)
async def test_a_vault_that_breaks_is_a_sentence(
    error: BaseException, settings: Settings, ledger: Ledger, ring: Ring
) -> None:
    ring.upon_set = fails(error)
    assert (await keep_head(settings, ledger)).startswith("the head of the ledger is not kept: ")
    ring.upon_get = fails(error)
    assert (await keep_head(settings, ledger)).startswith("the head of the ledger is not kept: ")
    assert (await kept_head(settings, "1")).why


async def test_a_vault_that_hangs_is_left_alone_and_the_loop_goes_on(
    settings: Settings, ledger: Ledger, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_head, "ANSWER_S", 0.2)
    ever, turns = threading.Event(), list[int]()

    async def tick() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    for upon in ("upon_get", "upon_set"):
        ring.upon_get = ring.upon_set = lambda: None
        setattr(ring, upon, ever.wait)
        assert await keep_head(settings, ledger) == (
            "the head of the ledger is not kept: the vault has not answered in 0.2 s"
        )
    ticking.cancel()
    ever.set()
    assert len(turns) > 10


HANGS = """
import asyncio, sys, threading
from pathlib import Path
import keyring
from ble_ota.cli import ledger_head
from ble_ota.cli.ledger_head import keep_head
from ble_ota.ledger import Ledger
from ble_ota.settings import isolated
from tests.cli.test_ledger_head import Ring

ring = Ring()
ring.upon_get = threading.Event().wait
keyring.set_keyring(ring)
ledger_head.ANSWER_S = 0.2

async def main():
    async with await Ledger.open(Path(sys.argv[1]) / "ledger.db") as ledger:
        print(await keep_head(isolated(state_dir=Path(sys.argv[1])), ledger))

asyncio.run(main())
"""


def test_a_process_ends_though_its_vault_hangs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env=dict(os.environ))
    assert "has not answered" in done.stdout


# ------------------------------------------------------------------ as a run keeps it


async def verified(desk: Desk, head: str | None = None) -> tuple[int, Any]:
    from tests.cli.left import result, settings

    desk.capsys.readouterr()
    code = await verify(JSON, settings(), head=head)
    return code, result(desk)


async def test_a_run_keeps_the_head_after_its_reports(desk: Desk) -> None:
    assert await desk.update() == 0
    assert desk.told().names[-1] == "run.finished"
    code, data = await verified(desk)
    assert (code, data["kept"]["head"]) == (0, data["head"])


async def test_a_run_that_fails_keeps_it_too(desk: Desk) -> None:
    await given_up(desk)
    assert (await verified(desk))[1]["kept"]["head"] is not None


async def test_a_vault_that_fails_does_not_change_the_verdict(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bool:
        msg = "gone"
        raise RuntimeError(msg)

    monkeypatch.setattr(ledger_head, "_replace", broken)
    assert await desk.update() == 0
    told = desk.told()
    assert (told.names[-2:], told.last["verdict"]) == (["warning", "run.finished"], "PASS")
    assert told.lines[-2]["message"] == "the head of the ledger is not kept: RuntimeError of the vault"

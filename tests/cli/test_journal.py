from __future__ import annotations

import json
import os
import platform
import sys
from asyncio.subprocess import create_subprocess_exec
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.journal import Journal, journal_of, place_of, settings_source, who
from ble_ota.cli.liveness import is_dead, run_locked
from ble_ota.cli.run import Run
from ble_ota.errors import LinkLostError, StorageError
from ble_ota.events import DeviceVerified, PlanDecided, PlanShown, Warned
from ble_ota.ledger import Ledger, RunRow, Started
from ble_ota.model import Outcome, UpToDate
from ble_ota.settings import Settings, isolated
from ble_ota.target import Wanted

EARLY = f"early-{os.getpid()}"  # the lock of a run is the machine's, and tests run side by side
KEYS = {"product_key": "p", "device_key": "d", "address": "AA"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return isolated(state_dir=tmp_path, cloud="eu", radio="bleak", password="hunter2", device_secret="s3cret")


@pytest.fixture
async def ledger(settings: Settings) -> AsyncGenerator[Ledger, None]:
    async with await Ledger.open(place_of(settings)) as opened:
        yield opened


async def told(settings: Settings, job: Callable[[Run, Journal], Awaitable[None]], *, carries_on: str = "") -> str:
    """Do `job` in a run with a journal; give the run's id."""
    run = Run(Common("update", quiet=True), "update")

    async def whole() -> Outcome:
        journal = await journal_of(run, settings, Wanted(name="X"), {"allow_downgrade": True}, carries_on=carries_on)
        await job(run, journal)
        return UpToDate("")

    await run.tell(whole)
    return run.id


async def row_of(ledger: Ledger, run: str) -> RunRow:
    row = await ledger.run(run)
    assert row is not None
    return row


async def nothing(_run: Run, _journal: Journal) -> None:
    pass


async def test_a_run_stands_in_the_ledger_from_its_beginning(settings: Settings, ledger: Ledger) -> None:
    seen: list[RunRow] = []

    async def look(run: Run, _journal: Journal) -> None:
        seen.append(await row_of(ledger, run.id))

    await told(settings, look, carries_on="before")
    (row,) = seen
    assert row.open
    assert (row.command, row.asked, row.arguments) == (
        "update",
        "X",
        {"allow_downgrade": True, "config": "", "profile": ""},
    )
    assert (row.radio, row.cloud, row.who, row.pid) == ("bleak", "eu", who(), os.getpid())
    assert row.carries_on == "before"


async def test_no_secret_is_kept_with_the_settings(tmp_path: Path) -> None:
    values = {"password": "hunter2", "device_secret": "s3cret", "user_domain_secret": "pass-phrase"}
    secretive = isolated(state_dir=tmp_path, ledger=f"sqlite:///{tmp_path / 'other.db'}", **values)
    run = await told(secretive, nothing)
    async with await Ledger.open(place_of(secretive)) as ledger:
        kept = (await row_of(ledger, run)).settings
    assert {"password", "device_secret", "user_domain_secret", "ledger"} & kept.keys() == set()
    assert [v for v in values.values() if v in json.dumps(dict(kept))] == []
    assert kept["deadline_s"] == 3600


def test_the_ledger_lies_in_the_state_folder_unless_settings_say_otherwise(tmp_path: Path) -> None:
    assert place_of(isolated(state_dir=tmp_path)) == tmp_path / "ledger.db"
    assert place_of(isolated(ledger="postgresql://db/x")) == "postgresql://db/x"


async def test_what_was_told_is_written_with_what_must_be_written(settings: Settings, ledger: Ledger) -> None:
    counts: list[int] = []

    async def talk(run: Run, _journal: Journal) -> None:
        run.emit(Warned("one"))
        counts.append(len(await ledger.events(run.id)))
        await run.record(PlanDecided("approved", "ada"))
        counts.append(len(await ledger.events(run.id)))

    run = await told(settings, talk)
    assert counts == [0, 2]
    assert [e.name for e in await ledger.events(run)] == ["warning", "plan.decided"]


async def test_what_is_told_last_is_written_with_the_verdict(settings: Settings, ledger: Ledger) -> None:
    async def talk(run: Run, _journal: Journal) -> None:
        run.emit(Warned("last"))

    run = await told(settings, talk)
    assert [e.body["message"] for e in await ledger.events(run)] == ["last"]
    assert (await row_of(ledger, run)).ending is not None


SHOWN = PlanShown("7", [{"no": "A", "target_version": "2"}], "f" * 64, 99.0)


async def test_a_plan_is_kept_as_it_was_shown(settings: Settings, ledger: Ledger) -> None:
    async def talk(run: Run, _journal: Journal) -> None:
        await run.record(SHOWN)

    row = await row_of(ledger, await told(settings, talk))
    assert (row.plan_id, row.fingerprint) == ("7", "f" * 64)
    assert row.plan == {"components": [{"no": "A", "target_version": "2"}], "ends_at_s": 99.0}


@pytest.mark.parametrize(("decision", "by"), [("approved", "ada"), ("declined", ""), ("blocked", "")])
async def test_only_who_agreed_is_kept_as_having_agreed(
    settings: Settings, ledger: Ledger, decision: str, by: str
) -> None:
    async def talk(run: Run, _journal: Journal) -> None:
        await run.record(PlanDecided(decision, "ada"))

    assert (await row_of(ledger, await told(settings, talk))).approved_by == by


async def test_each_proof_adds_to_what_runs_afterwards(settings: Settings, ledger: Ledger) -> None:
    async def talk(run: Run, _journal: Journal) -> None:
        await run.record(DeviceVerified("A", "2", "device"))
        await run.record(DeviceVerified("B", "3", "device"))

    assert (await row_of(ledger, await told(settings, talk))).versions_after == {"A": "2", "B": "3"}


async def test_a_ledger_that_cannot_be_had_ends_the_run_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done: list[str] = []

    async def talk(run: Run, _journal: Journal) -> None:
        done.append(run.id)

    run = Run(Common("update", quiet=True), "update")
    with pytest.raises(StorageError):
        await journal_of(run, isolated(state_dir=tmp_path / "file"), Wanted(), {}, carries_on="")
    assert run.journal is None
    await told(isolated(state_dir=tmp_path / "file"), talk)
    assert done == []


# ------------------------------------------------------------------ runs that died before they knew their device


async def dead_pid() -> int:
    process = await create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    return process.pid


async def begun(ledger: Ledger, *, pid: int, by: str = "", device: bool = False) -> None:
    await ledger.begin(Started(EARLY, "update", "X", {}, {}, "bleak", "eu", by or who(), pid, "1"))
    if device:
        await ledger.write(EARLY, [], KEYS)  # type: ignore[arg-type]


async def verdict_after_another(settings: Settings, ledger: Ledger) -> str | None:
    await told(settings, nothing)
    ending = (await row_of(ledger, EARLY)).ending
    return None if ending is None else f"{ending.verdict} {ending.reason}"


async def test_a_run_that_died_early_is_closed_as_killed(settings: Settings, ledger: Ledger) -> None:
    await begun(ledger, pid=await dead_pid())
    assert await verdict_after_another(settings, ledger) == "ABORTED killed"


async def test_a_run_that_lives_is_not_closed(settings: Settings, ledger: Ledger) -> None:
    with run_locked(EARLY):
        await begun(ledger, pid=os.getpid())
        assert await verdict_after_another(settings, ledger) is None
    assert await verdict_after_another(settings, ledger) == "ABORTED killed"


async def test_a_run_shows_that_it_lives_until_its_verdict_is_told(settings: Settings, ledger: Ledger) -> None:
    seen: list[bool] = []

    async def look(run: Run, _journal: Journal) -> None:
        seen.append(is_dead(await row_of(ledger, run.id)))

    run = await told(settings, look)
    assert seen == [False]
    with run_locked(run):
        pass  # it does no more


async def test_a_run_of_another_machine_is_not_closed(settings: Settings, ledger: Ledger) -> None:
    await begun(ledger, pid=await dead_pid(), by=f"ada@not-{platform.node()}")
    assert await verdict_after_another(settings, ledger) is None


async def test_a_run_that_knew_its_device_is_left_to_whoever_claims_that(settings: Settings, ledger: Ledger) -> None:
    await begun(ledger, pid=await dead_pid(), device=True)
    assert await verdict_after_another(settings, ledger) is None


async def test_a_run_that_fails_is_kept_with_its_error(settings: Settings, ledger: Ledger) -> None:
    async def talk(_run: Run, _journal: Journal) -> None:
        msg = "the link went away"
        raise LinkLostError(msg)

    ending = (await row_of(ledger, await told(settings, talk))).ending
    assert ending is not None
    assert (ending.verdict, ending.reason, ending.exit_code) == ("ERROR", "link_lost", 31)
    assert ending.message == "the link went away"


async def test_a_run_is_not_its_own_predecessor_though_the_clock_was_set_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_year_ago = psutil.Process().create_time() - 365 * 86400
    opens: Any = Ledger.open
    monkeypatch.setitem(opens.__kwdefaults__, "now", lambda: a_year_ago)
    run = await told(settings, nothing)
    async with await Ledger.open(place_of(settings)) as opened:
        ending = (await row_of(opened, run)).ending
    assert ending is not None
    assert ending.reason == "up_to_date"


def test_a_settings_file_is_kept_so_that_it_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = Common("update", config=Path("line.toml"), profile="line")
    assert settings_source(named) == {"config": str(tmp_path / "line.toml"), "profile": "line"}
    assert settings_source(Common("update")) == {"config": "", "profile": ""}


# ------------------------------------------------------------------ the head of the ledger


@pytest.mark.parametrize(("stored", "count"), [(True, 1), (False, 0)])
async def test_only_a_ledger_that_took_the_verdict_is_asked_for_its_head(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, stored: bool, count: int
) -> None:
    """One that did not may hang, and would be waited for once more."""
    head, asked = ledger.head, list[int]()

    async def full(*_: object) -> None:
        msg = "the disk is full"
        raise StorageError(msg)

    async def counted(_self: Ledger) -> object:
        asked.append(1)
        return await head()

    monkeypatch.setattr(Ledger, "head", counted)
    if not stored:
        monkeypatch.setattr(Ledger, "finish", full)
    await told(settings, nothing)
    assert len(asked) == count

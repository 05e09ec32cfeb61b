from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ble_ota import __version__
from ble_ota.cli.app import app
from ble_ota.cli.common import Common
from ble_ota.cli.history import PAGE, export, listed, show, verify
from ble_ota.cli.journal import who
from ble_ota.errors import UsageError
from ble_ota.ledger import Ledger, Started
from tests.cli.desk import Desk
from tests.cli.left import given_up, result, settings

JSON, TEXT = Common("history", json=True), Common("history")
COMMON = ["--json", "--config", "--profile", "--verbose", "--quiet", "--log-file", "--no-input"]


async def data(desk: Desk, which: str, *, verbose: int = 0) -> Any:
    desk.capsys.readouterr()
    assert await show(replace(JSON, verbose=verbose), settings(), which) == 0
    return result(desk)


async def words(desk: Desk, which: str, *, verbose: int = 0) -> str:
    desk.capsys.readouterr()
    assert await show(replace(TEXT, verbose=verbose), settings(), which) == 0
    return desk.capsys.readouterr().out


# ------------------------------------------------------------------ show


async def test_a_device_answers_what_was_done_to_it(desk: Desk) -> None:
    """What was flashed, when, from which plan, with which digest, from which version, by whom, and how it went."""
    assert await desk.update() == 0
    told = desk.told()
    shown = next(line for line in told.lines if line["event"] == "plan.shown")
    digest = sha256(desk.world.firmware(desk.world.components[0].files[0])).hexdigest()
    (run,) = (await data(desk, desk.device.device_key))["in_full"]
    (component,) = run["components"]
    assert run["run"] == told.last["run"]
    assert (component["component"], component["from"], component["to"]) == ("MAIN", "1.0.0", "1.1.0")
    assert component["runs"] == "1.1.0"
    assert told.lines[0]["ts"][:16] == run["started_at"][:16]
    assert told.last["ts"][:16] == run["finished_at"][:16]
    assert run["plan"] == shown["plan"]
    assert component["files"][0]["digests"] == [f"sha256:{digest}"]
    assert component["sent"] == [f"sha256:{digest}"]
    assert (run["who"], run["approved_by"], run["tool"]) == (who(), "--yes", __version__)
    assert (run["verdict"], run["reason"], run["ending"]["message"]) == ("PASS", "verified", told.last["message"])
    assert (run["ending"]["bytes_sent"], run["ending"]["bytes_resent"]) == (2000, 0)
    assert run["ending"]["seconds"].keys() >= {"identify", "transfer", "reboot", "verify"}
    assert (run["radio"], run["cloud"]) == (f"virtual:{desk.world.folder}", desk.url)
    assert [(r["outcome"], r["state"]) for r in run["reports"]] == [("confirmed", "sent"), ("succeeded", "sent")]


async def test_the_same_stands_in_the_words_for_people(desk: Desk) -> None:
    assert await desk.update() == 0
    told = desk.told()
    shown = next(line for line in told.lines if line["event"] == "plan.shown")
    said = await words(desk, desk.device.device_key)
    wanted = [
        told.last["run"],
        f"{desk.world.product_key}/{desk.device.device_key} {desk.device.name} {desk.device.address}",
        f"plan        {shown['plan']} (agreed to: --yes)",
        "MAIN 1.0.0 -> 1.1.0 (full, module); proven: it runs 1.1.0",
        f"2000 bytes, {shown['components'][0]['files'][0]['digests'][0]}",
        f"by          {who()}, with ble-ota {__version__}",
        f"over        radio virtual:{desk.world.folder}, cloud {desk.url}",
        "PASS (verified, exit 0)",
        "sent        2000 bytes, 0 of them again",
        "transfer ",
        "MAIN succeeded  sent",
    ]
    assert [w for w in wanted if w not in said] == []


@pytest.mark.parametrize("by", ["device_key", "address", "name"])
async def test_a_device_goes_by_key_address_and_name(desk: Desk, by: str) -> None:
    await given_up(desk)
    assert len((await data(desk, getattr(desk.device, by)))["runs"]) == 1
    keys = f"{desk.world.product_key}/{desk.device.device_key}"
    assert len((await data(desk, keys))["runs"]) == 1


async def test_a_run_goes_by_its_id_or_its_beginning(desk: Desk) -> None:
    run = (await given_up(desk)).last["run"]
    assert (await data(desk, run))["run"] == (await data(desk, run[:5]))["run"] == run


async def test_a_device_with_nothing_new_still_answers_what_was_flashed(desk: Desk) -> None:
    await desk.update()
    await desk.update()
    told = await data(desk, desk.name)
    assert [r["verdict"] for r in told["runs"]] == ["NOTHING_TO_DO", "PASS"]
    assert [r["verdict"] for r in told["in_full"]] == ["NOTHING_TO_DO", "PASS"]


async def test_a_run_that_was_carried_on_is_told_with_its_chain(desk: Desk) -> None:
    first = (await given_up(desk)).last["run"]
    assert await desk.update(yes=False) == 0
    (run,) = (await data(desk, desk.name))["in_full"]
    assert [(r["run"], r["verdict"], r["reason"]) for r in run["carries_on"]] == [(first, "ERROR", "cloud_unreachable")]
    assert [(r["run"], r["outcome"]) for r in run["reports"]] == [(run["run"], "succeeded"), (first, "confirmed")]
    assert first in next(line for line in (await words(desk, run["run"])).splitlines() if "carries on" in line)


async def test_events_are_told_on_request_alone(desk: Desk) -> None:
    run = (await given_up(desk)).last["run"]
    assert "events" not in await data(desk, run)
    names = [e["event"] for e in (await data(desk, run, verbose=1))["events"]]
    assert names[:2] == ["link.connected", "plan.shown"]
    assert "plan.decided" not in await words(desk, run)
    assert "plan.decided  decision approved, why --yes" in await words(desk, run, verbose=1)


async def test_what_is_not_known_is_a_usage_error_with_a_hint(desk: Desk) -> None:
    with pytest.raises(UsageError, match="no run and no device nobody") as caught:
        await show(JSON, settings(), "nobody")
    assert "ble-ota history" in caught.value.hint


async def test_words_of_a_device_cannot_command_the_terminal(desk: Desk) -> None:
    await begun("evil", asked="x\x1b[2Jy")
    assert "\x1b" not in await words(desk, "evil")


# ------------------------------------------------------------------ list


async def begun(*names: str, asked: str = "X") -> None:
    """Runs that have begun, and no more."""
    async with await Ledger.open(settings().state_dir / "ledger.db") as ledger:
        for name in names:
            await ledger.begin(Started(name, "update", asked, {}, {}, "bleak", "eu", "ada@here", 1, "1"))


async def lists(desk: Desk, *, limit: int = 20, device: str | None = None) -> list[dict[str, Any]]:
    desk.capsys.readouterr()
    assert await listed(JSON, settings(), limit=limit, device=device) == 0
    found: list[dict[str, Any]] = result(desk)["runs"]
    return found


async def test_runs_are_listed_newest_first_and_no_more_than_asked_for(desk: Desk) -> None:
    await begun("run-1", "run-2", "run-3")
    assert [r["run"] for r in await lists(desk)] == ["run-3", "run-2", "run-1"]
    assert [r["run"] for r in await lists(desk, limit=1)] == ["run-3"]


async def test_runs_may_be_those_of_one_device(desk: Desk) -> None:
    run = (await given_up(desk)).last["run"]
    await begun("other")
    assert [r["run"] for r in await lists(desk, device=desk.device.device_key)] == [run]


async def test_a_run_is_a_line_for_people(desk: Desk) -> None:
    await desk.update()
    run = desk.told().last["run"]
    await listed(TEXT, settings(), limit=20, device=None)
    (line,) = desk.capsys.readouterr().out.splitlines()
    device = f"{desk.world.product_key}/{desk.device.device_key} {desk.device.name} {desk.device.address}"
    assert f"  {run}  update  {device}  MAIN 1.0.0 -> 1.1.0  PASS  " in line
    assert line.endswith(" s")


async def test_nothing_there_is_an_empty_list_and_a_sentence(desk: Desk) -> None:
    assert await lists(desk) == []
    await listed(TEXT, settings(), limit=20, device=None)
    await listed(TEXT, settings(), limit=20, device="X")
    assert desk.capsys.readouterr().out == "No run is in the ledger\nNo run is in the ledger of X\n"


# ------------------------------------------------------------------ export


async def exported(desk: Desk, device: str | None = None) -> Sequence[Any]:
    desk.capsys.readouterr()
    assert await export(TEXT, settings(), device=device) == 0
    lines = [json.loads(line) for line in desk.capsys.readouterr().out.splitlines()]
    assert {line["event"] for line in lines} <= {"result"}
    return [line["data"] for line in lines]


async def test_every_run_is_exported_with_its_events_and_settings(desk: Desk) -> None:
    run = (await given_up(desk)).last["run"]
    (only,) = await exported(desk)
    assert only["run"] == run
    assert "confirm.reported" in [e["event"] for e in only["events"]]
    assert only["settings"]["scan_s"] == 5


async def test_an_export_has_no_secret(desk: Desk) -> None:
    await given_up(desk)
    everything = json.dumps(await exported(desk))
    secrets = [desk.world.user.password, desk.world.user.user_domain_secret, desk.device.binding_code, "/oss/"]
    assert [s for s in secrets if s in everything] == []


async def test_an_export_goes_page_by_page_and_misses_none(desk: Desk) -> None:
    names = [f"run-{n:03}" for n in range(2 * PAGE + 1)]
    await begun(*names)
    assert [r["run"] for r in await exported(desk)] == names[::-1]


async def test_an_export_may_be_of_one_device(desk: Desk) -> None:
    run = (await given_up(desk)).last["run"]
    await begun("other")
    assert [r["run"] for r in await exported(desk, desk.name)] == [run]


async def test_an_empty_export_is_a_sentence_on_stderr(desk: Desk) -> None:
    await export(JSON, settings(), device=None)
    assert desk.capsys.readouterr() == ("", "No run is in the ledger\n")


# ------------------------------------------------------------------ verify


async def test_a_ledger_as_it_was_written_is_intact(desk: Desk) -> None:
    await given_up(desk)
    desk.capsys.readouterr()
    vault = str(settings().state_dir / "secrets.json")
    assert await verify(JSON, settings()) == 0
    data = result(desk)
    assert (data["intact"], data["faults"]) == (True, [])
    assert data["kept"] == {"where": vault, "head": data["head"], "why": ""}
    await verify(TEXT, settings())
    head = data["head"]
    assert desk.capsys.readouterr().out == f"The ledger is intact\nhead {head}\n{vault} has head {head}\n"


async def test_a_ledger_that_was_changed_is_not_to_be_trusted(desk: Desk) -> None:
    run = (await given_up(desk)).last["run"]
    with sqlite3.connect(settings().state_dir / "ledger.db") as database:
        database.execute("UPDATE run SET approved_by = 'the boss'")
    database.close()
    assert await verify(JSON, settings()) == 21
    told = result(desk)
    assert told["intact"] is False
    assert run in told["faults"][0]
    await verify(TEXT, settings())
    assert run in desk.capsys.readouterr().out


# ------------------------------------------------------------------ verify, and a head that is kept elsewhere


async def verified(desk: Desk, head: str | None = None) -> tuple[int, Any]:
    desk.capsys.readouterr()
    code = await verify(JSON, settings(), head=head)
    return code, result(desk)


def delete(*tables: str, where: str = "1") -> None:
    with closing(sqlite3.connect(settings().state_dir / "ledger.db")) as database, database:
        for table in tables:
            database.execute(f"DELETE FROM {table} WHERE {where}")  # noqa: S608


ROWS = ("event", "mark", "report", "run")


async def test_all_runs_that_were_deleted_are_found(desk: Desk) -> None:
    run = (await given_up(desk)).last["run"]
    delete(*ROWS)
    code, data = await verified(desk)
    assert (code, any(f"run {run} is missing" in fault for fault in data["faults"])) == (21, True)


async def test_a_ledger_that_was_emptied_is_found_without_a_head(desk: Desk) -> None:
    await given_up(desk)
    delete(*ROWS, "audit_log", "audit_head")
    code, data = await verified(desk)
    assert (code, data["faults"], data["head"]) == (21, ["the audit log has lost its head"], None)


def copies(into: str) -> Path:
    """The ledger's file, with nothing of it in the log beside it."""
    file = settings().state_dir / "ledger.db"
    shutil.copy(file, file.with_name(into))
    return file.with_name(into)


async def test_a_file_that_was_replaced_by_an_older_copy_is_found(desk: Desk) -> None:
    await given_up(desk)
    copy = copies("copy.db")
    await given_up(desk)
    copy.replace(copy.with_name("ledger.db"))
    code, data = await verified(desk)
    assert code == 21
    assert data["faults"] == [
        f"the audit log ends with entry {int(data['head'].partition(':')[0])}, and "
        f"{data['kept']['where']} tells of entry {data['kept']['head'].partition(':')[0]}"
    ]


async def test_a_head_that_fits_does_not_hide_one_that_does_not(desk: Desk) -> None:
    await given_up(desk)
    copy = copies("copy.db")
    fits = (await verified(desk))[1]["head"]
    await given_up(desk)
    copy.replace(copy.with_name("ledger.db"))
    assert (await verified(desk, fits))[0] == 21


async def test_a_run_over_an_older_copy_warns_and_does_not_hide_it(desk: Desk) -> None:
    await given_up(desk)
    copy = copies("copy.db")
    await desk.update()
    copy.replace(copy.with_name("ledger.db"))
    desk.told()
    await desk.update()
    assert any("has lost or changed what" in line.get("message", "") for line in desk.told().lines)
    assert (await verified(desk))[0] == 21


async def test_a_fresh_file_is_said_to_have_no_head_and_a_written_one_finds_it(desk: Desk) -> None:
    await given_up(desk)
    written = (await verified(desk))[1]["head"]
    (settings().state_dir / "ledger.db").unlink()
    code, data = await verified(desk)
    assert (code, data["kept"]["head"], data["kept"]["why"]) == (0, None, "")
    await verify(TEXT, settings())
    assert "has no head of this ledger, nothing to compare with" in desk.capsys.readouterr().out
    code, data = await verified(desk, written)
    assert (code, data["faults"]) == (
        21,
        [f"the audit log ends with entry 1, and `--head` tells of entry {written.partition(':')[0]}"],
    )


async def test_a_head_that_was_written_down_is_compared(desk: Desk) -> None:
    await given_up(desk)
    written = (await verified(desk))[1]["head"]
    await given_up(desk)
    assert (await verified(desk, written))[0] == 0  # a longer ledger is fine
    count, _, digest = written.partition(":")
    code, data = await verified(desk, f"{count}:{digest[::-1]}")
    assert (code, data["faults"]) == (21, [f"entry {count} of the audit log is not the one that `--head` tells of"])


async def test_what_is_no_head_is_a_usage_error_before_the_ledger_is_opened(desk: Desk) -> None:
    with pytest.raises(UsageError, match="COUNT:HASH"):
        await verify(JSON, settings(), head="12")
    assert not settings().state_dir.exists()


async def test_a_vault_that_cannot_be_asked_is_said_and_is_no_damage(desk: Desk) -> None:
    await given_up(desk)
    (settings().state_dir / "secrets.json").write_text("{")
    code, data = await verified(desk)
    assert (code, data["intact"], "cannot be read" in data["kept"]["why"]) == (0, True, True)
    await verify(TEXT, settings())
    assert "no head to compare with: the file of secrets" in desk.capsys.readouterr().out


# ------------------------------------------------------------------ the command line


def invoked(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


def test_history_alone_lists() -> None:
    assert invoked("history") == (0, "No run is in the ledger\n")
    assert '"command": "history list"' in invoked("history", "--json")[1]
    assert invoked("history", "--device", "X") == (0, "No run is in the ledger of X\n")


def test_history_of_something_else_is_a_usage_error() -> None:
    code, said = invoked("history", "fly")
    assert (code, "No such command 'fly'" in said) == (2, True)


@pytest.mark.parametrize("command", ["list", "show", "export", "verify"])
def test_every_command_takes_the_common_options(command: str) -> None:
    code, said = invoked("history", command, "--help")
    assert code == 0
    assert [option for option in COMMON if option not in said] == []


def test_the_help_of_history_names_its_commands() -> None:
    said = invoked("history", "--help")[1]
    assert [c for c in ("list", "show", "export", "verify") if f"\n  {c} " not in said] == []


def test_what_is_no_head_is_exit_2() -> None:
    assert invoked("history", "verify", "--head", "12")[0] == 2


def test_an_unknown_run_is_exit_2() -> None:
    assert invoked("history", "show", "nobody")[0] == 2

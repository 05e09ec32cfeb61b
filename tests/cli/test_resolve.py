from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from typer.testing import CliRunner

from ble_ota.cli.app import app
from ble_ota.cli.claims import FOLDER
from ble_ota.cli.common import Common
from ble_ota.cli.history import show, verify
from ble_ota.cli.journal import place_of, who
from ble_ota.cli.reports import send
from ble_ota.cli.resolve import resolve
from ble_ota.cli.resume import resume
from ble_ota.errors import DeviceBusyError, UsageError
from ble_ota.ledger import Changes, Ending, Ledger, Owner, RunRow, Started, claimed
from tests.cli.desk import Desk, person
from tests.cli.left import interrupted, reported, reports, result, rows, settings

JSON, TEXT = Common("reports resolve", json=True, no_input=True), Common("reports resolve")
MAIN = [{"component": "MAIN", "state": "unproven"}]


async def put(
    name: str, like: RunRow, *, components: Sequence[dict[str, str]] = MAIN, reason: str = "unproven", **known: Any
) -> str:
    """A run that carried `like` on, and ended so; "" leaves it open."""
    changes = {field: getattr(like, field) for field in ("product_key", "device_key", "address", "name", "plan_id")}
    changes |= {field: getattr(like, field) for field in ("plan", "fingerprint", "approved_by", "versions_before")}
    async with await Ledger.open(place_of(settings())) as ledger:
        arguments = known.pop("arguments", like.arguments)
        begun = Started(
            name, "update", "", arguments, {}, like.radio, like.cloud, "ada@here", os.getpid(), "1", like.id
        )
        await ledger.begin(begun)
        await ledger.write(name, [], Changes(**(changes | known)))  # type: ignore[typeddict-item]
        if reason:
            await ledger.finish(name, [], Ending("ERROR", reason, 35, components=list(components)))
    return name


async def unproven(desk: Desk, **how: Any) -> str:
    """A run that was confirmed, sent everything and did not see the device again."""
    await interrupted(desk)
    return await put("unproven-1", (await rows())[0], **how)


async def settled(desk: Desk, run: str, outcome: Any = "succeeded") -> tuple[int, Any]:
    desk.capsys.readouterr()
    code = await resolve(JSON, settings(), run, outcome, yes=True)
    return code, result(desk)


@pytest.mark.parametrize(("outcome", "number"), [("succeeded", 9), ("failed", 8)])
async def test_a_persons_word_is_kept_as_such_and_sent(desk: Desk, outcome: str, number: int) -> None:
    run = await unproven(desk)
    code, data = await settled(desk, run, outcome)
    (word,) = data["resolved"]
    assert (code, word["component"], word["outcome"], word["state"]) == (0, "MAIN", outcome, "kept")
    assert (word["resolved_by"], word["run"], word["plan_id"]) == (who(), run, (await rows())[0].plan_id)
    assert reported(desk) == [2]
    assert await send(JSON, settings()) == 0
    assert reported(desk) == [2, number]


async def test_it_is_never_shown_as_the_devices_proof(desk: Desk) -> None:
    run = await unproven(desk)
    await settled(desk, run)
    await send(JSON, settings())
    desk.capsys.readouterr()
    await show(Common("history show"), settings(), run)
    said = desk.capsys.readouterr().out
    assert f"settled     by a person's word: MAIN succeeded, by {who()}" in said
    assert f"MAIN succeeded by the word of {who()}  sent" in said
    assert "ERROR (unproven, exit 35)" in said
    assert [word for word in ("PASS", "proven: it runs") if word in said] == []
    await show(Common("history show", json=True), settings(), run)
    data = result(desk)
    assert (data["verdict"], data["versions_after"], data["components"][0]["runs"]) == ("ERROR", {}, None)
    assert [(w["component"], w["outcome"], w["by"]) for w in data["settled_by_person"]] == [
        ("MAIN", "succeeded", who())
    ]


async def test_a_settled_run_is_not_resumed(desk: Desk) -> None:
    run = await unproven(desk)
    await settled(desk, run)
    desk.capsys.readouterr()
    assert await resume(Common("resume", json=True, no_input=True), None) == 10
    assert await resume(Common("resume", json=True, no_input=True), run) == 10
    assert await desk.update(yes=False) == 2  # the next update asks again


async def test_the_word_is_in_the_audit_log(desk: Desk) -> None:
    await settled(desk, await unproven(desk))
    assert await verify(JSON, settings()) == 0
    kept = result(desk)["kept"]
    assert await verify(JSON, settings(), head=kept["head"]) == 0
    assert result(desk)["head"] == kept["head"]  # the vault was told of it


# ------------------------------------------------------------------ which components

PLAN = [("A", "verified"), ("B", "unproven"), ("C", "planned"), ("D", "unproven")]


@pytest.mark.parametrize(
    ("states", "after", "expected"),
    [
        (PLAN, {}, ["B", "D"]),
        ([("A", "verified"), ("B", "failed"), ("C", "planned")], {}, ["B", "C", "D"]),
        ([], {"B": "2"}, ["A", "C", "D"]),
        ([("Z", "unproven")], {}, ["A", "B", "C", "D"]),
    ],
)
async def test_the_components_that_are_open_are_settled(
    desk: Desk, states: list[tuple[str, str]], after: dict[str, str], expected: list[str]
) -> None:
    told = [{"component": no, "state": state} for no, state in states]
    plan = {"components": [{"no": no, "target_version": "2"} for no in "ABCD"], "ends_at_s": 5e9}
    _, data = await settled(desk, await unproven(desk, components=told, plan=plan, versions_after=after))
    assert [r["component"] for r in data["resolved"]] == expected
    assert {r["plan_ends_at"] for r in data["resolved"]} == {"2128-06-11T08:53:20.000Z"}


async def test_where_every_component_was_verified_there_is_nothing_to_settle(desk: Desk) -> None:
    run = await unproven(desk, versions_after={"MAIN": "1.1.0"})
    with pytest.raises(UsageError, match="every component of run unproven-1 was verified"):
        await settled(desk, run)


async def test_a_run_that_never_got_to_its_plan_is_settled_by_that_of_the_run_it_carried_on(desk: Desk) -> None:
    first = await unproven(desk)
    like = (await rows())[0]
    second = await put("unproven-2", like, components=[], plan={}, plan_id="", approved_by="")
    _, data = await settled(desk, second)
    assert [(r["run"], r["component"]) for r in data["resolved"]] == [(first, "MAIN")]
    assert await resume(Common("resume", json=True, no_input=True), None) == 10


async def test_the_word_is_of_the_account_that_confirmed(desk: Desk) -> None:
    run = await unproven(desk)
    account = (await reports())[0].account
    desk.set(email="somebody@else")
    _, data = await settled(desk, run)
    assert data["resolved"][0]["account"] == account


# ------------------------------------------------------------------ what cannot be settled


@pytest.mark.parametrize("reason", ["not_verified", "link_lost", "killed", ""])
async def test_only_an_unproven_run_is_settled(desk: Desk, reason: str) -> None:
    run = await unproven(desk, reason=reason)
    with pytest.raises(UsageError, match="only a run that ended unproven") as caught:
        await settled(desk, run)
    assert f"history show {run}" in caught.value.hint
    assert len(await reports()) == 1


async def test_an_unknown_run_is_a_usage_error(desk: Desk) -> None:
    with pytest.raises(UsageError, match="there is no run nobody"):
        await settled(desk, "nobody")


@pytest.mark.parametrize("again", ["succeeded", "failed"])
async def test_a_second_word_is_refused(desk: Desk, again: str) -> None:
    run = await unproven(desk)
    await settled(desk, run)
    with pytest.raises(UsageError, match=f"settled before: succeeded, by the word of {who()}"):
        await settled(desk, run, again)
    assert len(await reports()) == 2


async def test_a_run_that_was_followed_by_another_is_not_settled(desk: Desk) -> None:
    run = await unproven(desk)
    later = await put("unproven-2", (await rows())[0])
    with pytest.raises(UsageError, match=f"not the last one of its device: run {later}"):
        await settled(desk, run)
    assert (await settled(desk, later))[0] == 0


async def test_a_run_that_a_later_one_proved_is_not_settled(desk: Desk) -> None:
    run = await unproven(desk)
    assert await desk.update() == 0
    with pytest.raises(UsageError, match="a later run of its device has settled it"):
        await settled(desk, run)


async def test_a_run_from_a_file_has_nothing_to_report(desk: Desk) -> None:
    run = await unproven(desk, arguments={"file": "x.bin"})
    with pytest.raises(UsageError, match="no plan of the Developer Center"):
        await settled(desk, run)


async def test_a_device_that_another_run_is_at_work_on_is_left_alone(desk: Desk) -> None:
    run = await unproven(desk)
    row = (await rows())[0]
    owner = Owner(1, "update", "other", "ada@here", time.time())
    with (
        claimed(settings().state_dir / FOLDER, ["elsewhere"], [f"device {row.product_key}/{row.device_key}"], owner),
        pytest.raises(DeviceBusyError),
    ):
        await settled(desk, run)
    assert len(await reports()) == 1


async def test_a_run_that_another_one_settles_during_the_question_is_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await unproven(desk)

    def agreed(*_: object) -> bool:
        with closing(sqlite3.connect(settings().state_dir / "ledger.db")) as database, database:
            database.execute("UPDATE run SET verdict = 'PASS' WHERE id = 'unproven-1'")  # as a later run would
        return True

    monkeypatch.setattr("ble_ota.cli.resolve._agreed", agreed)
    with pytest.raises(UsageError, match="a later run of its device has settled it"):
        await resolve(JSON, settings(), run, "failed", yes=False)
    assert len(await reports()) == 1


# ------------------------------------------------------------------ the question


@pytest.mark.parametrize(("word", "code", "count"), [("y\n", 0, 2), ("n\n", 11, 1), ("\n", 11, 1)])
async def test_a_person_is_asked_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, word: str, code: int, count: int
) -> None:
    run = await unproven(desk)
    person(monkeypatch, word)
    assert await resolve(TEXT, settings(), run, "failed", yes=False) == code
    assert "MAIN (1.1.0): failed, by your word" in desk.capsys.readouterr().err
    assert len(await reports()) == count


async def test_where_nobody_can_be_asked_the_flag_is_named(desk: Desk) -> None:
    run = await unproven(desk)
    with pytest.raises(UsageError, match="cannot be taken back") as caught:
        await resolve(JSON, settings(), run, "failed", yes=False)
    assert "--yes" in caught.value.hint
    assert len(await reports()) == 1


@pytest.mark.parametrize("wrong", [["x"], ["x", "maybe"], ["x", "PASS"], []])
def test_what_cannot_be_meant_is_exit_2(wrong: list[str]) -> None:
    assert CliRunner().invoke(app, ["reports", "resolve", *wrong]).exit_code == 2


def test_the_command_line_reaches_it() -> None:
    done = CliRunner().invoke(app, ["reports", "resolve", "nobody", "succeeded", "--yes"])
    assert (done.exit_code, "there is no run nobody" in done.output) == (2, True)

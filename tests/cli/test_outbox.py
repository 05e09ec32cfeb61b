from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.journal import place_of
from ble_ota.cli.outbox import Sender, account_of, send_all, send_kept
from ble_ota.cli.session import session_of
from ble_ota.cli.wiring import vault_of
from ble_ota.errors import DeviceBusyError
from ble_ota.events import Event, ReportKept, StatusReported, Warned
from ble_ota.ledger import Changes, Ending, Ledger, Owner, Report, Started, claimed
from ble_ota.settings import isolated
from ble_ota.virtual.developer_center import Faults
from tests.cli.desk import Desk
from tests.cli.left import FORGETS, at, killed, new_firmware, reported, reports, settings, upon

REPORTS_FAIL = Faults(status=500, only="reportUpgradeStatus")


async def states() -> list[tuple[str, str]]:
    return [(r.outcome, r.state) for r in await reports()]


# ------------------------------------------------------------------ as a run has them


async def test_a_report_that_cannot_be_sent_is_kept_and_the_run_still_passes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    upon(monkeypatch, '"confirm.reported"', lambda: setattr(desk.center, "faults", REPORTS_FAIL))
    assert await desk.update() == 0
    told = desk.told()
    assert [(k["component"], k["outcome"]) for k in told.lines if k["event"] == "report.kept"] == [
        ("MAIN", "succeeded")
    ]
    assert await states() == [("confirmed", "sent"), ("succeeded", "kept")]
    assert told.names[-2:] == ["report.kept", "run.finished"]


async def test_a_kept_report_goes_with_the_next_update(desk: Desk) -> None:
    desk.unset("report_status__succeeded")
    await desk.update()
    desk.set(report_status__succeeded=9)
    assert await desk.update() == 10
    assert reported(desk) == [2, 9]
    assert await states() == [("confirmed", "sent"), ("succeeded", "sent")]


async def test_numbers_that_are_not_set_are_told_once(desk: Desk) -> None:
    desk.unset("report_status__succeeded")
    told = []
    for code in (0, 10, 10):
        assert await desk.update() == code
        told.append(desk.told().words.count("report_status.succeeded"))
    assert told == [1, 0, 0]
    assert [r.attempts for r in await reports()] == [0, 3]


async def test_a_report_of_another_plan_is_superseded_and_shown_why(desk: Desk) -> None:
    desk.unset("report_status__succeeded")
    await desk.update()
    desk.set(report_status__succeeded=9)
    new_firmware(desk, "1.2.0")
    await desk.update(yes=False)
    kept = (await reports())[1]
    assert (kept.outcome, kept.state) == ("succeeded", "superseded")
    assert kept.why.startswith("the device has another plan now: ")
    assert reported(desk) == [2]


async def test_a_failure_that_was_kept_is_reported_before_the_next_confirmation(desk: Desk) -> None:
    desk.unset("report_status__failed")
    desk.behaves(replace(FORGETS, declines=True))
    assert await desk.update() == 32
    desk.behaves(FORGETS)
    desk.set(report_status__failed=8)
    assert await desk.update() == 0
    assert reported(desk) == [2, 8, 2, 9]


async def test_after_the_next_confirmation_it_is_too_late(desk: Desk) -> None:
    desk.unset("report_status__failed")
    desk.behaves(replace(FORGETS, declines=True))
    assert await desk.update() == 32
    desk.behaves(FORGETS)
    assert await desk.update() == 0
    assert await states() == [
        ("confirmed", "sent"),
        ("failed", "superseded"),
        ("confirmed", "sent"),
        ("succeeded", "sent"),
    ]
    assert (await reports())[1].why == "a newer run of this device was confirmed"
    assert reported(desk) == [2, 2, 9]


async def test_a_confirmation_that_does_not_arrive_stops_the_run_before_the_first_byte(desk: Desk) -> None:
    desk.center.faults = REPORTS_FAIL
    assert await desk.update() == 20
    told = desk.told()
    assert "transfer.started" not in told.names
    assert "download.started" not in told.names
    assert await states() == [("confirmed", "dropped")]


async def test_a_confirmation_may_wait_where_settings_say_so(desk: Desk) -> None:
    desk.set(offline="queue")
    desk.center.faults = REPORTS_FAIL
    assert await desk.update() == 0
    told = desk.told()
    assert [k["outcome"] for k in told.lines if k["event"] == "report.kept"] == ["confirmed", "confirmed", "succeeded"]
    desk.center.faults = Faults()
    assert await desk.update() == 10
    assert reported(desk) == [2, 9]


async def test_a_number_that_is_not_known_does_not_wait_even_so(desk: Desk) -> None:
    desk.set(offline="queue")
    desk.set(report_status='{"confirmed": null, "succeeded": 9, "failed": 8}')
    assert await desk.update() == 3
    assert "transfer.started" not in desk.told().names


async def test_a_run_that_dies_while_it_confirms_confirms_again_and_once_in_effect(desk: Desk) -> None:
    desk.center.faults = Faults(delay_s=30, only="reportUpgradeStatus")
    await killed(desk, at("plan.decided"), FORGETS)
    desk.center.faults = Faults()
    assert await desk.update(yes=False) == 0
    assert [s for s in await states() if s[1] == "kept"] == []
    assert (await states())[-2:] == [("confirmed", "sent"), ("succeeded", "sent")]
    assert desk.center.status(desk.device.device_key, "MAIN") == 9


async def test_reports_that_take_too_long_are_told_as_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.run.AFTERWARDS_S", 0.3)
    slow = Faults(delay_s=20, only="reportUpgradeStatus")
    upon(monkeypatch, '"confirm.reported"', lambda: setattr(desk.center, "faults", slow))
    assert await desk.update() == 0
    told = desk.told()
    (kept,) = [k for k in told.lines if k["event"] == "report.kept"]
    assert (kept["outcome"], kept["why"]) == ("succeeded", "there was no time to send it")
    assert told.last["verdict"] == "PASS"


# ------------------------------------------------------------------ the sender by itself


@dataclass
class Post:
    """A sender with what it works on."""

    desk: Desk
    ledger: Ledger
    sender: Sender
    told: list[Event] = field(default_factory=list[Event])

    @property
    def device(self) -> tuple[str, str]:
        return self.desk.world.product_key, self.desk.device.device_key

    async def run(self, name: str, *, device: tuple[str, str] | None = None, radio: str = "") -> None:
        """A run that began now."""
        radio = radio or settings().radio
        await self.ledger.begin(Started(name, "update", "", {}, {}, radio, "x", "ada@here", 1, "1"))
        product_key, device_key = device or self.device
        known = Changes(product_key=product_key, device_key=device_key, fingerprint="f1")
        await self.ledger.write(name, [], known)

    async def keep(self, run: str, outcome: Any = "succeeded", **more: Any) -> int:
        given = {"account": self.sender.account, "plan_id": "", "component": "MAIN", "versions": {"": "1.0.0"}} | more
        product_key, device_key = given.pop("device", self.device)
        report = Report(run=run, outcome=outcome, product_key=product_key, device_key=device_key, **given)
        return await self.ledger.keep(report)

    async def became(self, number: int) -> tuple[str, str]:
        report = next(r for r in await self.ledger.reports() if r.id == number)
        return report.state, report.why


@asynccontextmanager
async def post(desk: Desk, run: str = "") -> AsyncGenerator[Post, None]:
    mine = settings()
    async with (
        await Ledger.open(place_of(mine)) as ledger,
        session_of(Common("reports send", no_input=True), mine, vault_of(mine)) as center,
    ):
        told: list[Event] = []
        yield Post(desk, ledger, Sender(center, ledger, account_of(mine), told.append, run), told)


async def plan_id(it: Post) -> str:
    await it.desk.update(yes=False)
    shown = next(line for line in it.desk.told().lines if line["event"] == "plan.shown")
    return str(shown["plan"])


async def test_reports_of_the_current_plan_are_sent_in_order(desk: Desk) -> None:
    async with post(desk) as it:
        current = await plan_id(it)
        await it.run("run-1")
        numbers = [await it.keep("run-1", o, plan_id=current) for o in ("failed", "succeeded")]
        await it.sender.send(it.device)
        assert [await it.became(n) for n in numbers] == [("sent", ""), ("sent", "")]
    assert reported(desk) == [8, 9]


async def test_a_plan_that_is_gone_is_too_late(desk: Desk) -> None:
    async with post(desk) as it:
        await it.run("run-1")
        number = await it.keep("run-1", plan_id="7", versions={"": "1.1.0"})
        await it.sender.send(it.device)
        assert await it.became(number) == ("superseded", "its plan is no longer there")


async def test_a_plan_that_is_over_is_too_late(desk: Desk) -> None:
    async with post(desk) as it:
        await it.run("run-1")
        late = await it.keep("run-1", "failed", plan_ends_at_s=time.time() - 1)
        soon = await it.keep("run-1", "succeeded", plan_ends_at_s=time.time() + 60)
        await it.sender.send(it.device)
        assert [await it.became(n) for n in (late, soon)] == [("superseded", "its plan is over"), ("sent", "")]


async def test_a_newer_confirmed_run_makes_it_too_late(desk: Desk) -> None:
    async with post(desk) as it:
        await it.run("run-1")
        number = await it.keep("run-1")
        await it.run("run-2")
        await it.ledger.settle(await it.keep("run-2", "confirmed"), "sent")
        await it.sender.send(it.device)
        assert await it.became(number) == ("superseded", "a newer run of this device was confirmed")
    assert reported(desk) == []


async def test_the_present_runs_plan_is_not_asked_for_again(desk: Desk) -> None:
    async with post(desk, "run-1") as it:
        await it.run("run-1")
        number = await it.keep("run-1", plan_id="7")
        await it.sender.send(it.device)
        assert await it.became(number) == ("sent", "")
    assert desk.records("plan.queried") == []


async def test_a_confirmation_that_nobody_meant_to_wait_is_not_sent(desk: Desk) -> None:
    async with post(desk) as it:
        await it.run("run-1")
        number = await it.keep("run-1", "confirmed")
        await it.sender.send(it.device)
        assert await it.became(number) == ("superseded", "its run ended before it was known to have arrived")


async def test_a_confirmation_that_waits_is_sent_once(desk: Desk) -> None:
    async with post(desk) as it:
        numbers: list[int] = []
        for run in ("run-1", "run-2"):
            await it.run(run)
            numbers.append(await it.keep(run, "confirmed"))
            await it.ledger.tried(numbers[-1], "no network")
        await it.sender.send(it.device)
        assert [await it.became(n) for n in numbers] == [
            ("sent", ""),
            ("superseded", "an earlier run has confirmed the same"),
        ]
    assert reported(desk) == [2]


async def test_one_that_does_not_arrive_lets_those_after_it_wait(desk: Desk) -> None:
    desk.unset("report_status__failed")
    async with post(desk) as it:
        await it.run("run-1")
        first, second = await it.keep("run-1", "failed"), await it.keep("run-1", "succeeded")
        await it.sender.send(it.device, since_s=0)
        assert [(await it.became(n))[0] for n in (first, second)] == ["kept", "kept"]
        assert "report_status.failed" in (await it.became(first))[1]
        assert [(e.outcome, "report_status.failed" in e.why) for e in it.told if isinstance(e, ReportKept)] == [
            ("failed", True),
            ("succeeded", True),
        ]
    assert reported(desk) == []


async def test_what_arrived_before_one_that_did_not_is_not_told_as_kept(desk: Desk) -> None:
    desk.unset("report_status__failed")
    async with post(desk) as it:
        await it.run("run-1")
        await it.keep("run-1", "succeeded")
        await it.keep("run-1", "failed")
        await it.sender.send(it.device, since_s=0)
        assert [(type(event), getattr(event, "outcome", "")) for event in it.told] == [
            (StatusReported, "succeeded"),
            (ReportKept, "failed"),
        ]


async def test_each_device_is_asked_once_for_its_own_plan(desk: Desk) -> None:
    """What was asked for one device says nothing about another, and an error is not remembered as an answer."""
    async with post(desk) as it:
        current, asked = await plan_id(it), len(desk.records("plan.queried"))
        await it.run("run-1")
        mine = [await it.keep("run-1", outcome, plan_id=current) for outcome in ("failed", "succeeded")]
        other = desk.world.product_key, "B0E0C0DEFFFF"  # the account does not have it any more
        await it.run("run-2", device=other)
        theirs = await it.keep("run-2", plan_id=current, device=other)
        await send_all(it.sender)
        assert [(await it.became(n))[0] for n in (*mine, theirs)] == ["sent", "sent", "kept"]
        assert "B0E0C0DEFFFF" in (await it.became(theirs))[1]
        assert len(desk.records("plan.queried")) == asked + 1


async def test_reports_of_another_account_or_device_are_left_alone(desk: Desk) -> None:
    async with post(desk) as it:
        await it.run("run-1")
        theirs = await it.keep("run-1", account="somebody else")
        elsewhere = await it.keep("run-1", component="other", device=("p", "elsewhere"))
        await it.sender.send(it.device)
        assert [(await it.became(n))[0] for n in (theirs, elsewhere)] == ["kept", "kept"]


async def test_what_the_present_run_reports_is_told_as_its_own_and_the_rest_as_what_was_left(desk: Desk) -> None:
    async with post(desk, "run-2") as it:
        await it.run("run-1")
        await it.keep("run-1", "failed")
        await it.run("run-2")
        row = await it.ledger.run("run-2")
        assert row is not None
        await it.keep("run-2", "succeeded")
        await it.sender.send(it.device, since_s=row.started_at_s)
        assert it.told == [
            Warned("reported what run run-1 had left: MAIN failed"),
            StatusReported("MAIN", "succeeded", 9),
        ]


async def test_after_a_run_only_its_devices_reports_are_sent(desk: Desk) -> None:
    async with post(desk, "run-2") as it:
        await it.run("run-1", device=("p", "elsewhere"))
        theirs = await it.keep("run-1", device=("p", "elsewhere"))
        await it.run("run-2")
        mine = await it.keep("run-2")
        await send_kept(it.sender)
        assert [(await it.became(n))[0] for n in (theirs, mine)] == ["kept", "sent"]


async def test_a_ledger_that_fails_afterwards_is_a_warning(desk: Desk) -> None:
    async with post(desk, "run-1") as it:
        await it.run("run-1")
        await it.keep("run-1")
        await it.ledger.transact(lambda c: c.exec_driver_sql("DROP TABLE report"))
        await send_kept(it.sender)
        (warned,) = it.told
        assert isinstance(warned, Warned)
        assert "was not sent" in warned.message


HERE, THERE = "state", "elsewhere"
PLACES = {
    "the same state folder, whatever place": (HERE, "nowhere", "is being updated by"),
    "the place of the radio that is set": (THERE, "world", "is held on this machine by process"),
    "the place of the run that is reported": (THERE, "past", "is held on this machine by process"),
    "the place of a run that has no report": (THERE, "present", "is held on this machine by process"),
}


@pytest.mark.parametrize(("folder", "place", "words"), PLACES.values(), ids=PLACES)
async def test_a_device_that_is_being_updated_is_left_to_that_run(
    desk: Desk, tmp_path: Path, folder: str, place: str, words: str
) -> None:
    async with post(desk) as it:
        it.sender.locking = settings()
        await it.run("run-1", radio=f"virtual:{tmp_path / 'past'}")
        await it.ledger.finish("run-1", [], Ending("ERROR", "link_lost", 31))
        await it.run("run-2", radio=f"virtual:{tmp_path / 'present'}")
        number = await it.keep("run-1")
        names = ["device {}/{}".format(*it.device)]
        places = [f"virtual:{tmp_path / place}"]
        with claimed(tmp_path / folder / "claims", places, names, Owner(1, "update", "r", "a", 1)):
            await send_all(it.sender)
            assert (await it.became(number))[0] == "kept"
            (told,) = it.told
            assert isinstance(told, Warned)
            assert words in told.message
        await send_all(it.sender)
        assert (await it.became(number))[0] == "sent"


async def test_a_device_is_claimed_while_its_reports_go(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async with post(desk) as it:
        it.sender.locking = settings()
        state = settings().state_dir
        await it.run("run-1")
        await it.keep("run-1")
        report = type(it.sender.center).report

        async def watched(*arguments: Any) -> int:
            with (
                pytest.raises(DeviceBusyError),
                claimed(
                    state / "claims",
                    [settings().radio],
                    ["device {}/{}".format(*it.device)],
                    Owner(1, "update", "r", "a", 1),
                ),
            ):
                pass
            return await report(*arguments)

        monkeypatch.setattr(type(it.sender.center), "report", watched)
        await send_all(it.sender)
    assert reported(desk) == [9]


def test_an_account_is_a_cloud_and_a_name() -> None:
    assert account_of(isolated(cloud="eu", email="a@b")) == "eu a@b"
    assert account_of(isolated(cloud="eu", phone="17")) == "eu 17"
    assert account_of(isolated(cloud="eu")) == "eu"

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.journal import place_of
from ble_ota.cli.update import patience_of, policy_of, update
from ble_ota.cloud import DeveloperCenter
from ble_ota.ledger import Ledger
from ble_ota.model import Approved, Consent, DeviceInfo, FetchPlan, Plan
from ble_ota.settings import isolated
from ble_ota.virtual.developer_center import Faults
from ble_ota.virtual.peripherals.quecthing import Habits
from ble_ota.virtual.world import World
from firmware_cache import FirmwareCache
from tests.cli.desk import Desk
from tests.cli.left import at, edit, killed, new_firmware, reported, settings, upon

# ------------------------------------------------------------------ the path itself


async def test_a_device_is_brought_up_to_date(desk: Desk) -> None:
    assert await desk.update() == 0
    assert b"".join(desk.boot.image("MAIN")) == desk.world.firmware(desk.world.components[0].files[0])
    last = desk.told().last
    assert (last["event"], last["verdict"], last["exit_code"], last["hint"]) == ("run.finished", "PASS", 0, "")
    assert last["components"] == [{"component": "MAIN", "state": "verified"}]


async def test_a_device_that_is_up_to_date_is_left_alone(desk: Desk) -> None:
    await desk.update()
    desk.told()
    assert await desk.update() == 10
    told = desk.told()
    assert (told.last["verdict"], told.last["reason"]) == ("NOTHING_TO_DO", "up_to_date")
    assert "transfer.started" not in told.names


async def test_unset_report_numbers_keep_the_report_and_still_pass(desk: Desk) -> None:
    desk.unset("report_status__succeeded")
    assert await desk.update() == 0
    told = desk.told()
    kept = [line for line in told.lines if line["event"] == "report.kept"]
    assert [(k["component"], k["outcome"]) for k in kept] == [("MAIN", "succeeded")]
    assert "report_status.succeeded" in told.words
    assert told.last["verdict"] == "PASS"


async def test_the_words_of_a_run_without_json_leave_stdout_empty(desk: Desk) -> None:
    assert await desk.update(json=False) == 0
    said = desk.capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith("PASS: the device runs MAIN 1.1.0\n")


async def test_what_the_device_does_not_say_the_developer_center_says(desk: Desk) -> None:
    desk.behaves(Habits(answers_version=False))
    assert await desk.update() == 35  # the Developer Center's word fills in what ran before, and proves nothing
    told = desk.told()
    assert (told.last["verdict"], told.last["reason"]) == ("ERROR", "unproven")
    assert told.last["components"] == [{"component": "MAIN", "state": "unproven"}]
    assert [r["reportStatus"] for r in desk.records("status.reported")] == [2]
    shown = next(line for line in told.lines if line["event"] == "plan.shown")
    assert shown["components"][0]["running"] == "1.0.0"
    assert "1.0.0 -> 1.1.0" in told.words


async def test_a_developer_center_that_does_not_say_what_runs_is_no_obstacle(desk: Desk) -> None:
    desk.center.faults = Faults(code=5000, only="getDeviceBusinessAttributes")
    assert await desk.update() == 0
    assert "warning" in desk.told().names


# ------------------------------------------------------------------ consent


async def test_nobody_to_ask_is_a_usage_error_that_names_the_flag(desk: Desk) -> None:
    assert await desk.update(yes=False) == 2
    last = desk.told().last
    assert (last["verdict"], last["reason"], last["exit_code"]) == ("ERROR", "usage", 2)
    assert "--yes" in last["hint"]
    assert desk.records("status.reported") == []


# ------------------------------------------------------------------ what the Developer Center may send

BAD_ANSWERS = {
    "a plan without digest": (Faults(plan_without_digest=True), 21, "trust"),
    "one flipped bit": (Faults(flip_bit_at=1000), 21, "trust"),
    "a wrong size": (Faults(plan_wrong_size=True), 21, "trust"),
    "a plan for another product": (Faults(plan_for_other_product=True), 21, "trust"),
    "HTML": (Faults(html=True, only="getFetchPlan"), 20, "cloud_answer"),
    "huge JSON": (Faults(huge_json_bytes=100_000_000, only="getFetchPlan"), 20, "cloud_answer"),
    "an unknown error code": (Faults(code=4711, only="getFetchPlan"), 20, "api"),
    "firmware that is not there": (Faults(status=404, only="/oss/"), 20, "cloud_unreachable"),
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
async def test_a_bad_answer_is_named_and_the_device_left_alone(desk: Desk, what: str) -> None:
    desk.center.faults, code, reason = BAD_ANSWERS[what]
    assert await desk.update() == code
    told = desk.told()
    assert (told.last["verdict"], told.last["reason"], told.last["exit_code"]) == ("ERROR", reason, code)
    assert told.last["message"]
    assert told.last["hint"] in told.words
    assert "transfer.started" not in told.names


async def test_a_downgrade_is_refused(desk: Desk) -> None:
    desk.center.faults = Faults(plan_downgrade=True)
    assert await desk.update() == 12
    last = desk.told().last
    assert (last["verdict"], last["reason"]) == ("REFUSED", "policy")
    assert "--allow-downgrade" in last["hint"]


async def test_control_characters_of_the_notes_are_not_shown(desk: Desk) -> None:
    desk.center.faults = Faults(plan_control_characters=True)
    assert await desk.update() == 0
    words = desk.told().words
    assert "everything" in words
    assert not {c for c in words if c in "\x1b\x07\x00\x85\r\u202e\u2066"}


async def test_a_cache_that_cannot_be_written_is_named(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    desk.set(cache_dir=tmp_path / "file")
    assert await desk.update() == 22
    assert desk.told().last["reason"] == "storage"


# ------------------------------------------------------------------ what the device may do

TROUBLE = {
    "declines": (Habits(declines=True), 32, "declined_by_device"),
    "cancels": (Habits(cancel_at=500), 32, "cancelled_by_device"),
    "finds the file bad": (Habits(fail_at_end=True), 32, "failed_by_device"),
    "boots its old version": (Habits(boots_old=True), 33, "not_verified"),
}


@pytest.mark.parametrize("what", TROUBLE)
async def test_a_device_in_trouble_is_a_failure_and_reported_as_one(desk: Desk, what: str) -> None:
    habits, code, reason = TROUBLE[what]
    desk.behaves(habits)
    assert await desk.update() == code
    told = desk.told()
    assert (told.last["verdict"], told.last["reason"], told.last["exit_code"]) == ("FAIL", reason, code)
    assert told.last["components"] == [{"component": "MAIN", "state": "failed"}]
    assert told.last["hint"]
    assert desk.center.status(desk.device.device_key, "MAIN") == 8


async def test_a_malformed_answer_is_no_failure_of_the_device(desk: Desk) -> None:
    desk.behaves(Habits(wrong_offset_at=500))
    assert await desk.update() == 32
    last = desk.told().last
    assert (last["verdict"], last["reason"]) == ("ERROR", "malformed")
    assert [r["reportStatus"] for r in desk.records("status.reported")] == [2]


async def test_a_reboot_that_takes_too_long_is_unproven_and_the_same_command_reports_success(desk: Desk) -> None:
    """It looks first: nothing is sent again, and no question is asked."""
    desk.set(reboot_s=1)
    desk.behaves(Habits(never_returns=True))
    assert await desk.update() == 35
    told = desk.told()
    assert (told.last["verdict"], told.last["reason"], told.last["bytes_sent"]) == ("ERROR", "unproven", 2000)
    assert [r["reportStatus"] for r in desk.records("status.reported")] == [2]
    desk.behaves(Habits())
    assert await desk.update(yes=False) == 0
    told = desk.told()
    assert (told.last["verdict"], told.last["bytes_sent"]) == ("PASS", 0)
    assert [r["reportStatus"] for r in desk.records("status.reported")] == [2, 9]


async def test_what_is_unproven_and_runs_something_else_is_sent_again_without_a_question(desk: Desk) -> None:
    desk.set(reboot_s=1)
    desk.behaves(Habits(never_returns=True, boots_old=True))
    assert await desk.update() == 35
    desk.told()
    desk.behaves(Habits())
    boot = desk.boot
    boot.drop(lambda _staged: True)  # the image was lost with its power: it runs what it ran
    assert await desk.update(yes=False) == 0
    told = desk.told()
    assert told.last["verdict"] == "PASS"
    assert "transfer.done" in told.names
    assert [r["reportStatus"] for r in desk.records("status.reported")] == [2, 9]


async def test_a_plan_that_ends_while_it_is_read_is_not_installed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [time.time()]
    real = DeveloperCenter.fetch_plan

    async def fetch_plan(self: DeveloperCenter, device: DeviceInfo) -> FetchPlan | None:
        found = await real(self, device)
        return None if found is None else replace(found, ends_at_s=clock[0] + 60)

    def consent(_common: Common, *, yes: bool) -> Consent:
        async def slow(plan: Plan) -> Approved:
            ends_at_s = plan.fetched.ends_at_s or 0.0
            monkeypatch.setattr("ble_ota.cli.update.time.time", lambda: ends_at_s + 1)
            return Approved(plan, f"a slow reader, yes={yes}")

        return slow

    monkeypatch.setattr(DeveloperCenter, "fetch_plan", fetch_plan)
    monkeypatch.setattr("ble_ota.cli.ask.consent", consent)
    assert await desk.update() == 12
    assert desk.told().last["message"] == "the plan is over"
    assert desk.records("status.reported") == []


@pytest.mark.looptime
async def test_a_device_that_falls_silent_is_named(desk: Desk) -> None:
    desk.behaves(Habits(silent_after=500))
    assert await desk.update() == 31
    last = desk.told().last
    assert (last["verdict"], last["reason"]) == ("ERROR", "device_silent")
    assert desk.center.status(desk.device.device_key, "MAIN") == 2  # a broken conversation is no verdict on the device


async def test_a_device_that_is_not_there_is_not_found(desk: Desk) -> None:
    desk.set(scan_s=0.5)
    assert await desk.update(device="C0:DE:B0:E0:00:99") == 30
    last = desk.told().last
    assert (last["verdict"], last["reason"]) == ("ERROR", "device_not_found")
    assert "C0:DE:B0:E0:00:99" in last["message"]


async def test_several_devices_that_fit_are_all_shown(desk: Desk, tmp_path: Path) -> None:
    two = World.create(tmp_path / "two", devices=2, size_bytes=10)
    desk.set(radio=f"virtual:{two.folder}")
    common = Common("update", json=True, no_input=True)
    assert await update(common, None, flags={}, yes=True, allow_downgrade=False) == 30
    last = desk.told().last
    assert last["reason"] == "device_ambiguous"
    assert all(d.address in last["message"] for d in two.devices)


# ------------------------------------------------------------------ settings of a run


async def test_settings_that_are_wrong_still_end_in_a_verdict(desk: Desk) -> None:
    desk.set(links="many")
    assert await desk.update() == 3
    told = desk.told()
    assert told.names == ["run.started", "run.finished"]
    assert (told.last["reason"], told.last["exit_code"]) == ("settings", 3)


async def test_a_controller_that_is_not_there_is_the_adapters_fault(desk: Desk) -> None:
    desk.set(radio="bumble:tcp-client:127.0.0.1:1")
    assert await desk.update() == 34
    assert desk.told().last["reason"] == "adapter"


async def test_the_deadline_of_the_settings_ends_the_run(desk: Desk) -> None:
    desk.behaves(Habits(silent_after=500))
    desk.set(deadline_s=1)
    assert await desk.update() == 124
    last = desk.told().last
    assert (last["verdict"], last["reason"]) == ("TIMEOUT", "deadline")
    assert "1 s" in last["message"]


def test_looks_after_a_reboot_are_no_further_apart_than_the_reboot_allows() -> None:
    assert patience_of(isolated(reboot_s=2)).look_again_s == 0.5
    assert patience_of(isolated()).look_again_s == 10


def test_a_flagged_yes_is_unattended() -> None:
    assert not policy_of(isolated(), allow_downgrade=False, attended=False).attended
    assert policy_of(isolated(accept_md5=True), allow_downgrade=False, attended=True).accept_md5


# ------------------------------------------------------------------ false success


@pytest.mark.parametrize(
    ("claims", "code", "verdict"),
    [("always", 10, "NOTHING_TO_DO"), ("announcement", 32, "ERROR"), ("success", 32, "ERROR")],
)
async def test_a_device_that_claims_the_target_without_a_byte_is_no_pass(
    desk: Desk, claims: str, code: int, verdict: str
) -> None:
    desk.behaves(Habits(claims_version="1.1.0", claims_version_after=claims, accepts_without_bytes=True))  # type: ignore[arg-type]
    assert await desk.update() == code
    assert desk.told().last["verdict"] == verdict
    assert desk.boot.versions["MAIN"] == "1.0.0"
    assert 9 not in [r["reportStatus"] for r in desk.records("status.reported")]


async def test_a_server_that_says_it_runs_is_no_proof_for_a_device_that_does_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier run had sent all of it and was killed; the device says nothing, and runs what it ran."""

    async def versions(*_: object) -> dict[str, str]:
        return {"": "1.1.0"}

    await killed(desk, at("transfer.done"), Habits(answers_version=False))
    monkeypatch.setattr("ble_ota.cloud.DeveloperCenter.versions", versions)
    assert await desk.update() == 35
    assert desk.told().last["reason"] == "unproven"
    assert 9 not in [r["reportStatus"] for r in desk.records("status.reported")]


CHANGED = {
    "to a lower version": (Faults(plan_downgrade=True), 12, "REFUSED"),
    "to another product": (Faults(plan_for_other_product=True), 21, "ERROR"),
    "to a plan without a digest": (Faults(plan_without_digest=True), 21, "ERROR"),
}


@pytest.mark.parametrize("what", CHANGED)
async def test_a_plan_that_changes_after_the_word_is_neither_confirmed_nor_sent(desk: Desk, what: str) -> None:
    faults, code, verdict = CHANGED[what]
    desk.center.faults = replace(faults, only="getFetchPlan", spares=1)
    assert await desk.update() == code
    told = desk.told()
    assert told.last["verdict"] == verdict
    assert [line["message"] for line in told.lines if line["event"] == "warning"]
    assert desk.records("status.reported") == desk.records("firmware.fetched") == []


async def test_a_size_that_changes_after_the_word_is_shown_before_it_counts(desk: Desk) -> None:
    desk.center.faults = Faults(plan_wrong_size=True, only="getFetchPlan", spares=1)
    assert await desk.update() == 21
    told = desk.told()
    sizes = [line["components"][0]["files"][0]["size"] for line in told.lines if line["event"] == "plan.shown"]
    assert sizes == [2000, 2001]
    assert "transfer.started" not in told.names


# ------------------------------------------------------------------ a confirmation, a clock, a device's words


async def test_a_confirmation_whose_answer_is_lost_is_sent_once_more(desk: Desk) -> None:
    desk.center.faults = Faults(lost_answer=True, only="reportUpgradeStatus", times=1)
    assert await desk.update() == 0
    assert [r["reportStatus"] for r in desk.records("status.reported")] == [2, 2, 9]


async def test_a_confirmation_whose_answer_is_lost_twice_moves_no_byte_and_the_same_command_carries_on(
    desk: Desk,
) -> None:
    desk.center.faults = Faults(lost_answer=True, only="reportUpgradeStatus")
    assert await desk.update() == 20
    assert "transfer.started" not in desk.told().names
    assert [r["reportStatus"] for r in desk.records("status.reported")] == [2, 2]  # taken, and not known to be
    desk.center.faults = Faults()
    assert await desk.update() == 0
    assert [r["reportStatus"] for r in desk.records("status.reported")] == [2, 2, 2, 9]


@pytest.mark.parametrize("fault", [Faults(status=409), Faults(status=404), Faults(code=5041)], ids=str)
async def test_a_confirmation_that_is_refused_moves_no_byte(desk: Desk, fault: Faults) -> None:
    desk.center.faults = replace(fault, only="reportUpgradeStatus")
    assert await desk.update() == 20
    told = desk.told()
    assert told.last["verdict"] == "ERROR"
    assert not {"download.started", "transfer.started"} & set(told.names)


@pytest.mark.parametrize("years", [-30, 30])
async def test_a_clock_that_is_wrong_by_years_is_no_obstacle(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    """Tokens look over, or good for ever; time-outs go by another clock. (Certificates are the system's affair.)"""

    def wrong() -> float:
        return right() + years * 365.25 * 86400

    right = time.time
    monkeypatch.setattr(time, "time", wrong)
    monkeypatch.setitem(DeveloperCenter.__init__.__kwdefaults__ or {}, "clock", wrong)
    monkeypatch.setitem(Ledger.__dict__["open"].__func__.__kwdefaults__, "now", wrong)
    assert await desk.update() == 0
    assert desk.told().last["verdict"] == "PASS"
    assert await desk.update() == 10


async def test_words_of_a_device_are_words_wherever_they_go(desk: Desk) -> None:
    """Into the terminal, the JSON and the ledger; nothing of them is a command there."""
    desk.behaves(Habits(claims_version="1'; DROP TABLE run;--=cmd()"))
    assert await desk.update() == 12
    told = desk.told()
    assert "1'; DROP TABLE run;--=cmd()" in told.last["message"]
    desk.behaves(Habits())
    assert await desk.update() == 0
    async with await Ledger.open(place_of(settings())) as ledger:
        assert [dict(row.versions_before) for row in await ledger.runs()] == [
            {"": "1.0.0"},
            {"": "1'; DROP TABLE run;--=cmd()"},
        ]


async def test_offline_takes_the_firmware_from_the_cache_alone(desk: Desk, tmp_path: Path) -> None:
    assert await desk.update(offline=True) == 22
    last = desk.told().last
    assert (last["verdict"], last["reason"]) == ("ERROR", "storage")
    assert "ble-ota cache import" in last["hint"]
    FirmwareCache(tmp_path / "cache").add(desk.world.firmware(desk.world.components[0].files[0]))
    assert await desk.update(offline=True) == 0
    assert desk.told().last["verdict"] == "PASS"
    assert desk.records("firmware.fetched") == []


async def test_firmware_that_changes_in_the_cache_is_not_sent_and_nothing_is_reported(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [file] = desk.world.components[0].files
    blob = tmp_path / "cache" / "v1" / "blobs" / "sha256" / file.sha256[:2] / file.sha256
    with monkeypatch.context() as meanwhile:
        upon(meanwhile, '"transfer.started"', lambda: edit(blob))
        assert await desk.update() == 21
    told = desk.told()
    assert (told.last["verdict"], told.last["reason"]) == ("ERROR", "trust")
    assert "has changed since it was verified" in told.last["message"]
    assert (told.last["bytes_sent"], desk.boot.image("MAIN")) == (0, ())
    assert reported(desk) == [2]
    assert await desk.update() == 0  # the damaged file goes to quarantine, and is fetched anew
    assert b"".join(desk.boot.image("MAIN")) == desk.world.firmware(file)


async def test_firmware_that_is_pruned_while_it_is_sent_is_sent_to_its_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spared: list[str] = []

    def prune() -> None:
        spared.extend(FirmwareCache(tmp_path / "cache").prune(0, 0).spared.values())

    upon(monkeypatch, '"transfer.started"', prune)
    assert await desk.update() == 0
    assert len(spared) == 1


async def test_a_plan_over_the_limit_is_refused_and_the_setting_named(desk: Desk) -> None:
    new_firmware(desk, "1.2.0", bytes(1_000_001))
    desk.set(plan_max_mb=1)
    assert await desk.update() == 12
    last = desk.told().last
    assert (last["verdict"], last["reason"], "plan_max_mb = 2" in last["hint"]) == ("REFUSED", "policy", True)
    assert desk.records("firmware.fetched") == []

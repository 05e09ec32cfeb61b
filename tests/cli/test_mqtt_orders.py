from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.mqtt_orders import NAMED_MAX, Word, check, said, say
from ble_ota.cli.mqtt_shown import Here
from ble_ota.cli.named import Named, Wish
from ble_ota.errors import ApiError, CloudError, CloudUnreachableError, UsageError
from ble_ota.mqtt import Action, Keys, Period, Ref
from ble_ota.virtual.developer_center import Faults, Habits, OnlineTerms
from tests.cli.desk import Desk, person, told
from tests.cli.online import DAY, NOW, QUICK, Center, keys, names, online, plan

JSON, TEXT = Common("mqtt confirm", json=True, no_input=True), Common("mqtt confirm", no_input=True)
ASKS = Common("mqtt confirm")
HOURS = Period(NOW + 3600, NOW + 3 * 3600)
FAILED = {"status": 3, "word": 1}


async def gives(center: Center, action: Action, *asked: Named, common: Common = JSON, yes: bool = True) -> int:
    word = Word(action, yes, HOURS if action is Action.APPOINT else None)
    return await said(common, center, asked, word, batch=50, clock=lambda: NOW)


def outcomes(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [one["outcome"] for one in told(*capsys.readouterr()).last["data"]["devices"]]


# ---------------------------------------------------------------- what is sent


@pytest.mark.parametrize("action", [Action.CONFIRM, Action.APPOINT, Action.CANCEL])
async def test_a_plan_that_waits_gets_the_word(action: Action) -> None:
    center = Center.of(plan(1))
    assert await gives(center, action, keys(1)) == 0
    assert [(o.ref, o.action) for o in center.given] == [(plan(1).ref, action)]
    assert center.given[0].appointment == (HOURS if action is Action.APPOINT else None)


async def test_a_plan_that_failed_is_retried() -> None:
    center = Center.of(plan(1, **FAILED))
    assert await gives(center, Action.RETRY, keys(1)) == 0
    assert [o.action for o in center.given] == [Action.RETRY]


async def test_a_failed_plan_that_is_not_offered_any_more_is_retried_by_its_last_id() -> None:
    center = Center({keys(1): None}, {keys(1): "7"}, [[plan(1, **FAILED)]])
    assert await gives(center, Action.RETRY, keys(1)) == 0
    assert center.given[0].ref == Ref(keys(1), "7")


@pytest.mark.parametrize("action", [Action.CANCEL, Action.RETRY])
async def test_a_plan_that_is_named_is_the_one_that_is_meant(action: Action) -> None:
    old = plan(1, status=3 if action is Action.RETRY else 0)
    center = Center({keys(1): plan(1)}, rounds=[[old]])
    center.plans[keys(1)] = None  # what the device has now does not matter
    assert await gives(center, action, Ref(keys(1), "7")) == 0


async def test_a_plan_that_the_platform_does_not_know_is_a_named_error() -> None:
    with pytest.raises(CloudError, match="knows no plan 8 of p22cLd/D0001") as caught:
        await gives(Center.of(plan(1)), Action.CANCEL, Ref(keys(1), "8"))
    assert (caught.value.exit_code, "mqtt plan" in caught.value.hint) == (20, True)


async def test_a_plan_that_has_been_replaced_is_not_confirmed(capsys: pytest.CaptureFixture[str]) -> None:
    center = Center.of(plan(1))
    assert await gives(center, Action.CONFIRM, Ref(keys(1), "6"), common=TEXT) == 12
    assert center.given == []
    assert "its plan is 7 now, not 6" in capsys.readouterr().out


async def test_a_device_named_by_keys_and_by_plan_gets_one_order() -> None:
    center = Center.of(plan(1))
    assert await gives(center, Action.CONFIRM, keys(1), Ref(keys(1), "7")) == 0
    assert len(center.given) == 1


@pytest.mark.parametrize(
    ("action", "state", "code"),
    [
        (Action.CONFIRM, {"status": 1}, 10),
        (Action.CONFIRM, {"status": 2}, 10),
        (Action.CONFIRM, {"status": 3}, 12),
        (Action.CONFIRM, {"period": Period(None, NOW - 1)}, 12),
        (Action.RETRY, {}, 12),
        (Action.CANCEL, {"status": 3}, 10),
    ],
)
async def test_what_makes_no_sense_is_not_sent(action: Action, state: dict[str, Any], code: int) -> None:
    center = Center.of(plan(1, **state))
    assert await gives(center, action, keys(1)) == code
    assert center.given == []


async def test_of_many_each_has_its_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    center = Center.of(plan(1), plan(2), plan(3, status=1), plan(5, status=3))
    center.refuses[keys(2)] = 5041, "No"
    center.plans[keys(6)] = ApiError(5052, "Not bound", doing="asking")
    assert await gives(center, Action.CONFIRM, *map(keys, range(1, 7))) == 40
    assert outcomes(capsys) == ["taken", "refused", "nothing-to-do", "no-plan", "blocked", "failed"]
    assert [o.ref.keys for o in center.given] == [keys(1), keys(2)]


async def test_a_refusal_of_one_device_is_the_networks_code(capsys: pytest.CaptureFixture[str]) -> None:
    center = Center.of(plan(1))
    center.refuses[keys(1)] = 5041, "No"
    assert await gives(center, Action.CONFIRM, keys(1), common=TEXT) == 20
    assert capsys.readouterr().out == "p22cLd/D0001: refused: 5041: No\n"


async def test_a_cloud_that_cannot_be_reached_is_one_error() -> None:
    gone = CloudUnreachableError("gone")
    with pytest.raises(CloudUnreachableError):
        await gives(Center({keys(1): gone, keys(2): gone}), Action.CONFIRM, keys(1), keys(2))


# ---------------------------------------------------------------- the question


async def answers(center: Center, action: Action, *asked: Keys, types: str, monkeypatch: pytest.MonkeyPatch) -> int:
    person(monkeypatch, types)
    return await gives(center, action, *asked, common=ASKS, yes=False)


@pytest.mark.parametrize(("word", "code", "sent"), [("y\n", 0, 1), ("n\n", 11, 0), ("\n", 11, 0)])
async def test_a_person_is_asked_first(monkeypatch: pytest.MonkeyPatch, word: str, code: int, sent: int) -> None:
    center = Center.of(plan(1))
    assert await answers(center, Action.CONFIRM, keys(1), types=word, monkeypatch=monkeypatch) == code
    assert len(center.given) == sent


async def test_a_cancel_says_that_it_cannot_be_undone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await answers(Center.of(plan(1), plan(2)), Action.CANCEL, keys(1), keys(2), types="n\n", monkeypatch=monkeypatch)
    assert "Cancel these 2 plans? This cannot be undone" in capsys.readouterr().err


async def test_the_question_counts_what_would_be_sent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    center = Center.of(plan(1), plan(2), plan(3, status=2))
    await answers(center, Action.CONFIRM, *map(keys, range(1, 5)), types="n\n", monkeypatch=monkeypatch)
    said = capsys.readouterr().err
    assert "2 other devices with no such plan\nConfirm these 2 plans?" in said
    assert "D0003" not in said


async def test_of_many_plans_some_are_shown_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    await gives(Center.of(*map(plan, range(25))), Action.CONFIRM, *map(keys, range(25)), common=TEXT)
    said = capsys.readouterr().err
    assert ("D0019" in said, "D0020" in said, "and 5 more" in said) == (True, False, True)


async def test_where_nobody_can_be_asked_the_flag_is_named() -> None:
    center = Center.of(plan(1))
    with pytest.raises(UsageError) as caught:
        await gives(center, Action.CONFIRM, keys(1), yes=False)
    assert ("--yes" in caught.value.hint, center.given) == (True, [])


async def test_nobody_is_asked_where_there_is_nothing_to_do() -> None:
    assert await gives(Center(), Action.CONFIRM, keys(1), yes=False) == 10


# ---------------------------------------------------------------- appointments


def test_an_appointment_within_all_periods_is_let_pass() -> None:
    check(HOURS, [plan(1), plan(2)], Here(NOW))


@pytest.mark.parametrize(
    ("wanted", "rule", "fits"),
    [
        (Period(NOW + 7200, NOW + 3600), "its end is not after its start", True),
        (Period(NOW + 3600, NOW + 7199), "shorter than one hour", True),
        (Period(NOW - 60, NOW + 7200), "begins in the past", True),
        (Period(NOW + DAY, NOW + 3 * DAY), "ends after the plan's period, 2026-11-17 ", True),
    ],
)
async def test_an_appointment_that_breaks_a_rule_is_refused_before_a_call(
    wanted: Period, rule: str, fits: bool
) -> None:
    center = Center.of(plan(1))
    with pytest.raises(UsageError, match=r"p22cLd/D0001") as caught:
        await said(JSON, center, [keys(1)], Word(Action.APPOINT, True, wanted), batch=50, clock=lambda: NOW)
    assert rule in str(caught.value)
    assert ("This fits: --start 2026-" in caught.value.hint) is fits
    assert center.given == []


async def test_one_device_whose_period_does_not_fit_stops_all_orders() -> None:
    center = Center.of(plan(1), plan(2, period=Period(NOW, NOW + 7200)))
    with pytest.raises(UsageError, match="D0002"):
        await gives(center, Action.APPOINT, keys(1), keys(2))
    assert center.given == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Period(NOW + DAY, None), Period(None, NOW + DAY + 7200)),
        (Period(NOW + DAY, NOW + 3 * DAY), Period(NOW + 2 * DAY, NOW + 2 * DAY + 7200)),
        (Period(NOW + 2 * DAY, NOW + 3 * DAY), Period(NOW + DAY, NOW + 2 * DAY + 7200)),
    ],
)
def test_what_is_suggested_fits_every_plan(first: Period, second: Period) -> None:
    plans = [plan(1, period=first), plan(2, period=second)]
    with pytest.raises(UsageError) as caught:
        check(HOURS, plans, Here(NOW))
    from ble_ota.cli.when import appointment

    _, _, _, start, _, end = caught.value.hint.split()
    check(appointment(start, end, now_s=NOW, zone=None), plans, Here(NOW))


def test_where_nothing_fits_all_of_them_groups_are_suggested() -> None:
    plans = [plan(1, period=Period(NOW + DAY, None)), plan(2, period=Period(None, NOW + DAY + 3599))]
    with pytest.raises(UsageError) as caught:
        check(HOURS, plans, Here(NOW))
    assert "in groups" in caught.value.hint


def test_where_the_period_is_nearly_over_no_appointment_is_suggested() -> None:
    with pytest.raises(UsageError) as caught:
        check(HOURS, [plan(1, period=Period(None, NOW + 600))], Here(NOW))
    assert "Less than an hour" in caught.value.hint


def test_a_sentence_names_some_devices_and_counts_the_others() -> None:
    with pytest.raises(UsageError, match=r"D0004 and 3 more\)"):
        check(Period(NOW + 60, NOW + 120), [plan(n) for n in range(NAMED_MAX + 3)], Here(NOW))


# ---------------------------------------------------------------- against a Developer Center


async def says(desk: Desk, action: Action, *numbers: int, appointment: Period | None = None) -> int:
    wish = Wish(tuple(Keys(*names(desk)[n].split("/")) for n in numbers), everything=not numbers)
    return await say(JSON, JSON.settings(), wish, Word(action, True, appointment))


async def test_the_developer_center_takes_each_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with online(tmp_path, capsys, monkeypatch, terms=OnlineTerms({"*": Habits(download_s=60)})) as desk:
        now = desk.world.folder.stat().st_mtime
        hours = Period(now + 3600, now + 3 * 3600)
        assert await says(desk, Action.APPOINT, 0, appointment=hours) == 0
        assert await says(desk, Action.CONFIRM, 1) == 0
        assert await says(desk, Action.CANCEL, 2) == 0
        assert await says(desk, Action.RETRY, 2) == 0
        keys = [d.device_key for d in desk.world.online]
        assert [desk.center.online(key).phase for key in keys] == ["waiting", "downloading", "downloading"]
        appointed = desk.center.online(keys[0]).appointment
        assert appointed is not None
        assert appointed.starts_ms == round(hours.start_s * 1000 if hours.start_s else 0)


async def test_a_partial_failure_is_told_per_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = OnlineTerms({"D0E0C0DE1002": Habits(refuses=(5041, "Device busy")), "*": QUICK})
    async with online(tmp_path, capsys, monkeypatch, terms=terms) as desk:
        assert await says(desk, Action.CONFIRM) == 40
        data = desk.told().last["data"]
        assert (data["taken"], data["refused"]) == (2, 1)
        assert [(d["code"], d["message"]) for d in data["devices"]][1] == (5041, "Device busy")


async def test_a_lost_answer_is_settled_before_it_is_sent_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with online(tmp_path, capsys, monkeypatch) as desk:
        desk.center.faults = Faults(lost_answer=True, only="userBatchConfirmUpgrade")
        assert await says(desk, Action.CONFIRM) == 0
        assert desk.told().last["data"]["taken"] == 3
        assert [desk.center.online(d.device_key).attempts for d in desk.world.online] == [1, 1, 1]

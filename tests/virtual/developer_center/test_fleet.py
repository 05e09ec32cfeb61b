from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ble_ota.virtual.developer_center.answers import RefusedError
from ble_ota.virtual.developer_center.asked import OrderEntry
from ble_ota.virtual.developer_center.fleet import Fleet
from ble_ota.virtual.developer_center.online import Habits, OnlineTerms
from ble_ota.virtual.developer_center.orders import Period
from ble_ota.virtual.developer_center.records import Records
from ble_ota.virtual.developer_center.state import State
from ble_ota.virtual.world import World
from tests.virtual.developer_center.conftest import HOUR_MS, NOW, NOW_MS, ONLINE, Clock

FleetOf = Callable[..., Fleet]


@pytest.fixture
def fleet_of(online_world: World, clock: Clock, tmp_path: Path) -> FleetOf:
    """Makes the fleet of `online_world`; again is after a restart."""

    def make(world: World = online_world, **terms: Any) -> Fleet:
        state = State(Records(tmp_path / "records.jsonl", clock))
        return Fleet(world, state, OnlineTerms(**terms), clock)

    return make


@pytest.fixture
def fleet(fleet_of: FleetOf) -> Fleet:
    return fleet_of()


def order(fleet: Fleet, key: str, oper_type: int = 1, **other: Any) -> tuple[int, str]:
    given = {"productKey": ONLINE, "deviceKey": key, "planId": fleet.plan_id, "operType": oper_type} | other
    return fleet.order(OrderEntry.model_validate(given))


def phase(fleet: Fleet, key: str) -> str:
    return fleet.now(fleet.named(key)).phase


def test_a_device_is_found_by_its_keys(fleet: Fleet, online_world: World) -> None:
    assert fleet.find(ONLINE, online_world.online[2].device_key) == online_world.online[2]


def test_a_bluetooth_device_is_known_and_not_online(fleet: Fleet, online_world: World) -> None:
    assert fleet.find(online_world.product_key, online_world.devices[0].device_key) is None


@pytest.mark.parametrize(
    ("product", "device"), [(ONLINE, "B0E0C0DE0001"), ("p11vWQ", "D0E0C0DE1001"), ("p99", "D0E0C0DE1001")]
)
def test_a_device_of_somebody_else_is_not_bound(fleet: Fleet, product: str, device: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        fleet.find(product, device)
    assert refusal.value.code == 5052


def test_a_name_nobody_has_is_a_key_error(fleet: Fleet) -> None:
    with pytest.raises(KeyError):
        fleet.named("B0E0C0DE0001")


def test_a_device_waits_to_begin_with(fleet: Fleet, key: str) -> None:
    seen = fleet.now(fleet.named(key))
    assert (seen.phase, seen.attempts, seen.pushed_at, seen.appointment, seen.auto) == ("waiting", 0, None, None, False)


def test_a_confirm_starts_it(fleet: Fleet, key: str, clock: Clock) -> None:
    assert order(fleet, key) == (200, "")
    clock.now += 1
    seen = fleet.now(fleet.named(key))
    assert (seen.phase, seen.attempts, seen.pushed_at) == ("downloading", 1, NOW)


def test_devices_are_kept_apart(fleet: Fleet, key: str, online_world: World) -> None:
    order(fleet, key)
    assert phase(fleet, online_world.online[1].device_key) == "waiting"


def test_a_cancel_is_a_failure_without_an_attempt(fleet: Fleet, key: str) -> None:
    order(fleet, key, 3)
    seen = fleet.now(fleet.named(key))
    assert (seen.phase, seen.attempts, seen.standing.progress, seen.standing.status) == ("failed", 0, 0.0, 3)


def test_a_retry_is_the_next_attempt(fleet_of: FleetOf, key: str, clock: Clock) -> None:
    fleet = fleet_of(habits={"*": Habits(fails=1)})
    order(fleet, key)
    clock.now += 100
    assert phase(fleet, key) == "failed"
    order(fleet, key, 5)
    clock.now += 100
    seen = fleet.now(fleet.named(key))
    assert (seen.phase, seen.attempts, seen.pushed_at) == ("succeeded", 2, NOW + 100)


def test_an_appointment_is_told(fleet: Fleet, key: str) -> None:
    order(fleet, key, 2, appointStartTime=NOW_MS, appointEndTime=NOW_MS + HOUR_MS)
    assert fleet.now(fleet.named(key)).appointment == Period(NOW_MS, NOW_MS + HOUR_MS)


@pytest.mark.parametrize("on", [True, False])
def test_the_switch_is_told(fleet: Fleet, key: str, on: bool) -> None:
    fleet.switch(fleet.named(key), on=True)
    fleet.switch(fleet.named(key), on=on)
    assert fleet.now(fleet.named(key)).auto is on


def test_the_switch_pushes(fleet: Fleet, key: str) -> None:
    fleet.switch(fleet.named(key), on=True)
    assert phase(fleet, key) == "downloading"


def test_everything_survives_a_restart(fleet_of: FleetOf, key: str) -> None:
    first = fleet_of()
    order(first, key, 2, appointStartTime=NOW_MS + 5000, appointEndTime=NOW_MS + 2 * HOUR_MS)
    first.switch(first.named(key), on=True)
    assert fleet_of().now(first.named(key)) == first.now(first.named(key))


@pytest.mark.parametrize(
    ("other", "code", "why"),
    [
        ({"operType": 4}, 5011, "The operType is unknown."),
        ({"operType": 2}, 5011, "The appointment needs appointStartTime and appointEndTime."),
        ({"operType": 5}, 5011, "Only a failed upgrade can be retried."),
        ({"planId": 7}, 5011, "The device has no such upgrade plan."),
        ({"productKey": "p11vWQ", "deviceKey": "B0E0C0DE0001"}, 5011, "The device has no such upgrade plan."),
        ({"deviceKey": "B0E0C0DE9999"}, 5052, "Device is not bound."),
    ],
)
def test_an_order_that_does_not_fit_is_refused(
    fleet: Fleet, key: str, other: dict[str, Any], code: int, why: str
) -> None:
    assert order(fleet, key, **other) == (code, why)


def test_a_refused_order_changes_nothing(fleet_of: FleetOf, key: str) -> None:
    order(fleet_of(), key, planId=7)
    assert phase(fleet_of(), key) == "waiting"


def test_an_order_is_recorded_with_what_became_of_it(fleet_of: FleetOf, key: str, tmp_path: Path, clock: Clock) -> None:
    fleet = fleet_of()
    order(fleet, key)
    order(fleet, key, 5)
    records = Records(tmp_path / "records.jsonl", clock).all()
    told = [(r["what"], r["productKey"], r["deviceKey"], r["planId"], r["operType"], r["code"]) for r in records]
    plan = ("order.given", ONLINE, key, fleet.plan_id)
    assert told == [(*plan, 1, 200), (*plan, 5, 5011)]


def test_the_plan_of_other_targets_is_another(fleet_of: FleetOf, key: str, online_world: World) -> None:
    order(fleet_of(), key)
    later = replace(online_world, components=tuple(replace(c, target="2.0") for c in online_world.components))
    assert phase(fleet_of(later), key) == "waiting"


def test_a_device_that_refuses_is_told_so(fleet_of: FleetOf, key: str) -> None:
    fleet = fleet_of(habits={key: Habits(refuses=(5041, "No"))})
    assert (order(fleet, key), phase(fleet, key)) == ((5041, "No"), "waiting")


def test_versions_change_with_success(fleet: Fleet, key: str, clock: Clock, online_world: World) -> None:
    order(fleet, key)
    versions: list[str] = []
    for after_s in (7.9, 0.2):
        clock.now += after_s
        versions.append(fleet.version(fleet.now(fleet.named(key)), online_world.components[1]))
    assert versions == ["1.0.0", "1.1.0"]


@pytest.mark.parametrize(("starts", "ends", "shown"), [(1, 2, False), (-1, 1, True), (0, 0, True), (-2, -1, False)])
def test_a_plan_is_shown_within_its_period(fleet_of: FleetOf, key: str, starts: int, ends: int, shown: bool) -> None:
    fleet = fleet_of(plan_starts_s=NOW + starts, plan_ends_s=NOW + ends)
    assert fleet.shown(fleet.now(fleet.named(key))) is shown


@pytest.mark.parametrize(("ended", "shown"), [("shown", True), ("gone", False)])
def test_a_plan_that_succeeded_is_shown_as_told(
    fleet_of: FleetOf, key: str, clock: Clock, ended: str, shown: bool
) -> None:
    fleet = fleet_of(ended_plan=ended)
    order(fleet, key)
    assert fleet.shown(fleet.now(fleet.named(key)))
    clock.now += 100
    assert fleet.shown(fleet.now(fleet.named(key))) is shown


def test_a_plan_that_failed_is_always_shown(fleet_of: FleetOf, key: str) -> None:
    fleet = fleet_of(ended_plan="gone")
    order(fleet, key, 3)
    assert fleet.shown(fleet.now(fleet.named(key)))


@pytest.fixture
def finished(online_world: World, fleet_of: FleetOf) -> Fleet:
    """All devices run every target from birth on."""
    return fleet_of(
        replace(online_world, components=tuple(replace(c, version=c.target) for c in online_world.components))
    )


def test_a_fleet_that_runs_everything_has_no_plan(finished: Fleet, key: str) -> None:
    assert not finished.shown(finished.now(finished.named(key)))


def test_a_fleet_that_runs_everything_takes_no_order(finished: Fleet, key: str) -> None:
    assert order(finished, key) == (5011, "The device has no such upgrade plan.")


def test_automatic_confirmation_pushes_no_plan_that_is_not_there(finished: Fleet, key: str) -> None:
    finished.switch(finished.named(key), on=True)
    seen = finished.now(finished.named(key))
    assert (seen.phase, seen.auto) == ("waiting", True)


def test_a_component_that_needs_nothing_is_no_part_of_the_plan(fleet_of: FleetOf, online_world: World) -> None:
    main, mcu = online_world.components
    assert fleet_of(replace(online_world, components=(replace(main, version="1.1.0"), mcu))).components == [(1, mcu)]

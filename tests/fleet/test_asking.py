from __future__ import annotations

import pytest

from ble_ota import fleet
from ble_ota.errors import ApiError, CloudUnreachableError
from ble_ota.fleet import Found
from ble_ota.mqtt import Action, Keys, Order, Ref, Stage
from ble_ota.virtual.developer_center.online import Habits
from tests.fleet.conftest import NOW_S, Assemble

pytestmark = pytest.mark.looptime


async def test_plans_come_in_the_order_they_are_asked_for(assemble: Assemble) -> None:
    it = await assemble(9)
    asked = list(reversed(it.keys))
    found = await fleet.plans(it.client, asked)
    assert [one.keys for one in found] == asked
    assert [one.plan and one.plan.keys for one in found] == asked


async def test_a_device_the_account_has_not_stands_among_the_others_with_its_error(assemble: Assemble) -> None:
    it = await assemble(2, calls_at_once=1)  # so that each is asked for after the one before it has come
    stranger = Keys(it.keys[0].product_key, "NOBODY")
    first, wrong, last = await fleet.plans(it.client, [it.keys[0], stranger, it.keys[1]])
    assert first.plan is not None
    assert last.plan is not None
    assert isinstance(wrong.error, ApiError)
    assert wrong.error.code == 5052


async def test_after_an_error_that_concerns_all_nothing_more_is_asked(assemble: Assemble) -> None:
    it = await assemble(50, calls_at_once=2)
    it.wire.dead = lambda _name: True
    found = await fleet.plans(it.client, it.keys)
    assert all(isinstance(one.error, CloudUnreachableError) for one in found)
    assert it.wire.count("getDeviceUpgradePlan") == 2 * 3  # two at once, three tries each


async def test_no_more_calls_are_under_way_than_the_client_allows(assemble: Assemble) -> None:
    it = await assemble(40, calls_at_once=3, calls_per_s=1000)
    it.wire.lasting_s = 1.0
    await fleet.plans(it.client, it.keys)
    assert it.wire.most_under_way == 3


async def test_nothing_is_asked_about_nobody(assemble: Assemble) -> None:
    it = await assemble(1)
    assert await fleet.plans(it.client, []) == []
    assert await fleet.standings(it.client, [], batch=5) == {}
    assert it.wire.calls == []


async def test_a_plan_that_has_ended_is_found_by_what_the_device_had_last(assemble: Assemble) -> None:
    it = await assemble(1, {0: Habits(download_s=0, upgrade_s=0)}, terms={"ended_plan": "gone"})
    [before] = await fleet.refs(it.client, it.keys)
    assert isinstance(before, Ref)
    await it.client.order([Order(before, Action.CONFIRM)])
    assert await it.client.mqtt_plan(it.keys[0]) is None
    assert await fleet.refs(it.client, it.keys) == [before]


async def test_a_device_that_never_had_a_plan_is_found_without_one(assemble: Assemble) -> None:
    it = await assemble(1, terms={"plan_starts_s": NOW_S + 3600})
    assert await fleet.refs(it.client, it.keys) == [Found(it.keys[0])]


async def test_a_plan_that_is_named_is_not_asked_for(assemble: Assemble) -> None:
    it = await assemble(1)
    named = Ref(it.keys[0], "4711")
    assert await fleet.refs(it.client, [named]) == [named]
    assert it.wire.calls == []


async def test_an_error_stands_in_the_place_of_a_plan(assemble: Assemble) -> None:
    it = await assemble(1)
    [found] = await fleet.refs(it.client, [Keys("p", "NOBODY")])
    assert isinstance(found, Found)
    assert found.error is not None


@pytest.mark.parametrize(("batch", "calls"), [(1, 7), (3, 3), (7, 1), (100, 1)])
async def test_standings_are_asked_for_in_batches(assemble: Assemble, batch: int, calls: int) -> None:
    it = await assemble(7)
    refs = [one for one in await fleet.refs(it.client, it.keys) if isinstance(one, Ref)]
    found = await fleet.standings(it.client, refs, batch=batch)
    assert list(found) == refs
    assert {plan.stage(NOW_S) for plan in found.values()} == {Stage.WAITING}
    assert it.wire.count("getBatchUpgradeDetails") == calls


async def test_a_plan_nobody_knows_is_left_out(assemble: Assemble) -> None:
    it = await assemble(2)
    [known, _] = await fleet.refs(it.client, it.keys)
    assert isinstance(known, Ref)
    found = await fleet.standings(it.client, [known, Ref(it.keys[1], "4711")], batch=5)
    assert list(found) == [known]


async def test_standings_that_cannot_be_had_are_an_error(assemble: Assemble) -> None:
    it = await assemble(3)
    refs = [Ref(keys, "1") for keys in it.keys]
    it.wire.dead = lambda _name: True
    with pytest.raises(CloudUnreachableError):
        await fleet.standings(it.client, refs, batch=1)

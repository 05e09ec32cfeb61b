from __future__ import annotations

import pytest

from ble_ota import fleet
from ble_ota.fleet import Given, Outcome
from ble_ota.mqtt import Action, Order, Period, Ref
from ble_ota.virtual.developer_center.online import Habits
from tests.fleet.conftest import NOW_S, Assemble, Fleet

pytestmark = pytest.mark.looptime

CONFIRM, DETAILS = "userBatchConfirmUpgrade", "getBatchUpgradeDetails"
LATER = Period(NOW_S + 3600, NOW_S + 3 * 3600)


async def orders_of(it: Fleet, action: Action = Action.CONFIRM, appointment: Period | None = None) -> list[Order]:
    refs = await fleet.refs(it.client, it.keys)
    it.wire.calls.clear()
    return [Order(ref, action, appointment) for ref in refs if isinstance(ref, Ref)]


async def give(it: Fleet, orders: list[Order], batch: int = 50) -> list[Given]:
    return await fleet.give(it.client, orders, batch=batch, clock=it.clock)


def outcomes(given: list[Given]) -> list[Outcome]:
    return [one.outcome for one in given]


@pytest.mark.parametrize(("batch", "calls"), [(1, 7), (3, 3), (7, 1), (100, 1)])
async def test_orders_are_given_in_batches(assemble: Assemble, batch: int, calls: int) -> None:
    it = await assemble(7)
    orders = await orders_of(it)
    given = await give(it, orders, batch)
    assert [one.order for one in given] == orders
    assert outcomes(given) == [Outcome.TAKEN] * 7
    assert it.wire.calls == [CONFIRM] * calls


async def test_what_was_ordered_is_what_arrives(assemble: Assemble) -> None:
    it = await assemble(1)
    assert outcomes(await give(it, await orders_of(it, Action.APPOINT, LATER))) == [Outcome.TAKEN]
    plan = await it.client.mqtt_plan(it.keys[0])
    assert plan is not None
    assert plan.appointment == LATER


async def test_a_device_that_is_refused_does_not_spoil_the_others(assemble: Assemble) -> None:
    it = await assemble(3, {1: Habits(refuses=(5041, "No permission"))})
    given = await give(it, await orders_of(it))
    assert outcomes(given) == [Outcome.TAKEN, Outcome.REFUSED, Outcome.TAKEN]
    assert (given[1].code, given[1].message) == (5041, "No permission")


async def test_an_order_whose_answer_was_lost_is_seen_to_be_in_effect_and_not_sent_again(assemble: Assemble) -> None:
    it = await assemble(3)
    orders = await orders_of(it)
    it.struck(only=CONFIRM, lost_answer=True, times=1)
    assert outcomes(await give(it, orders)) == [Outcome.TAKEN] * 3
    assert it.wire.calls == [CONFIRM, DETAILS]
    assert len(it.orders()) == 3


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"status": 429, "retry_after_s": 2}, {"html": True}, {"code": 5000}]
)
async def test_an_order_that_did_not_arrive_is_sent_again(assemble: Assemble, fault: dict[str, object]) -> None:
    it = await assemble(1)
    orders = await orders_of(it)
    it.struck(only=CONFIRM, times=1, **fault)
    given = await give(it, orders)
    if "code" in fault:  # the platform's own word on one device is the last
        assert outcomes(given) == [Outcome.REFUSED]
        assert given[0].code == 5000
    else:
        assert outcomes(given) == [Outcome.TAKEN]
        assert it.wire.calls == [CONFIRM, DETAILS, CONFIRM]
        assert len(it.orders()) == 1


@pytest.mark.parametrize("action", [Action.CONFIRM, Action.APPOINT, Action.CANCEL, Action.RETRY])
async def test_every_action_is_settled_after_a_lost_answer(assemble: Assemble, action: Action) -> None:
    it = await assemble(1, {0: Habits(fails=1, download_s=0, upgrade_s=0)})
    if action is Action.RETRY:
        await give(it, await orders_of(it))
    orders = await orders_of(it, action, LATER if action is Action.APPOINT else None)
    before = len(it.orders())
    it.struck(only=CONFIRM, lost_answer=True, times=1)
    [given] = await give(it, orders)
    assert given.outcome is Outcome.TAKEN
    assert given.message == "the answer was lost; the order is in effect"
    assert len(it.orders()) == before + 1


async def test_an_error_for_a_whole_batch_is_settled_device_by_device(assemble: Assemble) -> None:
    it = await assemble(3)
    orders = await orders_of(it)
    it.struck(only=CONFIRM, code=5052, times=1)
    assert outcomes(await give(it, orders)) == [Outcome.TAKEN] * 3
    assert it.wire.calls == [CONFIRM, DETAILS, CONFIRM, CONFIRM, CONFIRM]


async def test_where_nobody_can_tell_it_is_said_so(assemble: Assemble) -> None:
    it = await assemble(2)
    orders = await orders_of(it)
    it.struck(only=CONFIRM, lost_answer=True)
    it.wire.dead = lambda name: name == DETAILS
    given = await give(it, orders)
    assert outcomes(given) == [Outcome.UNKNOWN] * 2
    assert given[0].message.startswith("telling the word")  # why it is not known; not why it could not be looked up
    assert "broke off" in given[0].message


async def test_after_an_unreachable_server_the_rest_is_not_sent(assemble: Assemble) -> None:
    it = await assemble(6, calls_at_once=1)
    orders = await orders_of(it)
    it.wire.dead = lambda _name: True
    given = await give(it, orders, batch=2)
    assert outcomes(given) == [Outcome.UNKNOWN] * 2 + [Outcome.NOT_SENT] * 4
    assert it.wire.count(CONFIRM) == 1


async def test_what_was_sent_before_the_server_went_away_is_not_called_unsent(assemble: Assemble) -> None:
    it = await assemble(2, calls_at_once=2)
    orders = await orders_of(it)
    it.struck(only=CONFIRM, status=503)
    it.wire.dead = lambda name: name == DETAILS and it.wire.count(DETAILS) > 3  # seen by the first, not by the second
    assert outcomes(await give(it, orders, batch=1)) == [Outcome.UNKNOWN] * 2
    assert it.wire.count(CONFIRM) == 4


@pytest.mark.parametrize("code", [5106, 5147])
async def test_a_session_that_is_over_or_locked_is_not_tried_for_the_rest(assemble: Assemble, code: int) -> None:
    it = await assemble(4, calls_at_once=1)
    orders = await orders_of(it)
    it.struck(only=CONFIRM, code=code)
    given = await give(it, orders, batch=2)
    assert outcomes(given) == [Outcome.REFUSED] * 2 + [Outcome.NOT_SENT] * 2
    assert it.wire.calls == [CONFIRM]


async def test_an_order_that_is_never_heard_is_given_up_after_three_times(assemble: Assemble) -> None:
    it = await assemble(1)
    orders = await orders_of(it)
    it.struck(only=CONFIRM, status=500)
    [given] = await give(it, orders)
    assert given.outcome is Outcome.REFUSED
    assert given.message.startswith("the Developer Center does not act on it")
    assert it.wire.calls == [CONFIRM, DETAILS] * 3


async def test_the_last_cause_is_told_of_an_order_that_failed_in_several_ways(assemble: Assemble) -> None:
    it = await assemble(1)
    orders = await orders_of(it)
    it.struck(only=CONFIRM, status=503, times=2)
    it.wire.dead = lambda name: name == CONFIRM and it.wire.count(CONFIRM) == 3
    [given] = await give(it, orders)
    assert given.outcome is Outcome.REFUSED
    assert "no answer from center.example" in given.message
    assert "503" not in given.message


async def test_a_cause_that_has_passed_is_not_told(assemble: Assemble) -> None:
    """The last answer came, and named no device: what was wrong with the first one says nothing about that."""
    it = await assemble(1)
    orders = await orders_of(it)
    it.wire.dead = lambda name: name == CONFIRM and it.wire.count(CONFIRM) < 3
    it.struck(only=CONFIRM, code=200)
    [given] = await give(it, orders)
    assert given.message == "the Developer Center does not act on it"


async def test_a_platform_that_names_nobody_is_asked_where_they_stand(assemble: Assemble) -> None:
    """An answer of 200 in which neither list speaks of the device is no acknowledgement."""
    it = await assemble(1)
    orders = await orders_of(it)
    it.struck(only=CONFIRM, code=200)
    [given] = await give(it, orders)
    assert given.outcome is Outcome.REFUSED
    assert it.wire.calls == [CONFIRM, DETAILS] * 3

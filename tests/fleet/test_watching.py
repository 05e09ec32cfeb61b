from __future__ import annotations

import asyncio

import pytest

from ble_ota import fleet
from ble_ota.errors import CloudError, CloudUnreachableError, TokenRejectedError
from ble_ota.mqtt import Action, MqttPlan, Order, Period, Ref
from ble_ota.virtual.developer_center.online import Habits
from tests.fleet.conftest import NOW_S, Assemble, Fleet

pytestmark = pytest.mark.looptime

DETAILS = "getBatchUpgradeDetails"


class Watched:
    """What a watch told, and when."""

    def __init__(self, it: Fleet) -> None:
        self._it = it
        self.changes: list[tuple[float, str, str]] = []
        self.trouble: list[CloudError] = []

    def _changed(self, ref: Ref, plan: MqttPlan | None) -> None:
        said = plan.said(self._it.clock()) if plan else "not listed"
        self.changes.append((asyncio.get_running_loop().time(), ref.keys.device_key, said))

    async def watch(self, refs: list[Ref], batch: int = 50, poll_s: float = 3) -> list[str]:
        ended = await fleet.watch(
            self._it.client,
            refs,
            batch=batch,
            poll_s=poll_s,
            on_change=self._changed,
            on_trouble=self.trouble.append,
            clock=self._it.clock,
        )
        now = self._it.clock()
        return [plan.said(now) if plan else "not listed" for plan in (ended[ref] for ref in refs)]

    def stages(self, at: int = 0) -> list[str]:
        """What was told of one device, without the steps of its progress."""
        key = self._it.keys[at].device_key
        said = [stage for _, device, stage in self.changes if device == key]
        return [stage for before, stage in zip(["", *said], said, strict=False) if stage != before]


async def refs_of(it: Fleet) -> list[Ref]:
    return [ref for ref in await fleet.refs(it.client, it.keys) if isinstance(ref, Ref)]


async def ordered(it: Fleet, action: Action, appointment: Period | None = None) -> list[Ref]:
    refs = await refs_of(it)
    await it.client.order([Order(ref, action, appointment) for ref in refs])
    it.wire.calls.clear()
    return refs


async def test_every_state_is_told_until_all_have_ended(assemble: Assemble) -> None:
    it = await assemble(3, {0: Habits(download_s=10, upgrade_s=10), 1: Habits(fails=1, download_s=20), 2: Habits()})
    watched = Watched(it)
    assert await watched.watch(await ordered(it, Action.CONFIRM)) == ["succeeded", "failed", "succeeded"]
    assert watched.stages(0) == ["upgrading", "succeeded"]
    assert watched.stages(1) == ["upgrading", "failed"]


async def test_what_has_ended_is_not_asked_for_again(assemble: Assemble) -> None:
    it = await assemble(2, {0: Habits(download_s=0, upgrade_s=0), 1: Habits(download_s=30, upgrade_s=30)})
    watched = Watched(it)
    await watched.watch(await ordered(it, Action.CONFIRM), batch=1)
    rounds = len({at for at, *_ in watched.changes})
    assert it.wire.count(DETAILS) <= rounds + 5


async def test_an_appointment_is_waited_for_until_it_fires(assemble: Assemble) -> None:
    it = await assemble(1)
    watched = Watched(it)
    refs = await ordered(it, Action.APPOINT, Period(NOW_S + 1800, NOW_S + 5400))
    assert await watched.watch(refs) == ["succeeded"]
    assert watched.stages() == ["appointed", "succeeded"] or watched.stages() == ["appointed", "upgrading", "succeeded"]
    assert asyncio.get_running_loop().time() > 1800


async def test_it_is_asked_less_often_while_nothing_changes(assemble: Assemble) -> None:
    it = await assemble(1)
    refs = await ordered(it, Action.APPOINT, Period(NOW_S + 3600, NOW_S + 7200))
    await Watched(it).watch(refs, poll_s=3)
    assert 3600 / 30 <= it.wire.count(DETAILS) <= 3600 / 30 + 15


async def test_a_plan_whose_period_ends_while_it_waits_has_ended(assemble: Assemble) -> None:
    it = await assemble(1, terms={"plan_ends_s": NOW_S + 100})
    watched = Watched(it)
    assert await watched.watch(await refs_of(it)) == ["expired"]
    assert watched.stages() == ["waiting", "expired"]
    assert 100 < asyncio.get_running_loop().time() < 140


async def test_a_round_that_fails_is_told_and_the_watch_goes_on(assemble: Assemble) -> None:
    it = await assemble(1, {0: Habits(download_s=20, upgrade_s=20)})
    refs = await ordered(it, Action.CONFIRM)
    it.struck(only=DETAILS, html=True, spares=2, times=3)
    watched = Watched(it)
    assert await watched.watch(refs) == ["succeeded"]
    assert len(watched.trouble) == 3


async def test_a_server_that_stays_away_ends_the_watch(assemble: Assemble) -> None:
    it = await assemble(1)
    refs = await refs_of(it)
    it.wire.dead = lambda _name: True
    watched = Watched(it)
    with pytest.raises(CloudUnreachableError):
        await watched.watch(refs)
    assert len(watched.trouble) == 19


async def test_a_session_that_is_over_ends_the_watch_at_once(assemble: Assemble) -> None:
    it = await assemble(1)
    refs = await refs_of(it)
    it.struck(only=DETAILS, code=5106)
    watched = Watched(it)
    with pytest.raises(TokenRejectedError):
        await watched.watch(refs)
    assert watched.trouble == []


async def test_a_device_that_is_not_listed_any_more_is_given_up(assemble: Assemble) -> None:
    it = await assemble(2, {0: Habits(download_s=60, upgrade_s=60)})
    [known, _] = await ordered(it, Action.CONFIRM)
    stranger = Ref(it.keys[1], "4711")
    watched = Watched(it)
    assert await watched.watch([known, stranger]) == ["succeeded", "not listed"]
    assert watched.stages(1) == ["not listed"]


async def test_a_device_is_given_up_the_third_time_in_a_row_that_it_is_missing(assemble: Assemble) -> None:
    it = await assemble(1)
    assert await Watched(it).watch([Ref(it.keys[0], "4711")]) == ["not listed"]
    assert it.wire.count(DETAILS) == 3


async def test_a_device_that_is_missing_twice_again_and_again_is_not_given_up(assemble: Assemble) -> None:
    """Listed, missing, missing, listed …: five times missing in all, never three times in a row."""
    it = await assemble(1, {0: Habits(download_s=15, upgrade_s=15)})
    refs = await ordered(it, Action.CONFIRM)
    it.wire.forgetful = lambda name: name == DETAILS and it.wire.count(DETAILS) % 3 != 1
    watched = Watched(it)
    assert await watched.watch(refs) == ["succeeded"]
    assert it.wire.count(DETAILS) > 6
    assert watched.stages() == ["upgrading", "succeeded"]


async def test_trouble_counts_anew_after_a_round_that_went_well(assemble: Assemble) -> None:
    """Nineteen rounds fail, one goes well, nineteen fail again: a watch gives up only after twenty in a row."""
    it = await assemble(1, {0: Habits(download_s=100, upgrade_s=100)})
    refs = await ordered(it, Action.CONFIRM)
    requests = 19 * 3 + 1  # the client asks three times before a round has failed
    it.wire.dead = lambda name: name == DETAILS and it.wire.count(DETAILS) % requests != 0
    watched = Watched(it)
    assert await watched.watch(refs) == ["succeeded"]
    assert len(watched.trouble) >= 2 * 19


async def test_a_change_makes_it_ask_as_often_as_at_first(assemble: Assemble) -> None:
    it = await assemble(1, {0: Habits(download_s=60, upgrade_s=60)})
    watched = Watched(it)
    await watched.watch(await ordered(it, Action.APPOINT, Period(NOW_S + 1800, NOW_S + 5400)), poll_s=3)
    begun, second, third, *_ = [at for at, _, stage in watched.changes if stage == "upgrading"]
    assert begun > 1800
    assert [second - begun, third - second] == pytest.approx([3, 3])


async def test_an_appointment_that_is_moved_meanwhile_is_told(assemble: Assemble) -> None:
    it = await assemble(1)
    refs = await ordered(it, Action.APPOINT, Period(NOW_S + 1800, NOW_S + 5400))
    watched = Watched(it)
    watching = asyncio.ensure_future(watched.watch(refs))
    await asyncio.sleep(600)
    await it.client.order([Order(refs[0], Action.APPOINT, Period(NOW_S + 3600, NOW_S + 7200))])
    assert await watching == ["succeeded"]
    told = [at for at, _, stage in watched.changes if stage == "appointed"]
    assert len(told) == 2
    assert 600 <= told[1] <= 600 + 30  # seconds: the longest pause of a watch


async def test_a_number_nobody_explains_is_told_as_itself_and_waited_out(assemble: Assemble) -> None:
    it = await assemble(1, {0: Habits(status=7, download_s=10, upgrade_s=10)})
    watched = Watched(it)
    assert await watched.watch(await ordered(it, Action.CONFIRM)) == ["succeeded"]
    assert watched.stages() == ["deviceStatus 7", "succeeded"]


async def test_a_success_by_another_number_and_numbers_as_text_are_understood(assemble: Assemble) -> None:
    it = await assemble(2, {0: Habits(success_as=-1), 1: Habits(status_as_text=True)})
    assert await Watched(it).watch(await ordered(it, Action.CONFIRM)) == ["succeeded", "succeeded"]


async def test_one_plan_named_twice_is_watched_once(assemble: Assemble) -> None:
    it = await assemble(1)
    [ref] = await ordered(it, Action.CONFIRM)
    watched = Watched(it)
    assert await watched.watch([ref, ref]) == ["succeeded", "succeeded"]
    assert watched.stages() == ["upgrading", "succeeded"]

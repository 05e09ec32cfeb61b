from __future__ import annotations

import asyncio

import pytest

from ble_ota.virtual.peripherals.quecthing.alarms import Action, Alarms

pytestmark = pytest.mark.looptime


class Clock:
    """Alarms whose rings are noted with their time."""

    def __init__(self) -> None:
        self.rings: list[tuple[str, float]] = []
        self.alarms = Alarms(self.do)
        self.done = 0

    def do(self, action: Action) -> None:
        self.done += 1
        action()

    def set(self, name: str, after_s: float, text: str) -> None:
        now = asyncio.get_running_loop().time
        self.alarms.set(name, after_s, lambda: self.rings.append((text, round(now(), 3))))

    async def wait(self, for_s: float) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(for_s):
                await asyncio.Event().wait()


async def test_it_rings_when_it_is_due_and_once() -> None:
    clock = Clock()
    clock.set("a", 2, "x")
    await clock.wait(10)
    assert (clock.rings, clock.done) == ([("x", 2)], 1)


async def test_one_takes_the_place_of_another_with_its_name() -> None:
    clock = Clock()
    clock.set("a", 2, "x")
    clock.set("a", 3, "y")
    await clock.wait(10)
    assert clock.rings == [("y", 3)]


async def test_names_do_not_disturb_each_other() -> None:
    clock = Clock()
    clock.set("a", 2, "x")
    clock.set("b", 1, "y")
    clock.alarms.stop("c")
    await clock.wait(10)
    assert clock.rings == [("y", 1), ("x", 2)]


async def test_a_stopped_one_does_not_ring() -> None:
    clock = Clock()
    clock.set("a", 2, "x")
    clock.set("b", 2, "y")
    clock.alarms.stop("a")
    await clock.wait(10)
    assert clock.rings == [("y", 2)]


async def test_all_can_be_stopped() -> None:
    clock = Clock()
    clock.set("a", 2, "x")
    clock.set("b", 2, "y")
    clock.alarms.stop_all()
    await clock.wait(10)
    assert clock.rings == []


async def test_an_action_may_set_its_own_alarm_again() -> None:
    clock = Clock()
    clock.alarms.set("a", 2, lambda: clock.set("a", 3, "again"))
    await clock.wait(10)
    assert clock.rings == [("again", 5)]

"""The devices of the account that are online by themselves, and where each of them is with the one plan for them all.

Nothing of it is stored and nothing runs: the orders in the records and the clock say it, each time anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ble_ota.virtual.developer_center.answers import SUCCESS, RefusedError
from ble_ota.virtual.developer_center.asked import OrderEntry
from ble_ota.virtual.developer_center.online import Habits, OnlineTerms, Part, Phase, Standing, standing
from ble_ota.virtual.developer_center.orders import OPER_TYPES, InEffect, Kind, Order, Period, in_effect, refusal
from ble_ota.virtual.developer_center.plans import plan_id
from ble_ota.virtual.developer_center.state import State
from ble_ota.virtual.world import World, WorldComponent, WorldOnline

UNFIT = 5011  # inferred: no documented code speaks of upgrades


@dataclass(frozen=True, slots=True)
class OnlineDevice:
    """A device at one moment."""

    device: WorldOnline
    habits: Habits
    standing: Standing
    effect: InEffect

    @property
    def phase(self) -> Phase:
        """What it does. A plan that was cancelled has failed."""
        return self.standing.phase

    @property
    def attempts(self) -> int:
        """How often the plan was pushed to it."""
        return len(self.effect.pushes_ms)

    @property
    def pushed_at(self) -> float | None:
        """Unix time of the last push; None when there was none."""
        return self.effect.pushes_ms[-1] / 1000 if self.effect.pushes_ms else None

    @property
    def appointment(self) -> Period | None:
        """What was appointed, also when it has begun."""
        return self.effect.appointment

    @property
    def auto(self) -> bool:
        """Whether automatic confirmation is on."""
        return self.effect.auto_since_ms is not None


class Fleet:
    """All devices that are online."""

    def __init__(self, world: World, state: State, terms: OnlineTerms, clock: Callable[[], float]) -> None:
        self.terms = terms
        self.plan_id = plan_id(world, world.online_product)
        self.period = Period(round(terms.plan_starts_s * 1000), round(terms.plan_ends_s * 1000))
        self.components = [(at, c) for at, c in enumerate(world.components) if c.version != c.target]
        """What the plan changes, each with its place in it."""
        self._world = world
        self._state = state
        self._clock = clock
        self._devices = {device.device_key: device for device in world.online}
        self._bluetooth = {device.device_key for device in world.devices}

    def find(self, product_key: str, device_key: str) -> WorldOnline | None:
        """Look up a device; None when the account has it, but it is not online by itself.

        Raises:
            RefusedError: 5052, the account has no such device.
        """
        if product_key == self._world.online_product and device_key in self._devices:
            return self._devices[device_key]
        if product_key != self._world.product_key or device_key not in self._bluetooth:
            raise RefusedError(5052)
        return None

    def named(self, device_key: str) -> WorldOnline:
        """The device with this key. Raises `KeyError`."""
        return self._devices[device_key]

    def now(self, device: WorldOnline) -> OnlineDevice:
        """Say where a device is."""
        return self._at(device, self._now_ms())

    def begun(self) -> bool:
        """Whether there is a plan that has begun."""
        return bool(self.components) and self._now_ms() >= self.period.starts_ms

    def shown(self, seen: OnlineDevice) -> bool:
        """Whether the platform offers this device its plan."""
        gone = seen.phase == "succeeded" and self.terms.ended_plan == "gone"
        return self.begun() and self._now_ms() <= self.period.ends_ms and not gone

    @staticmethod
    def version(seen: OnlineDevice, component: WorldComponent) -> str:
        """Tell the version a device runs; it changes with the success of the whole plan."""
        return component.target if seen.phase == "succeeded" else component.version

    def switch(self, device: WorldOnline, *, on: bool) -> None:
        """Switch automatic confirmation on or off; it may be so already."""
        facts = {"productKey": self._world.online_product, "deviceKey": device.device_key}
        self._state.note("auto.set", **facts, on=on, at=self._now_ms())

    def order(self, asked: OrderEntry) -> tuple[int, str]:
        """Take an order or refuse it, record which, and give code and message; code 200 is taken."""
        now_ms = self._now_ms()
        code, message = self._judged(asked, now_ms)
        self._state.note("order.given", **asked.model_dump(by_alias=True, exclude={"version"}), at=now_ms, code=code)
        return code, message

    def _judged(self, asked: OrderEntry, now_ms: int) -> tuple[int, str]:
        try:
            device = self.find(asked.product_key, asked.device_key)
        except RefusedError as error:
            return error.code, str(error)
        if device is None or not self.components or asked.plan_id != self.plan_id:
            return UNFIT, "The device has no such upgrade plan."
        if asked.oper_type not in OPER_TYPES:
            return UNFIT, "The operType is unknown."
        seen = self._at(device, now_ms)
        order = _order(OPER_TYPES[asked.oper_type], now_ms, asked.appoint_start_time, asked.appoint_end_time)
        why = refusal(order, seen.phase, self.period)
        return seen.habits.refuses or ((UNFIT, why) if why else (SUCCESS, ""))

    def _at(self, device: WorldOnline, now_ms: int) -> OnlineDevice:
        effect, count = in_effect(self._orders(device), self.period, now_ms), len(self.components)
        if not count:  # nothing to push
            effect = InEffect(auto_since_ms=effect.auto_since_ms)
        habits = self.terms.habits_of(device.device_key)
        pushed_at = effect.pushes_ms[-1] / 1000 if effect.pushes_ms else None
        stands = standing(pushed_at, now_ms / 1000, habits, attempt=len(effect.pushes_ms), components=count)
        if effect.cancelled:
            stands = Standing("failed", 0.0, (Part(),) * count)
        return OnlineDevice(device, habits, stands, effect)

    def _orders(self, device: WorldOnline) -> Iterator[Order]:
        for record in self._state.orders(device.device_key):
            if record["what"] == "auto.set":
                yield Order("auto.on" if record["on"] else "auto.off", record["at"])
            elif record["planId"] == self.plan_id:  # a world whose targets were changed has another plan
                times = record["appointStartTime"], record["appointEndTime"]
                yield _order(OPER_TYPES[record["operType"]], record["at"], *times)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _order(kind: Kind, at_ms: int, starts_ms: int | None, ends_ms: int | None) -> Order:
    period = None if starts_ms is None or ends_ms is None else Period(starts_ms, ends_ms)
    return Order(kind, at_ms, period)

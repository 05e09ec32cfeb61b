"""Upgrade plans of devices that are online by themselves (MQTT), and what a user may say to them. Pure.

Such a device gets its firmware from the Developer Center; what it waits for is a person's word::

                    confirm, or the appointment comes
    WAITING ──────────────► CONFIRMED ─► UPGRADING ─► SUCCEEDED
      │  ▲ │ appoint             ▲           └──────► FAILED ──┐
      │  │ └──► APPOINTED ───────┘ retry ◄─────────────────────┤
      │  └─ (another period)                                   │
      └─ cancel ─► CANCELLED ──────────────────────────────────┘       the period ends first: EXPIRED

Numbers are the vendor's (its SDK documents for iOS and Android); one that they do not name is shown as itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

from ble_ota.model import Blocked, Conditions, UpToDate

APPOINTMENT_MIN_S = 3600.0  # "at least one hour long" (the vendor's OTA page 05)
ROUND_S = 300  # our choice: a period that is suggested begins at a full five minutes, so that there is time to type it


@dataclass(frozen=True, slots=True, order=True)
class Keys:
    """Which device: its product's key and its own."""

    product_key: str
    device_key: str

    def __str__(self) -> str:
        return f"{self.product_key}/{self.device_key}"


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which plan of which device."""

    keys: Keys
    plan_id: str


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when, in Unix seconds; None is open."""

    start_s: float | None = None
    end_s: float | None = None


class Action(Enum):
    """What a user says, with the platform's number (`operType`)."""

    CONFIRM = 1
    APPOINT = 2
    CANCEL = 3
    RETRY = 5


class Stage(Enum):
    """Where a device stands with its plan."""

    WAITING = "waiting"
    """For the user's word."""
    APPOINTED = "appointed"
    CONFIRMED = "confirmed"
    """The platform issues the plan; the device has not begun."""
    UPGRADING = "upgrading"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """The plan's period ended before the device began."""
    UNKNOWN = "unknown"
    """The platform gave a number that no public source explains, or none."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in _ENDED


_ENDED = (Stage.SUCCEEDED, Stage.FAILED, Stage.CANCELLED, Stage.EXPIRED)
_BY_STATUS: Mapping[int, Stage] = MappingProxyType(
    {1: Stage.UPGRADING, 2: Stage.SUCCEEDED, 3: Stage.FAILED, -1: Stage.SUCCEEDED}  # -1: as a vendor's demo reads it
)
_BY_WORD: Mapping[int, Stage] = MappingProxyType(
    {0: Stage.WAITING, 1: Stage.CONFIRMED, 2: Stage.APPOINTED, 3: Stage.CANCELLED}
)


@dataclass(frozen=True, slots=True)
class Part:
    """One component of a plan."""

    no: str
    mcu: bool
    running: str
    """The version it has, as the platform believes; "" where it does not say."""
    target: str
    delta: bool
    size_bytes: int | None
    """All its files together; None where one has no size."""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class MqttPlan:
    """A plan and where its device stands, as the Developer Center tells both together."""

    ref: Ref
    name: str = ""
    notes: str = ""
    parts: tuple[Part, ...] = ()
    """In the order they are upgraded; empty where only the standing was asked for."""
    period: Period = Period()
    appointment: Period | None = None
    conditions: Conditions = field(default_factory=Conditions)
    status: int | None = None
    """`deviceStatus` as it came."""
    word: int | None = None
    """`userConfirmStatus` as it came."""
    progress: float | None = None
    """0 to 1."""

    @property
    def keys(self) -> Keys:
        """Its device."""
        return self.ref.keys

    def stage(self, now_s: float) -> Stage:
        """Where the device stands at `now_s` (Unix seconds)."""
        if self.status != 0:
            found = Stage.UNKNOWN if self.status is None else _BY_STATUS.get(self.status, Stage.UNKNOWN)
            return Stage.CANCELLED if found is Stage.FAILED and self.word == Action.CANCEL.value else found
        stage = Stage.WAITING if self.word is None else _BY_WORD.get(self.word, Stage.UNKNOWN)
        over = self.period.end_s is not None and now_s > self.period.end_s
        return Stage.EXPIRED if over and stage in (Stage.WAITING, Stage.APPOINTED, Stage.CONFIRMED) else stage

    def said(self, now_s: float) -> str:
        """The stage in words; a number nobody explains as itself."""
        stage = self.stage(now_s)
        if stage is not Stage.UNKNOWN:
            return str(stage.value)
        if self.status == 0:
            return f"userConfirmStatus {self.word}"
        return "not said" if self.status is None else f"deviceStatus {self.status}"


@dataclass(frozen=True, slots=True)
class Order:
    """What a user says to one plan; `appointment` has both ends for APPOINT, and is None for the others."""

    ref: Ref
    action: Action
    appointment: Period | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the platform answered to one order: taken, or not and why."""

    ref: Ref
    taken: bool
    code: int | None = None
    message: str = ""


Judgement: TypeAlias = Order | UpToDate | Blocked


def judge(plan: MqttPlan, action: Action, *, now_s: float, appointment: Period | None = None) -> Judgement:
    """Decide whether `action` makes sense for `plan` now; what the platform alone knows is left to the platform."""
    stage, order = plan.stage(now_s), Order(plan.ref, action, appointment)
    if stage is Stage.EXPIRED:
        return Blocked("the plan's period is over", "Make a new plan in the Developer Center, or make this one longer")
    if stage is Stage.UNKNOWN:
        return order
    return _JUDGED[action].get(stage, order)


_RETRY = "Say `ble-ota mqtt retry` to have it issued again"
_DONE = UpToDate("the device has been upgraded by this plan")
_UNDER_WAY = UpToDate("the device is being upgraded already")
_OVER = Blocked("the plan has ended without success", _RETRY)
_NOT_FAILED = Blocked("only a plan that has failed can be retried", "Say `ble-ota mqtt confirm` to have it issued")
_JUDGED: Mapping[Action, Mapping[Stage, UpToDate | Blocked]] = MappingProxyType(
    {
        Action.CONFIRM: {
            Stage.CONFIRMED: UpToDate("it has been confirmed already"),
            Stage.UPGRADING: _UNDER_WAY,
            Stage.SUCCEEDED: _DONE,
            Stage.FAILED: _OVER,
            Stage.CANCELLED: _OVER,
        },
        Action.APPOINT: {
            Stage.CONFIRMED: Blocked(
                "it has been confirmed already, so it begins at once", "Say `ble-ota mqtt status` to see how far it is"
            ),
            Stage.UPGRADING: _UNDER_WAY,
            Stage.SUCCEEDED: _DONE,
            Stage.FAILED: _OVER,
            Stage.CANCELLED: _OVER,
        },
        Action.CANCEL: {
            Stage.SUCCEEDED: _DONE,
            Stage.FAILED: UpToDate("the plan has ended already, without success"),
            Stage.CANCELLED: UpToDate("it has been cancelled already"),
        },
        Action.RETRY: {
            Stage.WAITING: _NOT_FAILED,
            Stage.APPOINTED: _NOT_FAILED,
            Stage.CONFIRMED: _UNDER_WAY,
            Stage.UPGRADING: _UNDER_WAY,
            Stage.SUCCEEDED: _DONE,
        },
    }
)


_SHOWN: Mapping[Action, tuple[Stage, ...]] = MappingProxyType(
    {
        Action.CONFIRM: (Stage.CONFIRMED, Stage.UPGRADING, Stage.SUCCEEDED, Stage.FAILED),
        Action.APPOINT: (Stage.APPOINTED,),
        Action.CANCEL: (Stage.CANCELLED,),
        Action.RETRY: (Stage.CONFIRMED, Stage.UPGRADING, Stage.SUCCEEDED),
    }
)


def in_effect(order: Order, plan: MqttPlan, *, now_s: float) -> bool:
    """Whether `plan`, asked for after an order whose answer was lost, shows that the order arrived."""
    another = order.appointment is not None and plan.appointment not in (None, order.appointment)
    return plan.stage(now_s) in _SHOWN[order.action] and not another


# ------------------------------------------------------------------ appointments


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why an appointment cannot be, and one that can; None where none can any more."""

    rule: str
    fits: Period | None


def misfit(wanted: Period, plan: Period, *, now_s: float) -> Misfit | None:
    """Hold an appointment against the rules; None when it keeps them.

    Args:
        wanted: Both ends are given.
        plan: The plan's own period.
        now_s: Unix seconds.
    """
    start, end = _ends(wanted)
    first, last = plan.start_s or -math.inf, plan.end_s or math.inf
    rules = (
        ("its end is not after its start", end <= start),
        ("it is shorter than one hour", end - start < APPOINTMENT_MIN_S),
        ("it begins in the past", start < now_s),
        ("it begins before the plan's period", start < first),
        ("it ends after the plan's period", end > last),
    )
    broken = next((rule for rule, is_broken in rules if is_broken), None)
    return None if broken is None else Misfit(broken, _fitting(start, end - start, first, last, now_s))


def _ends(period: Period) -> tuple[float, float]:
    if period.start_s is None or period.end_s is None:
        msg = "an appointment has a start and an end"
        raise ValueError(msg)
    return period.start_s, period.end_s


def _fitting(start: float, long_s: float, first: float, last: float, now_s: float) -> Period | None:
    """The period nearest to the wanted one: as long if that fits, else as long as can be."""
    soonest = math.ceil(max(first, now_s + ROUND_S / 2) / ROUND_S) * ROUND_S
    if last - soonest < APPOINTMENT_MIN_S:
        return None
    long_s = min(max(long_s, APPOINTMENT_MIN_S), last - soonest)
    begin = min(max(start, soonest), last - long_s)
    return Period(begin, begin + long_s)

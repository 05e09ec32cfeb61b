"""What people said about a plan for a device that is online, and what of it is in effect; pure.

Nothing happens by itself here: an appointment has fired when the clock has passed it, and automatic confirmation has
pushed a plan when there was one to push. Times are Unix time in milliseconds, as in the calls.

*Inferred*, where the vendor says no more than "confirm, appoint, cancel, retry":

- a confirm of a plan that is under way changes nothing and succeeds; one that comes after an appointment pushes now;
- an appointment may be replaced by another until it has fired, and stays the user's word after that;
- a cancel before the push ends the plan; after it, it is refused;
- a plan that was cancelled has failed, and can be retried like any other failed one; automatic confirmation retries
  nothing;
- automatic confirmation takes a plan that waits at this moment as well; switching it off undoes no push;
- all orders must come within the period of the plan. What was pushed in it goes on after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ble_ota.virtual.developer_center.online import Phase

Kind: TypeAlias = Literal["confirm", "appoint", "cancel", "retry", "auto.on", "auto.off"]

OPER_TYPES: dict[int, Kind] = {1: "confirm", 2: "appoint", 3: "cancel", 5: "retry"}  # documented; there is no 4
SAID = {"confirm": 1, "appoint": 2, "cancel": 3, "retry": 1}  # `userConfirmStatus`; that of a retry is inferred
APPOINTMENT_MIN_MS = 3_600_000  # "at least one hour long"


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when."""

    starts_ms: int
    ends_ms: int


@dataclass(frozen=True, slots=True)
class Order:
    """One word of the user's."""

    kind: Kind
    at_ms: int
    period: Period | None = None  # of an appointment


@dataclass(frozen=True, slots=True)
class InEffect:
    """Where all orders together leave a plan."""

    pushes_ms: tuple[int, ...] = ()
    """When it was pushed to the device, once for each attempt."""
    appointment: Period | None = None
    """Also one that has fired."""
    cancelled: bool = False
    auto_since_ms: int | None = None
    """None: automatic confirmation is off."""
    confirm_status: int = 0
    """`userConfirmStatus`."""


def in_effect(orders: Iterable[Order], plan: Period, now_ms: int) -> InEffect:
    """Say what holds `now`, from the orders that were accepted, oldest first."""
    effect = InEffect()
    for order in orders:
        effect = _taken(_fired(effect, plan, order.at_ms), order)
    return _fired(effect, plan, now_ms)


def _fired(effect: InEffect, plan: Period, now_ms: int) -> InEffect:
    """Let happen what the clock has reached."""
    if effect.pushes_ms or effect.cancelled:
        return effect
    due: list[tuple[int, InEffect]] = []  # when, and what is in effect then
    if effect.appointment:
        due.append((effect.appointment.starts_ms, effect))
    if effect.auto_since_ms is not None and effect.auto_since_ms <= plan.ends_ms:
        automatic = replace(effect, appointment=None, confirm_status=SAID["confirm"])
        due.append((max(effect.auto_since_ms, plan.starts_ms), automatic))
    at_ms, then = min(due, key=lambda each: each[0], default=(now_ms + 1, effect))
    return effect if at_ms > now_ms else replace(then, pushes_ms=(at_ms,))


def _taken(effect: InEffect, order: Order) -> InEffect:
    match order.kind:
        case "auto.on":
            return effect if effect.auto_since_ms is not None else replace(effect, auto_since_ms=order.at_ms)
        case "auto.off":
            return replace(effect, auto_since_ms=None)
        case "retry":
            after = replace(effect, pushes_ms=(*effect.pushes_ms, order.at_ms), appointment=None, cancelled=False)
        case _ if effect.pushes_ms or effect.cancelled:
            return effect
        case "confirm":
            after = replace(effect, pushes_ms=(order.at_ms,), appointment=None)
        case "appoint":
            after = replace(effect, appointment=order.period)
        case _:  # cancel
            after = replace(effect, appointment=None, cancelled=True)
    return replace(after, confirm_status=SAID[order.kind])


def refusal(order: Order, phase: Phase, plan: Period) -> str | None:
    """Say why this order cannot be taken while the device is in `phase`; None when it can."""
    if order.at_ms < plan.starts_ms:
        return "The upgrade plan has not started."
    if order.at_ms > plan.ends_ms:
        return "The upgrade plan is over."
    if order.kind == "retry":
        return None if phase == "failed" else "Only a failed upgrade can be retried."
    if phase == "failed":
        return "The upgrade has failed. It can only be retried."
    if phase == "succeeded":
        return "The upgrade has succeeded."
    if order.kind == "confirm":
        return None
    if phase != "waiting":
        return "The device is being upgraded."
    return _misfit(order, plan) if order.kind == "appoint" else None


def _misfit(order: Order, plan: Period) -> str | None:
    asked = order.period
    if asked is None:
        return "The appointment needs appointStartTime and appointEndTime."
    if asked.starts_ms < order.at_ms:
        return "The appointment is in the past."
    if asked.starts_ms < plan.starts_ms or asked.ends_ms > plan.ends_ms:
        return "The appointment is not within the period of the plan."
    if asked.ends_ms - asked.starts_ms < APPOINTMENT_MIN_MS:
        return "The appointment is shorter than one hour."
    return None

"""Orders: given in batches, and settled one by one when an answer is lost.

::

    order ──► answer? ──yes──► each taken, or refused with its code and message
                │ no, an error, or it says nothing of a device
                ▼
             standing ──► in effect? ──yes──► taken
                │ no                       (nobody can tell: UNKNOWN, and the user is told so)
                └──────► order again, three times in all; after an error code each by itself, once
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from ble_ota.errors import AccountLockedError, ApiError, CloudError, TokenRejectedError
from ble_ota.fleet.center import Center, batches, concerns_all, pooled
from ble_ota.mqtt import Order, Receipt, in_effect

TRIES = 3  # of an order, with a look at where the device stands between them
PAUSE_S = 1.0  # before an order is sent again


class Outcome(Enum):
    """What came of an order."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """No answer came, and where the device stands could not be asked."""
    NOT_SENT = "not-sent"
    """An order before it showed that none would arrive."""


@dataclass(frozen=True, slots=True)
class Given:
    """One order, and what came of it."""

    order: Order
    outcome: Outcome
    code: int | None = None
    message: str = ""
    hint: str = ""


async def give(center: Center, orders: Sequence[Order], *, batch: int, clock: Callable[[], float]) -> list[Given]:
    """Give orders, `batch` of them in one call, and tell what came of each, in their order.

    Args:
        center: The Developer Center.
        orders: At most one for each plan.
        batch: Devices in one call.
        clock: Unix seconds; what is in effect depends on it.
    """
    desk = _Desk(center, clock)
    given = await pooled(center, batches(orders, batch), desk.settle)
    by_ref = {one.order.ref: one for some in given for one in some}
    return [by_ref[order.ref] for order in orders]


class _Desk:
    """Gives batches of orders until each is settled."""

    def __init__(self, center: Center, clock: Callable[[], float]) -> None:
        self._center = center
        self._clock = clock
        self._over: CloudError | None = None  # what showed that nothing will arrive any more

    async def settle(self, orders: Sequence[Order]) -> list[Given]:
        """Give one batch; what is not acknowledged is looked up, and given again where it is not in effect."""
        settled: list[Given] = []
        why: CloudError | None = None
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSE_S * attempt)
            if self._over is not None:
                outcome = Outcome.UNKNOWN if attempt else Outcome.NOT_SENT
                return settled + [_failed(order, outcome, self._over) for order in orders]
            told, why = await self._told(orders)
            settled, orders = settled + told, _others(orders, told)
            if not orders:
                return settled
            try:
                found = await self._in_effect(orders)
            except CloudError as error:
                self._note(error)
                return settled + [_failed(order, Outcome.UNKNOWN, why or error) for order in orders]
            settled, orders = settled + found, _others(orders, found)
            if isinstance(why, ApiError):
                return settled + await self._singly(orders, why)
        return settled + [_unheard(order, why) for order in orders]

    async def _told(self, orders: Sequence[Order]) -> tuple[list[Given], CloudError | None]:
        """What one call's answer says of each; or why there is none."""
        by_ref = {order.ref: order for order in orders}
        try:
            receipts = await self._center.order(orders)
        except (TokenRejectedError, AccountLockedError) as error:  # before the order was looked at
            self._note(error)
            return [_failed(order, Outcome.REFUSED, error) for order in orders], error
        except CloudError as error:
            return [], error
        return [_of(by_ref[receipt.ref], receipt) for receipt in receipts if receipt.ref in by_ref], None

    async def _in_effect(self, orders: Sequence[Order]) -> list[Given]:
        """Those whose answer was lost, but which have arrived."""
        plans = {plan.ref: plan for plan in await self._center.standings([order.ref for order in orders])}
        now = self._clock()
        arrived = (o for o in orders if o.ref in plans and in_effect(o, plans[o.ref], now_s=now))
        return [Given(order, Outcome.TAKEN, message="the answer was lost; the order is in effect") for order in arrived]

    async def _singly(self, orders: Sequence[Order], error: ApiError) -> list[Given]:
        """A batch was refused as a whole: one device may be the reason, so each is given by itself."""
        if len(orders) == 1:
            return [_failed(order, Outcome.REFUSED, error) for order in orders]
        given = [await self.settle([order]) for order in orders]
        return [one for some in given for one in some]

    def _note(self, error: CloudError) -> None:
        if concerns_all(error):
            self._over = error


def _others(orders: Sequence[Order], settled: Sequence[Given]) -> list[Order]:
    done = {one.order.ref for one in settled}
    return [order for order in orders if order.ref not in done]


def _of(order: Order, receipt: Receipt) -> Given:
    outcome = Outcome.TAKEN if receipt.taken else Outcome.REFUSED
    return Given(order, outcome, receipt.code, receipt.message)


def _failed(order: Order, outcome: Outcome, error: CloudError) -> Given:
    code = error.code if isinstance(error, ApiError) else None
    return Given(order, outcome, code, str(error), error.hint)


def _unheard(order: Order, why: CloudError | None) -> Given:
    """An order that the platform did not acknowledge, and that is not in effect."""
    message = "the Developer Center does not act on it" + (f": {why}" if why else "")
    return Given(order, Outcome.REFUSED, None, message, "Run the same command again later")

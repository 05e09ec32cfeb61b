"""What is asked of a Developer Center, and how to ask it for many devices at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from ble_ota.errors import AccountLockedError, CloudError, CloudUnreachableError, TokenRejectedError
from ble_ota.mqtt import Keys, MqttPlan, Order, Receipt, Ref

Asked = TypeVar("Asked")
Came = TypeVar("Came")


class Center(Protocol):
    """What is asked of the Developer Center; `cloud.DeveloperCenter` is one. All calls raise `CloudError`."""

    @property
    def calls_at_once(self) -> int:
        """How many calls it takes at a time; at least 1."""
        ...

    async def mqtt_plan(self, keys: Keys) -> MqttPlan | None:
        """The plan of a device, if it has one."""
        ...

    async def last_plan_id(self, keys: Keys) -> str:
        """The id of the plan a device had last, also when it has ended; "" where there is none."""
        ...

    async def standings(self, refs: Sequence[Ref]) -> Sequence[MqttPlan]:
        """Where devices stand with plans; those the platform does not know are left out."""
        ...

    async def order(self, orders: Sequence[Order]) -> Sequence[Receipt]:
        """Give orders, once; what the answer says nothing of has no receipt."""
        ...


async def pooled(center: Center, what: Sequence[Asked], do: Callable[[Asked], Awaitable[Came]]) -> list[Came]:
    """Do something for each, as many at once as `center` takes calls; results in the order of `what`.

    What waits has not begun, so it may still find that there is no use in it. The first error ends the others.
    """
    came: dict[int, Came] = {}
    numbered = iter(enumerate(what))

    async def work() -> None:
        for at, one in numbered:
            came[at] = await do(one)

    tasks = [asyncio.ensure_future(work()) for _ in range(min(center.calls_at_once, len(what)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [came[at] for at in range(len(what))]


def concerns_all(error: CloudError) -> bool:
    """Whether the next call would fail as this one did."""
    return isinstance(error, CloudUnreachableError | TokenRejectedError | AccountLockedError)


def batches(given: Sequence[Asked], size: int) -> list[Sequence[Asked]]:
    """Cut `given` into parts of `size`; the last may be shorter."""
    return [given[at : at + size] for at in range(0, len(given), size)]

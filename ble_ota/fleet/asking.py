"""Which plans devices have, and where they stand with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ble_ota.errors import CloudError
from ble_ota.fleet.center import Asked, Came, Center, batches, concerns_all, pooled
from ble_ota.mqtt import Keys, MqttPlan, Ref


@dataclass(frozen=True, slots=True)
class Found:
    """What came of asking for one device's plan: the plan, None for no plan, or an error."""

    keys: Keys
    plan: MqttPlan | None = None
    error: CloudError | None = None


async def plans(center: Center, asked: Sequence[Keys]) -> list[Found]:
    """Ask for the plan of each device, in the order they are named; what goes wrong with one stands in its place."""

    async def ask(keys: Keys) -> Found:
        return Found(keys, await center.mqtt_plan(keys))

    return await _each(center, asked, ask, lambda keys, error: Found(keys, error=error))


async def refs(center: Center, asked: Sequence[Keys | Ref]) -> list[Ref | Found]:
    """Find the plan each device stands in, also one that has ended; a `Found` where there is none, or an error."""

    async def ask(keys: Keys | Ref) -> Ref | Found:
        if isinstance(keys, Ref):
            return keys
        plan = await center.mqtt_plan(keys)
        plan_id = plan.ref.plan_id if plan else await center.last_plan_id(keys)
        return Ref(keys, plan_id) if plan_id else Found(keys)

    def failed(keys: Keys | Ref, error: CloudError) -> Ref | Found:
        return Found(keys.keys if isinstance(keys, Ref) else keys, error=error)

    return await _each(center, asked, ask, failed)


async def standings(center: Center, refs: Sequence[Ref], *, batch: int) -> dict[Ref, MqttPlan]:
    """Ask where devices stand, `batch` of them in one call; those the platform does not list are missing.

    Raises:
        CloudError: One of the calls failed.
    """
    found = await pooled(center, batches(refs, batch), center.standings)
    wanted = set(refs)
    return {plan.ref: plan for plans in found for plan in plans if plan.ref in wanted}


async def _each(
    center: Center,
    asked: Sequence[Asked],
    ask: Callable[[Asked], Awaitable[Came]],
    failed: Callable[[Asked, CloudError], Came],
) -> list[Came]:
    """Ask for each; after an error that concerns all, the rest fail with it and are not asked for."""
    over: list[CloudError] = []

    async def one(what: Asked) -> Came:
        if over:
            return failed(what, over[0])
        try:
            return await ask(what)
        except CloudError as error:
            if concerns_all(error):
                over.append(error)
            return failed(what, error)

    return await pooled(center, asked, one)

"""`ble-ota mqtt status|watch`: where devices stand with their plans, now and until they have ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ble_ota import fleet
from ble_ota.cli.common import Common
from ble_ota.cli.live import terminable
from ble_ota.cli.mqtt_live import GONE, HEADS, screen, short
from ble_ota.cli.mqtt_plan import asking, failed_data, failed_line, raise_if_none
from ble_ota.cli.mqtt_shown import Here, columns, many, named, standing_data
from ble_ota.cli.named import Named, Wish, devices
from ble_ota.cli.session import session_of
from ble_ota.cli.wiring import vault_of
from ble_ota.cloud.text import one_line
from ble_ota.errors import CloudError, DeadlineError
from ble_ota.fleet import Center, Found
from ble_ota.mqtt import MqttPlan, Ref, Stage
from ble_ota.settings import Settings

ROWS_MAX = 20  # devices that a watch shows all of at its end; of more, those that did not succeed


@dataclass(frozen=True, slots=True)
class Pace:
    """How a watch asks."""

    batch: int
    poll_s: float
    for_s: float | None = None
    """Seconds after which it is given up."""


async def standing(center: Center, asked: Sequence[Named], *, batch: int) -> dict[Named, Found]:
    """Ask where devices stand with the plan they are in, or were in last, or that is named.

    Raises:
        CloudError: The details could not be asked for.
    """
    refs = await fleet.refs(center, asked)
    plans = await fleet.standings(center, [ref for ref in refs if isinstance(ref, Ref)], batch=batch)
    return {one: _found(ref, plans) for one, ref in zip(asked, refs, strict=True)}


def _found(ref: Ref | Found, plans: Mapping[Ref, MqttPlan]) -> Found:
    if isinstance(ref, Found):
        return ref
    return Found(ref.keys, plans[ref]) if ref in plans else Found(ref.keys, error=_unlisted(ref))


def _unlisted(ref: Ref) -> CloudError:
    sentence = f"the Developer Center knows no plan {one_line(ref.plan_id)} of {named(ref.keys)}"
    return CloudError(sentence, hint="`ble-ota mqtt plan` shows the plan that the device has now")


# ---------------------------------------------------------------- status


async def status(common: Common, settings: Settings, wish: Wish) -> int:
    """Run `ble-ota mqtt status`; see `stood`."""
    async with session_of(common, settings, vault_of(settings)) as center:
        return await stood(common, center, await devices(wish, center), batch=settings.batch, now_s=time.time())


async def stood(common: Common, center: Center, asked: Sequence[Named], *, batch: int, now_s: float) -> int:
    """Tell where devices stand; 0, 10 when none has a plan, 40 when some were not found.

    Raises:
        CloudError: The one device, or none at all, could be asked for.
    """
    asking(common, len(asked))
    by_name = await standing(center, asked, batch=batch)
    found = [by_name[one] for one in asked]
    raise_if_none(found)
    plans = [one.plan for one in found if one.plan is not None]
    failed = sum(one.error is not None for one in found)
    data = [failed_data(f) if f.plan is None else {"outcome": "plan"} | standing_data(f.plan, now_s) for f in found]
    table = [columns([HEADS, *(short(plan.ref, plan, Here(now_s)) for plan in plans)])] if plans else []
    others = [failed_line(named(one.keys), one.error) for one in found if one.plan is None]
    counts = {"with_plan": len(plans), "without": len(found) - len(plans) - failed, "failed": failed}
    common.result({"devices": data, **counts}, "\n".join([*table, *others]) or "There is no device to tell of")
    return 40 if failed else 0 if plans else 10


# ---------------------------------------------------------------- watch


async def watch(common: Common, settings: Settings, wish: Wish, *, for_s: float | None) -> int:
    """Run `ble-ota mqtt watch`; see `watched`."""
    async with session_of(common, settings, vault_of(settings)) as center:
        pace = Pace(settings.batch, settings.poll_s, for_s)
        return await watched(common, center, await devices(wish, center), pace, clock=time.time)


async def watched(
    common: Common, center: Center, asked: Sequence[Named], pace: Pace, *, clock: Callable[[], float]
) -> int:
    """Show how it goes until all have ended; 0 all succeeded, 10 when none has a plan, 40 when some failed.

    Raises:
        DeadlineError: `for_s` is over.
        CloudError: The one device, or none at all, could be asked for, or the session is over.
    """
    asking(common, len(asked))
    refs = await fleet.refs(center, asked)
    others = [one for one in refs if isinstance(one, Found)]
    known = list(dict.fromkeys(one for one in refs if isinstance(one, Ref)))
    if not known:
        raise_if_none(others)
    for one in others:
        common.tell(failed_line(named(one.keys), one.error))
    seen = await _seen(common, center, known, pace, clock) if known else {}
    return _ended(common, seen, others, clock())


async def _seen(
    common: Common, center: Center, refs: Sequence[Ref], pace: Pace, clock: Callable[[], float]
) -> dict[Ref, MqttPlan | None]:
    with terminable(), screen(common, refs, clock) as shown:
        try:
            async with asyncio.timeout(pace.for_s):
                return await fleet.watch(
                    center,
                    refs,
                    batch=pace.batch,
                    poll_s=pace.poll_s,
                    on_change=shown.change,
                    on_trouble=shown.trouble,
                    clock=clock,
                )
        except TimeoutError:
            msg = f"after {pace.for_s:g} s {shown.going} of {many(len(refs), 'device')} {_have(shown.going)} not ended"
            raise DeadlineError(msg, hint="Run the same command again, or give it longer by `--for`") from None


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _ended(common: Common, seen: Mapping[Ref, MqttPlan | None], others: Sequence[Found], now_s: float) -> int:
    succeeded = [ref for ref, plan in seen.items() if plan is not None and plan.stage(now_s) is Stage.SUCCEEDED]
    errors = [one for one in others if one.error is not None]
    failed = len(seen) - len(succeeded) + len(errors)
    data = [_data(ref, plan, now_s) for ref, plan in seen.items()] + [failed_data(one) for one in others]
    counts = {"succeeded": len(succeeded), "failed": failed, "without": len(others) - len(errors)}
    rows = [short(r, p, Here(now_s)) for r, p in seen.items() if len(seen) <= ROWS_MAX or r not in succeeded]
    lines = [columns([HEADS, *rows])] if rows else []
    lines += [failed_line(named(one.keys), one.error) for one in others]
    lines.append(f"{len(succeeded)} of {many(len(seen) + len(errors), 'device')} succeeded")
    common.result({"devices": data, **counts}, "\n".join(lines))
    return 40 if failed else 0 if seen else 10


def _data(ref: Ref, plan: MqttPlan | None, now_s: float) -> dict[str, Any]:
    if plan is None:
        return {"device": named(ref.keys), "plan": one_line(ref.plan_id), "outcome": GONE, "stage": GONE}
    return {"outcome": plan.stage(now_s).value} | standing_data(plan, now_s)

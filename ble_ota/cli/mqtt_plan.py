"""`ble-ota mqtt plan`: which plans wait, and what each action would do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ble_ota.cli.common import Common
from ble_ota.cli.mqtt_shown import HEADS, Here, actions, columns, long_form, many, named, plan_data, row
from ble_ota.cli.named import Named, Wish, devices, keys_of
from ble_ota.cli.session import session_of
from ble_ota.cli.wiring import vault_of
from ble_ota.cloud.text import one_line
from ble_ota.errors import ApiError, BleOtaError
from ble_ota.fleet import Center, Found, plans
from ble_ota.fleet.center import concerns_all
from ble_ota.mqtt import Ref
from ble_ota.settings import Settings

TELL_FROM = 20  # devices: asking for so many takes a second and more


async def plan(common: Common, settings: Settings, wish: Wish) -> int:
    """Run `ble-ota mqtt plan`; exit 0 with a plan, 10 with none, 40 where some devices could not be asked for."""
    async with session_of(common, settings, vault_of(settings)) as center:
        return await planned(common, center, await devices(wish, center), Here(time.time()))


async def planned(common: Common, center: Center, asked: Sequence[Named], here: Here) -> int:
    """Ask for the plans and show them.

    Raises:
        CloudError: The one device, or none at all, could be asked for.
    """
    asking(common, len(asked))
    found = [_that(one, what) for one, what in zip(await plans(center, list(map(keys_of, asked))), asked, strict=True)]
    raise_if_none(found)
    data = {"devices": [_data(one, here) for one in found], **_counts(found)}
    common.result(data, _text(found, here, full=len(found) == 1 or common.verbose > 0))
    return 40 if data["failed"] else 0 if data["with_plan"] else 10


def asking(common: Common, count: int) -> None:
    """Tell a person why nothing is seen for a while."""
    if count >= TELL_FROM:
        common.tell(f"Asking for {count} devices …")


def raise_if_none(found: Sequence[Found]) -> None:
    """Raise the error of the one device, or the one that concerns all. Raises `CloudError`."""
    errors = [one.error for one in found if one.error is not None]
    if errors and len(errors) == len(found) and (len(found) == 1 or any(map(concerns_all, errors))):
        raise next((error for error in errors if concerns_all(error)), errors[0])


def failed_data(one: Found) -> dict[str, Any]:
    """A device that could not be asked for, for programs."""
    error = one.error
    return {
        "device": named(one.keys),
        "plan": None,
        "outcome": "no-plan" if error is None else "failed",
        "code": error.code if isinstance(error, ApiError) else None,
        "message": "it has no plan" if error is None else one_line(str(error), at_most=400),
        "hint": "" if error is None else error.hint,
    }


def failed_line(keys: str, error: BleOtaError | None) -> str:
    """A device that has no plan, or could not be asked for."""
    return f"{keys}: no plan" if error is None else f"{keys}: error: {one_line(str(error), at_most=400)}"


def _that(found: Found, asked: Named) -> Found:
    """What was found; another plan than the one that was named is none."""
    if isinstance(asked, Ref) and found.plan is not None and found.plan.ref != asked:
        return Found(found.keys)
    return found


def _counts(found: Sequence[Found]) -> Mapping[str, int]:
    with_plan, failed = sum(f.plan is not None for f in found), sum(f.error is not None for f in found)
    return {"with_plan": with_plan, "without": len(found) - with_plan - failed, "failed": failed}


def _data(one: Found, here: Here) -> Mapping[str, Any]:
    return failed_data(one) if one.plan is None else {"outcome": "plan"} | plan_data(one.plan, here)


def _text(found: Sequence[Found], here: Here, *, full: bool) -> str:
    there = [one.plan for one in found if one.plan is not None]
    others = [failed_line(named(one.keys), one.error) for one in found if one.plan is None]
    if full:
        return "\n".join([*(f"{long_form(plan, here)}\n{actions(plan, here)}" for plan in there), *others])
    table = [columns([HEADS, *(row(plan, here) for plan in there)])] if there else []
    return "\n".join([*table, *others, f"{many(len(there), 'plan')} for {many(len(found), 'device')}"])

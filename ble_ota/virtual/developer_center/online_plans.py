"""The plan of a device that is online, as the calls tell it; pure.

The plan itself is written as it is for a Bluetooth device (`plans.py`); what follows from orders and progress is added
to the newer shape. The older one has no place for any of it.

*Inferred*: the words of the two descriptions; that a result counts as not confirmed (`upgradeFinishTips` 1) from the
end on, since the call that confirms it is not among those described; that fields without a value are null.
"""

from __future__ import annotations

from typing import Any, cast

from ble_ota.virtual.developer_center.fleet import OnlineDevice
from ble_ota.virtual.developer_center.online import AT_IT, DONE, FAILED
from ble_ota.virtual.developer_center.orders import Period
from ble_ota.virtual.developer_center.plans import Offer, PlanShape, written

STATUS = ("Not upgraded", "Upgrading", "Upgrade succeeded", "Upgrade failed")
CONFIRM_STATUS = ("Not confirmed", "Upgrade now", "Upgrade by appointment", "Canceled", "Result confirmed")


def told(offer: Offer, seen: OnlineDevice, period: Period, shape: PlanShape) -> dict[str, Any]:
    """Write down the plan of `offer`, and how far the device is with it."""
    plan = written(offer, shape)
    if shape == "comVerList":
        plan |= _progress(seen) | _words(offer, seen) | _times(seen, period)
        for component, part in zip(plan["comVerList"], seen.standing.parts, strict=True):
            component["downloadStatus"] = part.download_status
            component["downloadProgress"] = part.download_progress
            component["upgradeStatus"] = part.upgrade_status
    return _as_text(plan) if seen.habits.status_as_text else plan


def _progress(seen: OnlineDevice) -> dict[str, Any]:
    status = seen.standing.status
    spoken = {AT_IT: seen.habits.status, DONE: seen.habits.success_as}.get(status)
    return {
        "deviceStatus": status if spoken is None else spoken,
        "deviceStatusDesc": STATUS[status],
        "userConfirmStatus": seen.effect.confirm_status,
        "userConfirmStatusDesc": CONFIRM_STATUS[seen.effect.confirm_status],
        "upgradeProgress": seen.standing.progress,
        "upgradeFinishTips": int(status in (DONE, FAILED)),
        "autoUpgrade": int(seen.auto),
    }


def _words(offer: Offer, seen: OnlineDevice) -> dict[str, Any]:
    return {"deviceName": seen.device.name, "productIcon": "", "upgradeVersionInfo": offer.notes}


def _times(seen: OnlineDevice, period: Period) -> dict[str, Any]:
    appointed = seen.appointment
    return {
        "planStartTime": period.starts_ms,
        "planEndTime": period.ends_ms,
        "appointStartTime": appointed.starts_ms if appointed else None,
        "appointEndTime": appointed.ends_ms if appointed else None,
    }


def _as_text(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    match value:
        case dict():
            return {name: _as_text(inner) for name, inner in cast("dict[str, Any]", value).items()}
        case list():
            return [_as_text(inner) for inner in cast("list[object]", value)]
        case int() | float() if not isinstance(value, bool):
            return str(value)
        case _:
            return value

"""Plans, standings and receipts of MQTT devices as they come over the wire; only their shape is checked here."""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import BeforeValidator, Field

from ble_ota.cloud.text import one_line
from ble_ota.cloud.wire import Name, Number, Wire
from ble_ota.cloud.wire_plan import Prose, WirePlan
from ble_ota.errors import CloudAnswerError

ENTRIES_MAX = 1000  # plans in one answer; as many devices as a batch may have


def _line(raw: object) -> object:
    return one_line(raw) if isinstance(raw, str) else raw


Line = Annotated[str, BeforeValidator(_line)]


class WireMqttPlan(WirePlan):
    """A plan with where its device stands: getDeviceUpgradePlan, or an entry of getBatchUpgradeDetails."""

    name: Line = Field(default="", validation_alias="planName")
    notes: Prose = Field(default="", validation_alias="versionInfo")
    starts_at_ms: Number = Field(default=0, validation_alias="planStartTime")
    appointed_from_ms: Number = Field(default=0, validation_alias="appointStartTime")
    appointed_to_ms: Number = Field(default=0, validation_alias="appointEndTime")
    status: Number | None = Field(default=None, validation_alias="deviceStatus")
    word: Number | None = Field(default=None, validation_alias="userConfirmStatus")
    progress: float | None = Field(default=None, validation_alias="upgradeProgress", allow_inf_nan=False)


class WireReceipt(Wire):
    """One entry of successList or failList."""

    plan_id: Name = Field(default="", validation_alias="planId")
    product_key: Name = Field(default="", validation_alias="productKey")
    device_key: Name = Field(default="", validation_alias="deviceKey")
    code: Number | None = None
    message: Line = Field(default="", validation_alias="msg")


class WireReceipts(Wire):
    """What userBatchConfirmUpgrade gives. The vendor's demo looks at failList alone."""

    taken: list[WireReceipt] = Field(default=[], validation_alias="successList", max_length=ENTRIES_MAX)
    refused: list[WireReceipt] = Field(default=[], validation_alias="failList", max_length=ENTRIES_MAX)


class WireAutoUpgrade(Wire):
    """What getAutoUpgradeSwitch may give, if not the bare value: the iOS SDK calls it isAuto, plans autoUpgrade."""

    is_auto: bool | None = Field(default=None, validation_alias="isAuto")
    auto_upgrade: bool | None = Field(default=None, validation_alias="autoUpgrade")


def entries(data: object, *, doing: str) -> list[object]:
    """Give the list in `data`, which may stand there bare, in `{"list": …}`, or as its only entry without a list.

    Raises:
        CloudAnswerError: It is none of these, or over the cap.
    """
    if isinstance(data, dict):
        fields = cast("dict[str, object]", data)
        data = fields.get("list", [fields] if fields else None)
    if data is None or data == "":
        return []
    if not isinstance(data, list):
        msg = f"{doing}: the answer is not as documented: data is neither an object nor a list"
        raise CloudAnswerError(msg)
    if len(found := cast("list[object]", data)) > ENTRIES_MAX:
        msg = f"{doing}: the answer lists {len(found)} plans, over {ENTRIES_MAX}"
        raise CloudAnswerError(msg)
    return found

"""What a call about devices that are online asks for, read as the `Spelling` in force has it.

Whatever does not fit is refused: 5066 and 5067 for the two keys, 5011 for everything else, a field that nobody asked
for included. (The vendor's server may well be more patient; here a wrong spelling is to be noticed.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeAlias, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from starlette.requests import Request

from ble_ota.virtual.developer_center.answers import RefusedError
from ble_ota.virtual.developer_center.parameters import body, form
from ble_ota.virtual.developer_center.spelling import Call

BATCH_MAX_BYTES = 1 << 20  # some 200 bytes an order, and far more orders than a batch may have
OURS = ("productKey", "deviceKey")
ON, OFF = (1, "1", "true"), (0, "0", "false")  # True and False are 1 and 0 to Python


def _digits(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value


Text: TypeAlias = Annotated[str, StringConstraints(max_length=64)]
Milliseconds: TypeAlias = Annotated[int, Field(ge=0, le=1 << 53)]
PlanId: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 63), BeforeValidator(_digits)]


class Entry(BaseModel):
    """One device's plan, as `getBatchUpgradeDetails` asks for it."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True)

    product_key: Text
    device_key: Text
    plan_id: PlanId


class OrderEntry(Entry):
    """One word of the user's, as `userBatchConfirmUpgrade` carries it."""

    oper_type: Annotated[int, Field(ge=0, le=255)]
    appoint_start_time: Milliseconds | None = None
    appoint_end_time: Milliseconds | None = None
    version: Text | None = None  # some of the vendor's SDKs send it; it decides nothing


Entries = TypeVar("Entries", bound=Entry)


async def one_device(request: Request, call: Call) -> tuple[str, str, bool]:
    """Read which device a call is about, and whether the switch it may carry says "on".

    Raises:
        RefusedError: 5066, 5067 or 5011.
    """
    given = await _given(request, call)
    fields = _mapping(given)
    product_key, device_key = _keys(fields, call)
    _no_others(fields, {*call.keys, call.switch_field} - {""})
    if not call.switch_field:
        return product_key, device_key, True
    value: object = fields.get(call.switch_field)
    value = value.lower() if isinstance(value, str) else value
    if value not in (*ON, *OFF):
        raise RefusedError(5011, call.switch_field)
    return product_key, device_key, value in ON


async def entries(request: Request, call: Call, model: type[Entries], *, largest: int) -> list[Entries]:
    """Read the list of a call with a list, of at most `largest` entries.

    Raises:
        RefusedError: 5066, 5067 or 5011; the list is one whole, and one bad entry spoils it.
    """
    given = await _given(request, call)
    name = call.wrapped_in or ("" if call.place == "json" else "list")
    if name:
        fields = _mapping(given)
        _no_others(fields, {name})
        given = fields.get(name)
        if call.place != "json":
            given = _json(given if isinstance(given, str) else "")
    if not isinstance(given, list):
        raise RefusedError(5011, name)
    rows = cast("list[object]", given)
    if len(rows) > largest:
        raise RefusedError(5011, f"more than {largest} devices")
    return [_entry(_mapping(row), call, model) for row in rows]


def _entry(row: Mapping[str, Any], call: Call, model: type[Entries]) -> Entries:
    _keys(row, call)
    _no_others(row, {*_aliases(model)} - {*OURS} | {*call.keys})
    ours = dict(zip(call.keys, OURS, strict=True))
    try:
        return model.model_validate({ours.get(name, name): value for name, value in row.items()})
    except ValidationError as error:
        raise RefusedError(5011, str(error.errors()[0]["loc"][0])) from None


def _aliases(model: type[BaseModel]) -> Iterable[str]:
    return (field.alias or name for name, field in model.model_fields.items())


async def _given(request: Request, call: Call) -> object:
    if call.place == "query":
        return dict(request.query_params)
    if call.place == "form":
        return await form(request, largest=BATCH_MAX_BYTES)
    return _json(await body(request, largest=BATCH_MAX_BYTES) or b"{}")


def _json(text: str | bytes) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        raise RefusedError(5011, "JSON") from None
    return value


def _mapping(given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise RefusedError(5011, "JSON")
    return cast("dict[str, Any]", given)


def _keys(given: Mapping[str, Any], call: Call) -> tuple[str, str]:
    for name, code in zip(call.keys, (5066, 5067), strict=True):
        if not given.get(name):
            raise RefusedError(code)
        if not isinstance(given[name], str) or len(given[name]) > 64:
            raise RefusedError(5011, name)
    return given[call.keys[0]], given[call.keys[1]]


def _no_others(given: Mapping[str, Any], known: set[str]) -> None:
    other = next((name for name in given if name not in known), None)
    if other is not None:
        raise RefusedError(5011, other[:64])

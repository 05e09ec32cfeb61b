"""The contract as it would be where an inferred point turns out otherwise, and as it is for one world."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ble_ota.cloud.contract import Node, document, operations
from ble_ota.virtual.developer_center import Spelling

CALLS = {
    "getDeviceUpgradePlan": "plan",
    "userBatchConfirmUpgrade": "confirm",
    "getBatchUpgradeDetails": "details",
    "setAutoUpgradeSwitch": "auto_set",
    "deleteDeviceUpgrade": "auto_delete",
    "getAutoUpgradeSwitch": "auto_get",
}
KINDS = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
AUTO: Mapping[str, Node] = {
    "boolean": {"type": "boolean"},
    "number": {"enum": [0, 1], "type": "integer"},
    "text": {"enum": ["0", "1"]},
    "isAuto": {"type": "object", "required": ["isAuto"], "properties": {"isAuto": {"type": "boolean"}}},
    "autoUpgrade": {"type": "object", "required": ["autoUpgrade"], "properties": {"autoUpgrade": {"type": "integer"}}},
}


def respelled(spelling: Spelling) -> Node:
    """The contract with the six inferred calls in another spelling."""
    contract = copy.deepcopy(document())
    for path, method, operation in [*operations(contract)]:
        if (name := operation["operationId"]) in CALLS:
            call = getattr(spelling, CALLS[name])
            del contract["paths"][path][method]
            _send(operation, _record(operation), call)
            _answer(operation, spelling)
            moved = contract["paths"].setdefault(path.replace("/v2/quecota", spelling.ota_prefix), {})
            moved[call.method.lower()] = operation
    return contract


def _record(operation: Node) -> Node:
    """The schema of one device's share, and whether there is a list of them."""
    if "requestBody" in operation:
        schema: Node = operation.pop("requestBody")["content"]["application/json"]["schema"]
        return schema
    parameters = operation.pop("parameters")
    properties = {p["name"]: {**p["schema"], "x-word": p["x-word"]} for p in parameters}
    return {"type": "object", "required": [*properties], "additionalProperties": False, "properties": properties}


def _send(operation: Node, schema: Node, call: Any) -> None:
    record = schema.get("items", schema)
    names = dict(zip(("productKey", "deviceKey"), call.keys, strict=True))
    record["properties"] = {names.get(name, name): node for name, node in record["properties"].items()}
    record["required"] = [names.get(name, name) for name in record["required"]]
    if call.switch_field:
        record["properties"][call.switch_field] = {"enum": [0, 1]}
        record["required"].append(call.switch_field)
    if call.wrapped_in:
        schema = {"type": "object", "required": [call.wrapped_in], "properties": {call.wrapped_in: schema}}
        schema["additionalProperties"] = False
    if call.place == "query":
        places = {"in": "query", "required": True}
        operation["parameters"] = [
            {"name": name, **places, "x-word": node.get("x-word", ""), "schema": node}
            for name, node in schema["properties"].items()
        ]
    else:
        operation["requestBody"] = {"required": True, "content": {KINDS[call.place]: {"schema": schema}}}


def _answer(operation: Node, spelling: Spelling) -> None:
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]["oneOf"][1]
    data: Node = schema.get("properties", {}).get("data", {})
    match operation["operationId"]:
        case "getDeviceUpgradePlan" if spelling.plan_answer != "object":
            listed = {"type": "array", "maxItems": 1, "items": data}
            schema["properties"]["data"] = listed if spelling.plan_answer == "list" else _listing(listed)
        case "getBatchUpgradeDetails" if spelling.details_answer == "wrapped":
            schema["properties"]["data"] = _listing(data)
        case "getAutoUpgradeSwitch":
            schema["properties"]["data"] = AUTO[spelling.auto_answer]
        case _:
            pass


def _listing(data: Node) -> Node:
    return {"type": "object", "required": ["list"], "properties": {"list": data}}


def lived_in(contract: Node, known: Mapping[str, list[object]]) -> Node:
    """The contract with what is `known` (by our words) as the values to choose from, so that requests get somewhere.

    A key `OPERATION.WORD` is for one operation.
    """
    contract = copy.deepcopy(contract)
    for _, _, operation in operations(contract):
        for node in _worded(operation):
            word = node["x-word"]
            if values := known.get(f"{operation['operationId']}.{word}", known.get(word)):
                _choose(node, values)
    return contract


def _choose(node: Node, values: list[object]) -> None:
    if "schema" in node:
        node["schema"] = {"enum": values}
    else:
        word = node["x-word"]
        node.clear()
        node |= {"x-word": word, "enum": values}


def _worded(node: Any) -> list[Node]:
    """Each parameter and property below with an `x-word`."""
    if isinstance(node, list):
        return [found for item in node for found in _worded(item)]
    if not isinstance(node, dict):
        return []
    if node.get("x-word"):
        return [node]
    return [found for item in node.values() for found in _worded(item)]

"""What the contract file says its parts rest on, found by looking everywhere in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ble_ota.cloud.contract import document, operations


@dataclass(frozen=True)
class Said:
    """One `x-evidence`: where it stands, and what it says."""

    at: str
    """`OPERATION.POINT` of what is sent, `answer of OPERATION`, or the name of what it is beside."""
    sent: bool
    says: dict[str, str]


def every_point() -> list[Said]:
    contract = document()
    found: list[Said] = []
    for _, _, operation in operations(contract):
        name = operation["operationId"]
        found += (Said(f"{name}.{point}", True, says) for point, says in operation.get("x-evidence", {}).items())
        sent = [operation.get("parameters", []), operation.get("requestBody", {})]
        found += (Said(f"{name}.{at}", True, says) for at, says in _beside(sent, ""))
        answers = operation["responses"].values()
        found += (Said(f"answer of {name}", False, says) for answer in answers for _, says in _beside(answer, ""))
    rest = {"servers": contract["servers"], "components": contract["components"]}
    return found + [Said(at, False, says) for at, says in _beside(rest, "")]


def _beside(node: Any, name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each `x-evidence` below a node, with the name of what it is beside."""
    if isinstance(node, list):
        for item in node:
            yield from _beside(item, item.get("name", name) if isinstance(item, dict) else name)
    elif isinstance(node, dict):
        if "x-evidence" in node:
            yield name, node["x-evidence"]
        for key, value in node.items():
            if key != "x-evidence":
                yield from _beside(value, key)

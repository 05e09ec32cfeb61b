"""Reads `openapi.yaml`, the one place where the calls of the Developer Center are spelled.

What the file says about itself (`x-word`, `x-evidence` and the rest) is explained in its `info.description`. A file
that cannot be read is a bug of ours, and looks like one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeAlias, cast, get_args

import yaml

Evidence: TypeAlias = Literal["documented", "third-party", "inferred"]
Parameters: TypeAlias = Literal["query", "json", "form"]
Node: TypeAlias = dict[str, Any]
"""A mapping of the file."""

LEVELS: tuple[Evidence, ...] = get_args(Evidence)  # the weakest last
METHODS = ("get", "post", "put", "delete")
BODIES: Mapping[str, Parameters] = {"application/json": "json", "application/x-www-form-urlencoded": "form"}


@dataclass(frozen=True, slots=True)
class Point:
    """What one part of a call rests on."""

    about: str
    """`path`, `method`, `parameters`, `fields`, `wrapped_in`, or a name on the wire."""
    level: Evidence
    why: str = ""
    settle: str = ""
    """How somebody can find out."""
    setting: str = ""
    """Which setting changes it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One operation, as far as it takes to send it."""

    name: str
    method: str
    path: str
    parameters: Parameters
    words: Mapping[str, str]
    """Our word to the wire's word; "" has none yet."""
    lists: bool
    """Whether it is about many devices at once."""
    wrapped_in: str
    """The name under which the list stands; "" where the list is the body."""
    repeatable: bool
    points: tuple[Point, ...]


@cache
def document() -> Node:
    """Read the whole file, once."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times as fast, and not everywhere
    return cast("Node", yaml.load(files("ble_ota.cloud").joinpath("openapi.yaml").read_bytes(), loader))  # noqa: S506


@cache
def calls() -> tuple[Call, ...]:
    """Read every operation of the file.

    Raises:
        ValueError: One of them cannot be sent as it stands.
    """
    return tuple(_call(*operation) for operation in operations(document()))


def operations(contract: Node) -> Iterator[tuple[str, str, Node]]:
    """Give path, method and operation of each call."""
    for path, item in contract["paths"].items():
        yield from ((path, method, item[method]) for method in METHODS if method in item)


def _call(path: str, method: str, operation: Node) -> Call:
    name: str = operation["operationId"]
    parameters = [p for p in operation.get("parameters", ()) if "x-word" in p]
    place, schema = _body(operation)
    if any(p["in"] != "query" for p in parameters) or (parameters and place != "query"):
        msg = f"{name}: parameters are sent in one place, the query or the body"
        raise ValueError(msg)
    record, lists, wrapped_in = _record(schema)
    named: list[tuple[str, Node]] = [(p["name"], p) for p in parameters]
    named += [(wire, node) for wire, node in record.get("properties", {}).items() if "x-word" in node]
    words = {node["x-word"]: wire for wire, node in named} | dict.fromkeys(operation.get("x-unsent-words", ()), "")
    points = (*_points(operation.get("x-evidence", {})), *_points(_beside(named)))
    repeatable = operation.get("x-repeatable", False)
    return Call(name, method.upper(), path, place, words, lists, wrapped_in, repeatable, points)


def _body(operation: Node) -> tuple[Parameters, Node]:
    """Where parameters stand, and the schema of a body."""
    if "requestBody" not in operation:
        return "query", {}
    [(kind, content)] = operation["requestBody"]["content"].items()
    return BODIES[kind], content["schema"]


def _record(schema: Node) -> tuple[Node, bool, str]:
    """The schema of one device's share of a call, whether the call takes a list of those, and what wraps the list."""
    if schema.get("type") == "array":
        return schema["items"], True, ""
    properties: Node = schema.get("properties", {})
    if len(properties) == 1:
        [(wrapped_in, only)] = properties.items()
        if only.get("type") == "array":
            return only["items"], True, wrapped_in
    return schema, False, ""


def _beside(named: list[tuple[str, Node]]) -> Node:
    return {wire: node["x-evidence"] for wire, node in named if "x-evidence" in node}


def _points(said: Node) -> Iterator[Point]:
    for about, evidence in said.items():
        point = Point(about, **evidence)
        if point.level not in LEVELS:
            msg = f"{about}: `{point.level}` is no level of evidence"
            raise ValueError(msg)
        yield point

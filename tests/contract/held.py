"""Holds requests and answers against `openapi.yaml`, by hand: what the file does not name is a fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from ble_ota.cloud.contract import Node

NUMBERS: dict[str, Callable[[str], object]] = {"integer": int, "number": float, "boolean": json.loads}


def operation_of(contract: Node, request: httpx.Request) -> Node:
    """The operation a request is for; an empty one where there is none."""
    found: Node = contract["paths"].get(request.url.path, {}).get(request.method.lower(), {})
    return found


def request_faults(contract: Node, request: httpx.Request) -> list[str]:
    """Everything in which a request differs from the file."""
    operation = operation_of(contract, request)
    if not operation:
        return [f"there is no {request.method} {request.url.path}"]
    wanted = bool(operation.get("security", contract["security"]))
    with_token = "Authorization" in request.headers
    token = [] if with_token == wanted else [f"a token is {'missing' if wanted else 'sent'}"]
    return [*token, *_query(operation, request), *_body(operation, request)]


def _query(operation: Node, request: httpx.Request) -> Iterator[str]:
    declared = {p["name"]: p for p in operation.get("parameters", ())}
    given = dict(request.url.params)
    if len(given) != len(request.url.params.multi_items()):
        yield "a parameter is there twice"
    yield from (f"`{name}` is not in the file" for name in given if name not in declared)
    yield from (f"`{name}` is missing" for name, p in declared.items() if p.get("required") and name not in given)
    for name in given.keys() & declared:
        schema = declared[name]["schema"]
        yield from _faults(schema, _value(given[name], schema), name)


def _value(text: str, schema: Node) -> object:
    try:
        return NUMBERS.get(schema.get("type", ""), str)(text)
    except ValueError:
        return text


def _body(operation: Node, request: httpx.Request) -> Iterator[str]:
    if "requestBody" not in operation:
        if request.content:
            yield "there is a body"
        return
    [(kind, content)] = operation["requestBody"]["content"].items()
    if request.headers.get("Content-Type") != kind:
        yield f"the body is no {kind}"
    else:
        yield from _faults(content["schema"], json.loads(request.content), "body")


def answer_faults(contract: Node, request: httpx.Request, answer: httpx.Response) -> list[str]:
    """Everything in which an answer with status 200 differs from the file."""
    responses = operation_of(contract, request)["responses"]
    schema = responses["200"]["content"]["application/json"]["schema"]
    return list(_faults({**schema, "components": contract["components"]}, answer.json(), "answer"))


def _faults(schema: Node, value: Any, name: str) -> Iterator[str]:
    for error in Draft202012Validator(schema).iter_errors(value):
        yield f"{name}{error.json_path[1:]}: {error.message}"

"""How parameters are read: from the query, from a form body, or from a JSON body; never more of it than a cap."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

BODY_MAX_BYTES = 65536  # the largest documented request is well below 2 KB


async def parameters(request: Request) -> Mapping[str, str]:
    """Read the query and, where there is one, a form body; the query wins.

    The documentation has login parameters in the query; third-party clients send the same names as a form.

    Raises:
        HTTPException: 413 for an oversized body, 400 for one that is not text.
    """
    return await form(request) | dict(request.query_params)


async def form(request: Request, *, largest: int = BODY_MAX_BYTES) -> dict[str, str]:
    """Read a form body; empty where the body is none.

    Raises:
        HTTPException: 413 for a body of more than `largest` bytes, 400 for one that is not text.
    """
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    try:
        return dict(parse_qsl((await body(request, largest=largest)).decode(), keep_blank_values=True))
    except UnicodeDecodeError:
        raise HTTPException(400) from None


async def json_object(request: Request) -> dict[str, Any]:
    """Read a JSON object from the body.

    Raises:
        HTTPException: 413 for an oversized body, 400 for one that is not a JSON object.
    """
    try:
        value: Any = json.loads(await body(request))
    except (ValueError, RecursionError):
        raise HTTPException(400) from None
    if not isinstance(value, dict):
        raise HTTPException(400)
    return cast("dict[str, Any]", value)


def number(text: str | None, *, default: int, largest: int) -> int:
    """Read a count of at least 1 from a query; what is not one is `default` (*inferred*), what is over is `largest`."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        return default
    return min(int(text), largest) or default


async def body(request: Request, *, largest: int = BODY_MAX_BYTES) -> bytes:
    """Read the body.

    Raises:
        HTTPException: 413 for one of more than `largest` bytes.
    """
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > largest:
            raise HTTPException(413)
    return bytes(content)

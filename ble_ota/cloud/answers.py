"""From an answer's bytes to the data in its envelope, `{"code": 200, "msg": …, "data": …, "extMsg": …}`. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from ble_ota.cloud import codes
from ble_ota.cloud.text import redact
from ble_ota.errors import CloudAnswerError

BODY_MAX_BYTES = 5_000_000  # a page of devices is some 100 kB; what is larger is not an answer to us
CODE_MAX = 10**9
TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Answer:
    """What came over HTTP."""

    status: int
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)  # may hold tokens
    retry_after: str = ""

    @property
    def passing(self) -> bool:
        """Whether the server says that it is a matter of time."""
        return self.status == TOO_MANY_REQUESTS or self.status >= 500

    @property
    def good(self) -> bool:
        """Whether HTTP has no objection."""
        return 200 <= self.status < 300


def parse_json(text: str | bytes) -> object:
    """Read JSON as RFC 8259 means it: no NaN, no name twice, no depth that breaks us.

    Raises:
        ValueError: It is something else.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode()
        return cast("object", json.loads(decoded, parse_constant=_no_constant, object_pairs_hook=_no_twins))
    except RecursionError:
        msg = "nested too deep"
        raise ValueError(msg) from None


def unwrap(answer: Answer, *, doing: str, secrets: Iterable[str] = ()) -> object:
    """Give the envelope's data.

    Args:
        answer: What came.
        doing: What the call was for; begins the error's sentence.
        secrets: What the server was told and must not be shown, even if it says it back.

    Raises:
        ApiError: The envelope carries an error code, whatever the HTTP status.
        CloudAnswerError: There is no envelope.
    """
    envelope = _envelope(answer, doing)
    code = _code(envelope.get("code"))
    if code is None:
        msg = f"{doing}: HTTP {answer.status} with JSON that is not the documented envelope"
        raise CloudAnswerError(msg)
    if code != codes.OK:
        raise codes.api_error(code, redact(_text(envelope.get("msg")), secrets), doing=doing)
    if not answer.good:
        msg = f"{doing}: HTTP {answer.status} around an envelope that says success"
        raise CloudAnswerError(msg)
    return envelope.get("data")


def _envelope(answer: Answer, doing: str) -> dict[str, Any]:
    """The JSON object in `answer`."""
    if "html" in answer.content_type.lower() or answer.body.lstrip()[:1] == b"<":
        msg = f"{doing}: a web page came (HTTP {answer.status}) where JSON was expected"
        raise CloudAnswerError(msg)
    if 300 <= answer.status < 400:
        msg = f"{doing}: HTTP {answer.status}, a redirect, which is not followed"
        raise CloudAnswerError(msg)
    if not answer.body:
        msg = f"{doing}: HTTP {answer.status} with an empty body"
        raise CloudAnswerError(msg)
    try:
        parsed = parse_json(answer.body)
    except ValueError:
        # The parser's own words would quote what may be a token.
        msg = f"{doing}: HTTP {answer.status} with {len(answer.body)} bytes that are not JSON"
        raise CloudAnswerError(msg) from None
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}


def _code(raw: object) -> int | None:
    """The envelope's code, which may come as text; None when it is no number."""
    if isinstance(raw, str) and re.fullmatch(r"-?[0-9]{1,9}", raw):
        return int(raw)
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < CODE_MAX else None


def _text(raw: object) -> str:
    return raw if isinstance(raw, str) else ""


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, unless a name stands in it twice: two readers would see two things."""
    named = dict(pairs)
    if len(named) != len(pairs):
        msg = "a name occurs twice"
        raise ValueError(msg)
    return named

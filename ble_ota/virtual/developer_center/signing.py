"""What tokens and download links are made of: a JSON Web Token, signed with a key kept beside the records.

The vendor's sample token is RS256 with `uid`, `type`, `exp` and `iat`; HS256 stands in for it, since to a client a
token is opaque. A token is valid by its own signature, so it outlives the process and needs no list of tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

KEY_BYTES = 32
_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()


class Signer:
    """Signs claims, and reads those that it signed and that are not over."""

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock

    def sign(self, claims: Mapping[str, object], *, lasts_s: float) -> str:
        """Make a token of `claims`; `iat` and `exp` are added."""
        now = int(self._clock())
        body = json.dumps({**claims, "iat": now, "exp": now + int(lasts_s)}).encode()
        head = f"{_HEADER}.{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}"
        return f"{head}.{self._seal(head)}"

    def read(self, token: str) -> Mapping[str, Any] | None:
        """Give the claims of a token; None when it is not ours, was changed, or is over."""
        head, _, seal = token.rpartition(".")
        if not token.isascii() or not hmac.compare_digest(seal, self._seal(head)):
            return None
        body = head.partition(".")[2]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims if self._clock() < claims["exp"] else None

    def _seal(self, head: str) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._key, head.encode(), hashlib.sha256)).rstrip(b"=").decode()


def kept_key(path: Path) -> bytes:
    """Read the key in `path`, or make one that only its owner can read."""
    if not path.exists():
        scratch = path.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        scratch.replace(path)  # whole or not at all: half a key would void every token without a word
    return path.read_bytes()

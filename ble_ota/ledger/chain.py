"""The hash chain of a run: what was written can be lengthened, and not changed unseen.

::

    beginning ──► entry 1 ──► entry 2 ──► … ──► seal
    Started       each link: sha256(hash before + canonical JSON)      ending, and what became known

The run's row holds the last hash, and the audit log a digest of that row (see `audit_log`). There is no key in the
chain: alone it shows rot, bugs and a careless hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ble_ota.ledger.rows import Changes, Entry
from ble_ota.ledger.schema import canonical, plain

BODY_MAX = 65_536  # bytes of one event's body, as canonical JSON
_KEPT = 16_384  # bytes of a larger one that stay; quoting them again at most doubles them

BEGINNING = (
    *("id", "command", "asked", "arguments", "settings", "radio", "cloud", "who", "pid", "tool"),
    "started_at_s",
)
"""Columns that never change."""
SEALED = (*sorted(Changes.__annotations__), "finished_at_s", "verdict", "ending")
"""Columns that no longer change once there is a verdict."""


def beginning(row: Mapping[str, Any]) -> str:
    """The first hash of a run, from columns of its row as stored."""
    return _link("", {name: row[name] for name in BEGINNING})


def follow(before: str, entry: Entry) -> str:
    """The hash of `entry`, which must be as stored, after the hash `before`."""
    return _link(before, {"seq": entry.seq, "at_s": entry.at_s, "name": entry.name, "body": entry.body})


def seal(before: str, row: Mapping[str, Any]) -> str:
    """The last hash of a run that has a verdict, from columns of its row as stored."""
    return _link(before, {name: row[name] for name in SEALED})


def bounded(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` as it is stored: one that is too large gives way to its first bytes, and says so."""
    stored: dict[str, Any] = plain(body)
    if len(text := canonical(stored)) <= BODY_MAX:
        return stored
    return {"truncated": True, "bytes": len(text), "begins": text[:_KEPT]}


def _link(before: str, content: Mapping[str, Any]) -> str:
    return hashlib.sha256((before + canonical(content)).encode("ascii")).hexdigest()

"""The audit log with its head, and who settled a run by a word.

Written out and never changed again, as every migration. It appends an entry about each row that is there, so what the
ledger holds at this moment counts as written: an earlier edit of a report or a mark is not found any more.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_HASH, _TEXT = sa.String(64), sa.String(4096)
_PAGE = 20  # rows in memory at once; a run may hold a plan of 4 MB

# each column with its default; None where it has none
_RUN: dict[str, Any] = {
    **dict.fromkeys(("no", "id", "pid", "started_at_s", "finished_at_s", "verdict", "ending", "hash"), None),
    **dict.fromkeys(("command", "asked", "radio", "cloud", "who", "tool", "name", "plan_id", "fingerprint"), ""),
    **dict.fromkeys(("approved_by", "product_key", "device_key", "address", "carries_on"), ""),
    **{"arguments": {}, "settings": {}, "plan": {}, "versions_before": {}, "versions_after": {}},
    **{"entries": 0, "last_seq": -1},
}
_REPORT: dict[str, Any] = {
    **dict.fromkeys(("id", "run", "plan_ends_at_s", "state", "attempts", "created_at_s", "changed_at_s"), None),
    **dict.fromkeys(("account", "plan_id", "why", "product_key", "device_key", "component", "outcome"), ""),
    **{"versions": {}, "resolved_by": ""},
}
_MARK_KEY = ("product_key", "device_key", "component", "file")
_MARK: dict[str, Any] = dict.fromkeys((*_MARK_KEY, "run", "sha256", "offset", "at_s"), None) | {"learned": ""}

_Kind: TypeAlias = tuple[str, Sequence[str], Sequence[str], dict[str, Any]]
_KINDS: Sequence[_Kind] = (
    ("run", ("no",), ("id",), _RUN),
    ("report", ("id",), ("id",), _REPORT),
    ("mark", _MARK_KEY, _MARK_KEY, _MARK),
)
"""A table, the order of its rows, the columns that name a row in the log, and all of its columns."""
_WHOLE = {"arguments", "settings", "plan", "versions_before", "versions_after", "ending", "versions"}
_LOG = sa.table("audit_log", *map(sa.column, ("no", "kind", "key", "subject", "digest", "hash")))
_HEAD = sa.table("audit_head", *map(sa.column, ("ledger", "entries", "hash")))


def upgrade() -> None:
    """Make the tables, and append an entry about each row, in order."""
    tables()
    attest(op.get_bind())


def tables() -> None:
    """Make the two tables and the column."""
    op.create_table(
        "audit_log",
        sa.Column("no", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, _HASH, nullable=False) for name in ("kind", "subject", "digest", "hash")),
        sa.Column("key", sa.String(16_384), nullable=False),
    )
    op.create_index("audit_log_subject", "audit_log", ["subject", "no"])
    op.create_table(
        "audit_head",
        sa.Column("ledger", _HASH, primary_key=True),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("hash", _HASH, nullable=False),
    )
    op.add_column("report", sa.Column("resolved_by", _TEXT, nullable=False, server_default=sa.text("''")))


def attest(connection: sa.Connection) -> None:
    """Begin the log, and append an entry about each row."""
    ledger, no, last = uuid.uuid4().hex, 0, ""
    for kind, key, digest in _entries(connection, ledger):
        no += 1
        entry = {"no": no, "kind": kind, "digest": digest, "subject": _sha(_canonical([kind, *key]))}
        entry["key"] = _canonical(key)
        last = _sha(last + _canonical(entry))
        connection.execute(sa.insert(_LOG).values(**entry, hash=last))
    connection.execute(sa.insert(_HEAD).values(ledger=ledger, entries=no, hash=last))


def _entries(connection: sa.Connection, ledger: str) -> Iterator[tuple[str, list[object], str]]:
    yield "ledger", [ledger], ""
    for kind, order, names, columns in _KINDS:
        for row in _rows(connection, kind, order, list(columns)):
            yield kind, [row[name] for name in names], _digest(row, columns)


def _digest(row: Mapping[Any, Any], columns: Mapping[str, object]) -> str:
    """Return the digest of a row; of one that is damaged a digest that no row has, so that `verify` finds it."""
    try:
        read = {name: _plain(name, row[name]) for name in columns}
        return _sha(_canonical({name: read[name] for name, default in columns.items() if read[name] != default}))
    except (ValueError, TypeError):
        return _sha("damaged")


def _plain(name: str, stored: Any) -> object:  # noqa: ANN401 -- it is what a column can hold
    return json.loads(stored) if name in _WHOLE and stored is not None else stored


def _rows(
    connection: sa.Connection, kind: str, order: Sequence[str], columns: Sequence[str]
) -> Iterator[Mapping[Any, Any]]:
    """Read a table in pages. The transaction holds it, so an offset is exact."""
    table = sa.table(kind, *map(sa.column, columns))
    # JSON as its text: one value that is damaged must not keep the ledger from being opened
    read = [sa.cast(table.c[name], sa.Text).label(name) if name in _WHOLE else table.c[name] for name in columns]
    wanted = sa.select(*read).order_by(*(table.c[name] for name in order)).limit(_PAGE)
    at = 0
    while rows := connection.execute(wanted.offset(at)).mappings().all():
        yield from rows
        at += len(rows)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()

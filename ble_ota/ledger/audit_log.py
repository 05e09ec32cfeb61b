"""The audit log: one chain of entries for the whole ledger, each with the digest of a row as it was written.

::

    1 ledger ──► 2 run run-1 ──► 3 run run-1 ──► 4 mark … ──► 5 report 1 ──► …      head: count and last hash
                 digest of the row as stored      each link: sha256(hash before + canonical JSON of the entry)

Every transaction that writes a row of `run`, `mark` or `report` appends an entry with the digest of that row. So the
last entry about a row says what the row must be. An event has no entry of its own: the row of its run holds the last
hash of the run's chain (see `chain`).

There is no key in the log: who can write the ledger can cut off its end, or write log and head anew. The head in the
vault shows that (`cli.ledger_head`). Who can write the vault, too, is found only by a head written down elsewhere.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ble_ota.errors import StorageError
from ble_ota.ledger.head import Head
from ble_ota.ledger.schema import audit_head, audit_log, canonical, fit, mark, report, run

LEDGER = "ledger"
"""The kind of the first entry; its key is the random id of the ledger."""

KEYS: Mapping[str, tuple[sa.Table, tuple[str, ...]]] = {
    "run": (run, ("id",)),
    "mark": (mark, ("product_key", "device_key", "component", "file")),
    "report": (report, ("id",)),
}
"""By kind: the table, and the columns that name one row of it in the log."""


def found(connection: sa.Connection) -> None:
    """Begin the log of a new ledger, under a new random id."""
    ledger = uuid.uuid4().hex
    connection.execute(sa.insert(audit_head).values(ledger=ledger, entries=0, hash=""))
    _add(connection, Head(0, ""), LEDGER, [ledger], "")


def append(connection: sa.Connection, kind: str, *key: object) -> None:
    """Append an entry about one row as it is stored now; a row that is gone has the digest "".

    Call it last in a transaction. It holds the head against other writers until the transaction ends.

    Raises:
        StorageError: The log has lost its head.
    """
    held = connection.execute(sa.select(audit_head).with_for_update()).all()
    if len(held) != 1:
        msg = "the ledger is damaged: its audit log has no head, so nothing more can be written to it"
        raise StorageError(msg, hint="See `ble-ota history verify`; then move the file away and run the same again")
    table, names = KEYS[kind]
    row = connection.execute(sa.select(table).where(_is(table, names, key))).mappings().one_or_none()
    fitted = fit(table, dict(zip(names, key, strict=True))) if row is None else {name: row[name] for name in names}
    digest = "" if row is None else digest_of(table, row)
    _add(connection, Head(held[0].entries, held[0].hash), kind, list(fitted.values()), digest)


def digest_of(table: sa.Table, row: Mapping[Any, Any]) -> str:
    """Return the digest of a row as stored. Columns that hold their default are left out, see `schema`."""
    told = {c.name: row[c.name] for c in table.columns if row[c.name] != _default(c)}
    return hashlib.sha256(canonical(told).encode("ascii")).hexdigest()


def subject_of(kind: str, key: Sequence[object]) -> str:
    """Return the short name of a row, for the index of the log: a hash, since a key may be long."""
    return hashlib.sha256(canonical([kind, *key]).encode("ascii")).hexdigest()


def follow(before: str, entry: Mapping[Any, Any]) -> str:
    """Return the hash of a log entry after the hash `before`."""
    content = canonical({name: entry[name] for name in ("no", "kind", "key", "subject", "digest")})
    return hashlib.sha256((before + content).encode("ascii")).hexdigest()


def last_digest(connection: sa.Connection, kind: str, key: Sequence[object]) -> tuple[int, str] | None:
    """Return number and digest of the last entry about a row, or None where no entry is about it."""
    entry = audit_log.c
    wanted = sa.select(entry.no, entry.digest).where(entry.subject == subject_of(kind, key))
    last = connection.execute(wanted.order_by(entry.no.desc()).limit(1)).one_or_none()
    return None if last is None else (last.no, last.digest)


def head(connection: sa.Connection) -> tuple[str, Head] | None:
    """Return the ledger's id and its head; None where the log has lost them."""
    held = connection.execute(sa.select(audit_head)).all()
    return (held[0].ledger, Head(held[0].entries, held[0].hash)) if len(held) == 1 else None


def holds(connection: sa.Connection, earlier: Head) -> bool:
    """Return True if the log had this head once, so that nothing up to there was lost or changed since."""
    wanted = sa.select(audit_log.c.hash).where(audit_log.c.no == earlier.count)
    return connection.execute(wanted).scalar() == earlier.hash


def _add(connection: sa.Connection, before: Head, kind: str, key: Sequence[object], digest: str) -> None:
    entry = {
        "no": before.count + 1,
        "kind": kind,
        "key": canonical(key),
        "subject": subject_of(kind, key),
        "digest": digest,
    }
    entry["hash"] = follow(before.hash, entry)
    connection.execute(sa.insert(audit_log).values(**entry))
    connection.execute(sa.update(audit_head).values(entries=entry["no"], hash=entry["hash"]))


def _is(table: sa.Table, names: Sequence[str], key: Sequence[object]) -> sa.ColumnElement[bool]:
    return sa.and_(*(table.c[name] == value for name, value in zip(names, key, strict=True)))


def _default(column: sa.Column[Any]) -> object:
    """Return what a row holds in this column when nothing was said of it."""
    if column.nullable:
        return None
    if isinstance(column.type, sa.JSON):
        return {}
    return column.default.arg if isinstance(column.default, sa.ColumnDefault) else None

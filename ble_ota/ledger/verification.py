"""Whether the ledger still says what was written.

`Verification` compares three things, in steps of one short transaction each, with a page of them in memory at most:

1. the audit log: each entry follows from the one before, up to its head, and each head that is known from elsewhere is
   one that the log had;
2. each row of `run`, `mark` and `report`: its digest is that of the last entry about it, and a run's events are those
   of its own chain;
3. each last entry about a row: the row is there, unless the entry says that it is gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from ble_ota.ledger import audit, audit_log
from ble_ota.ledger.audit_log import KEYS, LEDGER
from ble_ota.ledger.head import Head
from ble_ota.ledger.schema import Word, event, metadata, run
from ble_ota.ledger.schema import audit_head as head_table
from ble_ota.ledger.schema import audit_log as log_table
from ble_ota.text import clean

ENTRIES = 1000  # of the log, in one transaction; some 300 bytes each
ROWS = 50  # in one transaction, read one by one: a run may hold a plan of 4 MB
FAULTS = 1000  # sentences that are kept; the others are counted


class Verification:
    """One look at the whole ledger. Call each of `steps` in a transaction of its own until it returns False."""

    def __init__(self, heads: Mapping[str, Head]) -> None:
        """Prepare.

        Args:
            heads: Heads that the log must have had, by the words for the place where they are kept.
        """
        self._heads = heads
        self._faults: list[str] = []
        self._count = 0
        self._no, self._hash = 0, ""  # of the last entry that was looked at
        self._ledger = ""  # the key of the first entry
        self._after: Any = None  # of the step under way: where its next page begins
        rows = (partial(self._rows, kind) for kind in KEYS)
        self.steps: Sequence[Callable[[sa.Connection], bool]] = (self._log, *rows, self._gone, self._orphans)

    @property
    def faults(self) -> list[str]:
        """Sentences of what is wrong; none when all is as it was written."""
        more = self._count - len(self._faults)
        return self._faults + ([f"{more} more faults were found"] if more else [])

    def missing_tables(self, connection: sa.Connection) -> bool:
        """Add a sentence for each table that is missing; return True if one is."""
        there = set(sa.inspect(connection).get_table_names())
        for name in sorted(metadata.tables.keys() - there):
            self._found(f"the table {name} is missing")
        return bool(self._faults)

    def _found(self, *sentences: str) -> None:
        self._count += len(sentences)
        self._faults += sentences[: FAULTS - len(self._faults)]

    # ---------------------------------------------------------------- the log

    def _log(self, connection: sa.Connection) -> bool:
        """Follow a page of the log; after the last one compare its end with its head."""
        _still(connection)
        wanted = sa.select(log_table).order_by(log_table.c.no).limit(ENTRIES)
        if self._after is not None:
            wanted = wanted.where(log_table.c.no > self._after)
        entries = connection.execute(wanted).mappings().all()
        for entry in entries:
            self._after = entry["no"]
            try:
                self._entry(entry)
            except audit.UNREADABLE:
                self._found(f"the entry of the audit log after {self._no} {audit.DAMAGED}")
        if len(entries) == ENTRIES:
            return True
        self._after = None
        self._end(audit_log.head(connection))
        return False

    def _entry(self, entry: Mapping[Any, Any]) -> None:
        no = entry["no"]
        if no == 1:
            self._ledger = entry["key"]
        if no != self._no + 1:
            missing = f"entry {self._no + 1}" if no == self._no + 2 else f"entries {self._no + 1} to {no - 1}"
            self._found(f"{missing} of the audit log is missing")
        elif entry["hash"] != audit_log.follow(self._hash, entry):
            self._found(f"entry {no} of the audit log does not follow from the one before: one of them was changed")
        self._no, self._hash = no, entry["hash"]
        for where, head in self._heads.items():
            if head.count == no and head.hash != entry["hash"]:
                self._found(f"entry {no} of the audit log is not the one that {where} tells of")

    def _end(self, found: tuple[str, Head] | None) -> None:
        if found is None:
            self._found("the audit log has lost its head")
        elif found[1] != Head(self._no, self._hash):
            self._found(f"the audit log ends with entry {self._no}, and not as its own head says ({found[1]})")
        elif self._ledger != f'["{found[0]}"]':
            self._found("the ledger has another id than the first entry of its audit log")
        for where, head in self._heads.items():
            if head.count > self._no:
                self._found(f"the audit log ends with entry {self._no}, and {where} tells of entry {head.count}")

    # ---------------------------------------------------------------- the rows

    def _rows(self, kind: str, connection: sa.Connection) -> bool:
        """Compare a page of rows with the last entries about them."""
        _still(connection)
        try:
            keys = self._keys(connection, kind)
        except UnicodeEncodeError:  # the page before ended with a key that is no text
            self._found(f"the next rows of `{kind}` cannot be read, the key before them is damaged")
            keys = list[tuple[Any, ...]]()
        for key in keys:
            name = _name(kind, key)
            self._found(*(f"{name}: {what}" for what in _row_faults(connection, kind, key)))
        self._after = keys[-1] if len(keys) == ROWS else None
        return self._after is not None

    def _keys(self, connection: sa.Connection, kind: str) -> Sequence[tuple[Any, ...]]:
        """Return the next keys as they are stored; a `Word` would compare them cleaned."""
        table, names = KEYS[kind]
        stored = [_stored(table.c[name]) for name in names]
        wanted = sa.select(*stored).order_by(*stored).limit(ROWS)
        if self._after is not None:
            wanted = wanted.where(sa.tuple_(*stored) > sa.tuple_(*map(sa.literal, self._after)))
        return [tuple(row) for row in connection.execute(wanted)]

    def _gone(self, connection: sa.Connection) -> bool:
        """Look for the rows that a page of last entries tells of."""
        _still(connection)
        log, later = log_table, log_table.alias()
        newer = sa.exists().where(later.c.subject == log.c.subject, later.c.no > log.c.no)
        wanted = sa.select(log.c.no, log.c.kind, log.c.key).where(log.c.kind != LEDGER, log.c.digest != "", ~newer)
        if self._after is not None:
            wanted = wanted.where(log.c.no > self._after)
        entries = connection.execute(wanted.order_by(log.c.no).limit(ENTRIES)).all()
        for entry in entries:
            if missing := _missing(connection, entry.kind, entry.key):
                self._found(f"{missing} is missing: entry {entry.no} of the audit log tells of it")
        self._after = entries[-1].no if len(entries) == ENTRIES else None
        return self._after is not None

    def _orphans(self, connection: sa.Connection) -> bool:
        """Look for events without a run."""
        name = _stored(event.c.run)
        lost = sa.select(name, sa.func.count()).where(~sa.exists().where(run.c.id == event.c.run)).group_by(name)
        for run_id, count in connection.execute(lost.limit(FAULTS)):
            self._found(f"{_name('run', [run_id])} is missing, and {count} of its events are there")
        return False


def _still(connection: sa.Connection) -> None:
    """Keep writers out until the transaction ends: who writes a row appends to the log before the commit.

    FOR SHARE, where there is such a thing; SQLite reads what stood there when the transaction began.
    """
    connection.execute(sa.select(head_table).with_for_update(read=True)).all()


def _stored(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return sa.type_coerce(column, sa.String()) if isinstance(column.type, Word) else column


def _name(kind: str, key: Sequence[object]) -> str:
    return f"{kind} {clean('/'.join(map(str, key)), most=300)}"


def _row(kind: str, key: Sequence[Any]) -> sa.Select[*tuple[Any, ...]]:
    table, names = KEYS[kind]
    return sa.select(table).where(*(_stored(table.c[name]) == value for name, value in zip(names, key, strict=True)))


def _row_faults(connection: sa.Connection, kind: str, key: Sequence[Any]) -> list[str]:
    try:
        row = connection.execute(_row(kind, key)).mappings().one()
        found = audit.walk(connection, row) if kind == "run" else []
        digest = audit_log.digest_of(KEYS[kind][0], row)
        return found or _log_faults(audit_log.last_digest(connection, kind, key), digest)
    except audit.UNREADABLE:
        return [audit.DAMAGED]


def _log_faults(last: tuple[int, str] | None, digest: str) -> list[str]:
    if last is None:
        return ["no entry of the audit log tells of it"]
    no, told = last
    return [] if told == digest else [f"is not what was written, by entry {no} of the audit log"]


def _missing(connection: sa.Connection, kind: str, key: str) -> str:
    """Return the name of the row that an entry tells of, or "" if the row is there."""
    try:
        plain = json.loads(key)
        there = connection.execute(sa.select(_row(kind, plain).exists())).scalar()
        return "" if there else _name(kind, plain)
    except audit.UNREADABLE:
        return f"{clean(str(kind), most=50)} {clean(str(key), most=300)}"

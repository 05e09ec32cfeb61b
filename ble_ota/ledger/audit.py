"""Whether a run and its events are still what was written, by the run's own chain; see `verification` for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from ble_ota.ledger import chain
from ble_ota.ledger.rows import Entry
from ble_ota.ledger.schema import event, run

EVENTS = 200  # in memory at once, of 64 KiB at most
UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, RecursionError, exc.NoResultFound)
"""What a column that holds another kind of value leads to; a damaged JSON text is a ValueError."""
DAMAGED = "cannot be read, it is damaged"


def faults(connection: sa.Connection, run_id: str) -> list[str]:
    """Return what is wrong with a run, in sentences; none when it is as it was written."""
    wanted = sa.select(run).where(run.c.id == run_id)
    try:
        row = connection.execute(wanted).mappings().one()
        return [f"run {run_id}: {what}" for what in walk(connection, row)]
    except UNREADABLE:
        return [f"run {run_id}: {DAMAGED}"]


def walk(connection: sa.Connection, row: Mapping[Any, Any]) -> list[str]:
    """Follow a run's chain to its last hash; go on from what is stored, to name each break once."""
    found: list[str] = []
    last, count, after, seq = chain.beginning(row), 0, "the run's beginning", None
    while page := _events(connection, row["id"], seq):
        for line in page:
            entry = Entry(line.seq, line.at_s, line.name, line.body)
            if line.hash != chain.follow(last, entry):
                what = f"event {entry.seq} ({entry.name}) does not follow from {after}: one of them was changed"
                found.append(f"{what}, or what stood between them is missing")
            last, count, after, seq = line.hash, count + 1, f"event {entry.seq}", line.seq
    return found + _end(row, last, count)


def _events(connection: sa.Connection, run_id: str, after: int | None) -> Sequence[sa.Row[Any]]:
    wanted = sa.select(event).where(event.c.run == run_id).order_by(event.c.seq).limit(EVENTS)
    return connection.execute(wanted if after is None else wanted.where(event.c.seq > after)).all()


def _end(row: Mapping[Any, Any], last: str, count: int) -> list[str]:
    found: list[str] = []
    if count != row["entries"]:
        found.append(f"has {count} events where {row['entries']} were written")
    if row["verdict"] is not None:
        last = chain.seal(last, row)
        if row["ending"].get("verdict") != row["verdict"]:
            found.append(f"ended {row['ending'].get('verdict')}, and is listed as {row['verdict']}")
    if last != row["hash"]:
        what = "its last event" if row["verdict"] is None else "its ending, or what is known of it,"
        found.append(f"{what} is not what was written")
    return found

"""Whether the ledger still says what was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ble_ota.ledger import chain
from ble_ota.ledger.rows import Entry
from ble_ota.ledger.schema import event, run


def ids(connection: sa.Connection) -> list[str]:
    """All runs, oldest first."""
    return list(connection.execute(sa.select(run.c.id).order_by(run.c.no)).scalars())


def faults(connection: sa.Connection, run_id: str) -> list[str]:
    """What is wrong with a run, in sentences; none when it is as it was written."""
    # FOR SHARE where there is such a thing: nobody writes between the reading of the run and that of its events
    wanted = sa.select(run).where(run.c.id == run_id).with_for_update(read=True)
    try:
        row = connection.execute(wanted).mappings().one()
        return [f"run {run_id}: {what}" for what in _walk(connection, {str(k): v for k, v in row.items()})]
    except (json.JSONDecodeError, TypeError, AttributeError):  # a column that holds another kind of value
        return [f"run {run_id}: cannot be read, it is damaged"]


def _walk(connection: sa.Connection, row: Mapping[str, Any]) -> list[str]:
    """Follow the chain from the beginning to the last hash; go on from what is stored, to name each break once."""
    found: list[str] = []
    last, count, after = chain.beginning(row), 0, "the run's beginning"
    events = connection.execute(sa.select(event).where(event.c.run == row["id"]).order_by(event.c.seq))
    for line in events:
        entry = Entry(line.seq, line.at_s, line.name, line.body)
        if line.hash != chain.follow(last, entry):
            found.append(f"event {entry.seq} ({entry.name}) does not follow from {after}: one of them was changed, ")
            found[-1] += "or what stood between them is missing"
        last, count, after = line.hash, count + 1, f"event {entry.seq}"
    return found + _end(row, last, count)


def _end(row: Mapping[str, Any], last: str, count: int) -> list[str]:
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

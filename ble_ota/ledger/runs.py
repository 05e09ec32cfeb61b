"""Writing runs: their beginning, what happens, one verdict, and how far a file has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from ble_ota.errors import StorageError
from ble_ota.events import Verdict
from ble_ota.ledger import audit_log, chain
from ble_ota.ledger.rows import Changes, DeviceKeys, Ending, Entry, Started
from ble_ota.ledger.schema import TEXT_MAX, canonical, event, fit, mark, plain, run
from ble_ota.model import Mark
from ble_ota.text import clean

ENTRIES_MAX = 100_000
"""Events of one run. An update writes some hundred; what writes more does not come forward."""
_LAST_ENTRIES = 1000  # that an ending may add above the cap: a verdict is always written
_KNOWN_LATER = frozenset(Changes.__annotations__)

KILLED = Ending(Verdict.ABORTED, "killed", 137, "the process ended without a word")  # 137: 128 + SIGKILL, as shells say


def begin(connection: sa.Connection, started: Started, *, now_s: float) -> None:
    """Make the run's row.

    Raises:
        ValueError: There is a run of this id; a bug.
    """
    if connection.execute(sa.select(run.c.no).where(run.c.id == started.id)).first():
        msg = f"the run {started.id} has begun before"
        raise ValueError(msg)
    row = fit(run, {f.name: getattr(started, f.name) for f in fields(Started)} | {"started_at_s": now_s})
    connection.execute(sa.insert(run).values(**row, hash=chain.beginning(row)))
    audit_log.append(connection, "run", started.id)


def write(connection: sa.Connection, run_id: str, entries: Sequence[Entry], changes: Changes) -> None:
    """Lengthen the chain of a run, and set what became known.

    Raises:
        StorageError: The run has written as much as it may.
        ValueError: No such run, it has ended, or the entries are not in order; a bug.
    """
    if unknown := changes.keys() - _KNOWN_LATER:
        msg = f"{sorted(unknown)} cannot change in a run"
        raise ValueError(msg)
    held = _held(connection, run_id)
    if held["entries"] + len(entries) > ENTRIES_MAX:
        msg = f"the run {run_id} has written {ENTRIES_MAX} events, which is more than an update that comes forward does"
        raise StorageError(msg, hint="Run the same command again; if it ends so again, see its `history show`")
    _set(connection, run_id, _append(connection, held, entries) | fit(run, changes))


def finish(connection: sa.Connection, run_id: str, entries: Sequence[Entry], ending: Ending, *, now_s: float) -> None:
    """Give a run its verdict, and seal it.

    Raises:
        ValueError: No such run, it has a verdict, this is none, or the entries are not in order; a bug.
    """
    held = _held(connection, run_id)
    room = max(0, ENTRIES_MAX + _LAST_ENTRIES - int(held["entries"]))
    links = _append(connection, held, entries[-room:] if room else ())
    stored = _stored_ending(ending)
    last = fit(run, {"finished_at_s": now_s, "verdict": stored["verdict"], "ending": stored})
    sealed = chain.seal(links["hash"], {**held, **last})
    _set(connection, run_id, links | last | {"hash": sealed})


def abandon(connection: sa.Connection, which: sa.ColumnElement[bool], *, now_s: float) -> list[str]:
    """Close those of the runs `which` that are open, as killed, and tell their ids, oldest first."""
    # all are held before the first is written: who writes holds the head of the audit log, and must wait for nobody
    wanted = sa.select(run.c.id).where(which, run.c.verdict.is_(None)).order_by(run.c.no).with_for_update()
    ids = list(connection.execute(wanted).scalars())
    for run_id in ids:
        finish(connection, run_id, (), KILLED, now_s=now_s)
    return ids


def put_mark(connection: sa.Connection, run_id: str, device: DeviceKeys, told: Mark, *, now_s: float) -> None:
    """Keep how far a file has come, in place of what was known of it."""
    at_s = now_s - max(0.0, told.age_s)
    key = _mark_key(device, told.component, told.file)
    rest = {"run": run_id, "sha256": told.sha256, "offset": told.offset, "learned": told.learned, "at_s": at_s}
    if not connection.execute(sa.update(mark).where(_is_mark(key)).values(**rest)).rowcount:
        connection.execute(sa.insert(mark).values(**key, **rest))
    audit_log.append(connection, "mark", *key.values())


def drop_mark(connection: sa.Connection, device: DeviceKeys, component: str, file: int) -> None:
    """Forget how far a file has come, if that is known."""
    key = _mark_key(device, component, file)
    if connection.execute(sa.delete(mark).where(_is_mark(key))).rowcount:
        audit_log.append(connection, "mark", *key.values())


def _mark_key(device: DeviceKeys, component: str, file: int) -> dict[str, Any]:
    return {"product_key": device[0], "device_key": device[1], "component": component, "file": file}


def _is_mark(key: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    return sa.and_(*(mark.c[name] == value for name, value in key.items()))


def _held(connection: sa.Connection, run_id: str) -> dict[str, Any]:
    """The row of an open run, held against other writers until the transaction ends."""
    wanted = sa.select(run).where(run.c.id == run_id).with_for_update()
    found = connection.execute(wanted).mappings().one_or_none()
    if found is None or found["verdict"] is not None:
        msg = f"the run {run_id} " + ("is not in the ledger" if found is None else f"has ended: {found['verdict']}")
        raise ValueError(msg)
    return {str(name): value for name, value in found.items()}


def _append(connection: sa.Connection, held: Mapping[str, Any], entries: Sequence[Entry]) -> dict[str, Any]:
    """Store `entries` and tell the columns of the run that follow from them."""
    last_seq, last_hash, rows = held["last_seq"], held["hash"], list[dict[str, Any]]()
    for entry in entries:
        if entry.seq <= last_seq:
            msg = f"the run {held['id']} has an event {last_seq}, and {entry.seq} comes after it"
            raise ValueError(msg)
        row = fit(event, {"at_s": entry.at_s, "name": entry.name, "body": chain.bounded(entry.body)})
        last_seq, last_hash = entry.seq, chain.follow(last_hash, Entry(entry.seq, **row))
        rows.append(row | {"run": held["id"], "seq": entry.seq, "hash": last_hash})
    if rows:
        connection.execute(sa.insert(event), rows)
    return {"entries": held["entries"] + len(rows), "last_seq": last_seq, "hash": last_hash}


def _set(connection: sa.Connection, run_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(sa.update(run).where(run.c.id == run_id).values(**values))
    audit_log.append(connection, "run", run_id)


def _stored_ending(ending: Ending) -> dict[str, Any]:
    """`ending` as JSON, cut where it is too large: whatever it holds, it can be stored."""
    components = plain(ending.components)
    if (size := len(canonical(components))) > chain.BODY_MAX:
        components = [{"truncated": True, "bytes": size}]
    return {
        "verdict": str(Verdict(ending.verdict)),
        "reason": clean(ending.reason, most=TEXT_MAX),
        "exit_code": ending.exit_code,
        "message": clean(ending.message, most=TEXT_MAX, keep="\n"),
        "hint": clean(ending.hint, most=TEXT_MAX, keep="\n"),
        "components": components,
        "bytes_sent": ending.bytes_sent,
        "bytes_resent": ending.bytes_resent,
        "seconds": plain(ending.seconds),
    }

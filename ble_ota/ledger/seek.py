"""Reading runs: by id, by device, and those that were left unfinished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from ble_ota.errors import UsageError
from ble_ota.ledger.rows import CARRIED_ON, FINAL, DeviceKeys, Ending, Entry, RunRow
from ble_ota.ledger.schema import event, mark, report, run
from ble_ota.model import Mark

PREFIX_MIN = 4  # characters of an id that may stand for it
LONG_AGO_S = 1e9  # thirty years: the age of a mark from the future
_SHOWN = 5  # runs that an ambiguous prefix names
_COLUMNS = tuple(f.name for f in fields(RunRow))


def belongs(*, product_key: str, device_key: str, address: str) -> sa.ColumnElement[bool]:
    """Whether a run is of this device: by its keys; by its address where one of the two has no keys."""
    keys = sa.and_(run.c.product_key == product_key, run.c.device_key == device_key)
    same_address = sa.func.lower(run.c.address) == address.lower()
    match bool(device_key), bool(address):
        case True, True:
            return sa.or_(keys, sa.and_(run.c.device_key == "", same_address))
        case True, False:
            return keys
        case False, True:
            return same_address
        case _:
            return sa.false()


def find(connection: sa.Connection, id_or_prefix: str) -> RunRow | None:
    """The run with this id, or the only one whose id begins so.

    Raises:
        UsageError: Several begin so.
    """
    if found := _rows(connection, sa.select(run).where(run.c.id == id_or_prefix)):
        return found[0]
    if len(id_or_prefix) < PREFIX_MIN:
        return None
    alike = sa.select(run).where(run.c.id.startswith(id_or_prefix, autoescape=True)).order_by(run.c.no.desc())
    # SQLite takes upper and lower case for the same
    found = [r for r in _rows(connection, alike.limit(_SHOWN + 1)) if r.id.startswith(id_or_prefix)]
    if len(found) > 1:
        names = ", ".join(r.id for r in found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        msg = f"`{id_or_prefix}` is the beginning of several runs: {names}"
        raise UsageError(msg, hint="Write more of the one you mean")
    return found[0] if found else None


def listed(
    connection: sa.Connection, *, device: DeviceKeys | None, of: str, only_open: bool, limit: int, before: str
) -> list[RunRow]:
    """See `Ledger.runs`."""
    wanted = sa.select(run).order_by(run.c.no.desc()).limit(limit)
    if device is not None:
        wanted = wanted.where(run.c.product_key == device[0], run.c.device_key == device[1])
    if of:
        both = run.c.product_key + "/" + run.c.device_key
        wanted = wanted.where(
            sa.or_(run.c.device_key == of, run.c.name == of, sa.func.lower(run.c.address) == of.lower(), both == of)
        )
    if only_open:
        wanted = wanted.where(run.c.verdict.is_(None))
    if before:
        wanted = wanted.where(run.c.no < sa.select(run.c.no).where(run.c.id == before).scalar_subquery())
    return _rows(connection, wanted)


def open_runs(connection: sa.Connection, here: sa.ColumnElement[bool]) -> list[RunRow]:
    """See `Ledger.open_runs`."""
    return _rows(connection, sa.select(run).where(here, run.c.verdict.is_(None)).order_by(run.c.no.desc()))


def entries(connection: sa.Connection, run_id: str) -> list[Entry]:
    """The events of a run, in their order."""
    found = connection.execute(sa.select(event).where(event.c.run == run_id).order_by(event.c.seq))
    return [Entry(row.seq, row.at_s, row.name, row.body) for row in found]


def pending(connection: sa.Connection, *, product_key: str, device_key: str, address: str) -> RunRow | None:
    """See `Ledger.pending`."""
    left = _left(connection, belongs(product_key=product_key, device_key=device_key, address=address))
    return _row(left) if left else None


def unfinished(connection: sa.Connection) -> list[RunRow]:
    """See `Ledger.unfinished`."""
    candidates = sa.select(run.c.product_key, run.c.device_key, run.c.address).where(
        run.c.approved_by != "", sa.or_(run.c.verdict.is_(None), run.c.verdict.in_(CARRIED_ON))
    )
    found: dict[int, RunRow] = {}
    for product_key, device_key, address in connection.execute(candidates.distinct()).all():
        here = belongs(product_key=product_key, device_key=device_key, address=address)
        if left := _left(connection, here):
            found[left["no"]] = _row(left)
    return [found[no] for no in sorted(found, reverse=True)]


def _left(connection: sa.Connection, here: sa.ColumnElement[bool]) -> sa.RowMapping | None:
    """The newest approved run after the last one that is settled, by a final verdict or a person, if it is to go on."""
    by_a_person = sa.exists().where(report.c.run == run.c.id, report.c.resolved_by != "")
    final = sa.or_(run.c.verdict.in_(FINAL), by_a_person)
    settled = sa.select(sa.func.coalesce(sa.func.max(run.c.no), 0)).where(here, final)
    approved = sa.select(run).where(here, run.c.approved_by != "", run.c.no > settled.scalar_subquery())
    newest = connection.execute(approved.order_by(run.c.no.desc()).limit(1)).mappings().one_or_none()
    return newest if newest and (newest["verdict"] is None or newest["verdict"] in CARRIED_ON) else None


def last_mark(
    connection: sa.Connection, device: DeviceKeys, component: str, file: int, *, sha256: str, now_s: float
) -> Mark | None:
    """See `Ledger.last_mark`."""
    found = connection.execute(
        sa.select(mark).where(
            mark.c.product_key == device[0],
            mark.c.device_key == device[1],
            mark.c.component == component,
            mark.c.file == file,
        )
    ).one_or_none()
    if found is None or found.sha256 != sha256:
        return None
    age_s = now_s - found.at_s if now_s >= found.at_s else LONG_AGO_S
    return Mark(found.component, found.file, found.sha256, found.offset, found.learned, age_s)


def _rows(connection: sa.Connection, wanted: sa.Select[*tuple[Any, ...]]) -> list[RunRow]:
    return [_row(found) for found in connection.execute(wanted).mappings().all()]


def _row(found: Mapping[Any, Any]) -> RunRow:
    stored: Mapping[str, Any] | None = found["ending"]
    ending = None if stored is None else Ending(**{f.name: stored[f.name] for f in fields(Ending) if f.name in stored})
    return RunRow(**{name: found[name] for name in _COLUMNS if name != "ending"}, ending=ending)

"""Status reports: kept first, sent then, and never lost in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import get_args

import sqlalchemy as sa

from ble_ota.errors import UsageError
from ble_ota.ledger import audit_log
from ble_ota.ledger.rows import DeviceKeys, Report, ReportState
from ble_ota.ledger.schema import fit, report, run

_COLUMNS = tuple(f.name for f in fields(Report))
_SETTLED = frozenset(get_args(ReportState)) - {"kept"}


def keep(connection: sa.Connection, new: Report, *, now_s: float) -> int:
    """Store a report, unless there is one of this run, component and outcome; its id either way.

    Raises:
        ValueError: No such run; a bug.
    """
    same = sa.select(report.c.id).where(
        report.c.run == new.run, report.c.component == new.component, report.c.outcome == new.outcome
    )
    _hold(connection, new.run)
    if (there := connection.execute(same).scalar()) is not None:
        return int(there)
    values = {name: getattr(new, name) for name in _COLUMNS if name != "id"}
    row = fit(report, values | {"state": "kept", "attempts": 0, "created_at_s": now_s, "changed_at_s": now_s})
    connection.execute(sa.insert(report).values(**row))
    number = int(connection.execute(same).scalar_one())
    audit_log.append(connection, "report", number)
    return number


def resolve(connection: sa.Connection, words: Sequence[Report], *, now_s: float) -> None:
    """Keep the reports of one run that a person settles, all of them or none.

    Args:
        connection: Inside a transaction.
        words: Reports with `resolved_by`, of one run.
        now_s: Unix time, seconds.

    Raises:
        UsageError: The end of one of these components was reported, or is kept to be.
        ValueError: No such run; a bug.
    """
    for word in words:
        _hold(connection, word.run)
        before = report.c.run == word.run, report.c.component == word.component, report.c.outcome != "confirmed"
        if there := connection.execute(sa.select(report.c.outcome, report.c.resolved_by).where(*before)).first():
            by = f"by a person's word, {there.resolved_by}" if there.resolved_by else "by its own run"
            msg = f"run {word.run} was settled before: {word.component or 'firmware'} {there.outcome}, {by}"
            raise UsageError(msg, hint=f"`ble-ota history show {word.run}` shows it; the first word stands")
    for word in words:
        keep(connection, word, now_s=now_s)


def kept(connection: sa.Connection, *, account: str | None, device: DeviceKeys | None) -> list[Report]:
    """Reports not yet settled, oldest first."""
    wanted = sa.select(report).where(report.c.state == "kept").order_by(report.c.id)
    if account is not None:
        wanted = wanted.where(report.c.account == account)
    if device is not None:
        wanted = wanted.where(_of(device))
    return _reports(connection, wanted)


def listed(connection: sa.Connection, *, limit: int) -> list[Report]:
    """All reports, newest first."""
    return _reports(connection, sa.select(report).order_by(report.c.id.desc()).limit(limit))


def of_run(connection: sa.Connection, run_id: str) -> list[Report]:
    """The reports of a run, oldest first."""
    return _reports(connection, sa.select(report).where(report.c.run == run_id).order_by(report.c.id))


def tried(connection: sa.Connection, report_id: int, why: str, *, now_s: float) -> None:
    """Count an attempt that failed; one that was settled meanwhile stays as it is."""
    values = {"attempts": report.c.attempts + 1, "why": why, "changed_at_s": now_s}
    _change(connection, report_id, values)


def settle(connection: sa.Connection, report_id: int, state: str, why: str, *, now_s: float) -> None:
    """End the keeping of a report; what was settled before stays as it is.

    Raises:
        ValueError: No such state to end in; a bug.
    """
    if state not in _SETTLED:
        msg = f"a report ends as one of {sorted(_SETTLED)}, not {state!r}"
        raise ValueError(msg)
    _change(connection, report_id, {"state": state, "why": why, "changed_at_s": now_s})


def confirmed(connection: sa.Connection, device: DeviceKeys, *, plan_id: str, fingerprint: str, component: str) -> bool:
    """See `Ledger.confirmed`."""
    told = _confirmations(device).where(
        report.c.plan_id == plan_id, run.c.fingerprint == fingerprint, report.c.component == component
    )
    end = report.alias()
    ended = sa.exists().where(
        end.c.product_key == report.c.product_key,
        end.c.device_key == report.c.device_key,
        end.c.component == report.c.component,
        end.c.outcome != "confirmed",
        end.c.id > report.c.id,
    )
    return connection.execute(told.where(~ended).limit(1)).first() is not None


def newer_confirmed(connection: sa.Connection, than: Report) -> bool:
    """See `Ledger.newer_confirmed`."""
    began = sa.select(run.c.no).where(run.c.id == than.run).scalar_subquery()
    told = _confirmations((than.product_key, than.device_key)).where(run.c.no > began)
    return connection.execute(told.limit(1)).first() is not None


def _confirmations(device: DeviceKeys) -> sa.Select[tuple[int]]:
    """Confirmations of a device that reached the Developer Center."""
    joined = report.join(run, report.c.run == run.c.id)
    told = sa.select(report.c.id).select_from(joined)
    return told.where(_of(device), report.c.outcome == "confirmed", report.c.state == "sent")


def _of(device: DeviceKeys) -> sa.ColumnElement[bool]:
    return sa.and_(report.c.product_key == device[0], report.c.device_key == device[1])


def _hold(connection: sa.Connection, run_id: str) -> None:
    """Hold a run, so that of two that keep the same report one waits for the other."""
    if connection.execute(sa.select(run.c.no).where(run.c.id == run_id).with_for_update()).first() is None:
        msg = f"the run {run_id} is not in the ledger"
        raise ValueError(msg)


def _change(connection: sa.Connection, report_id: int, values: Mapping[str, object]) -> None:
    """Change a report that is kept.

    Raises:
        ValueError: There is no report of this number; a bug.
    """
    this = sa.update(report).where(report.c.id == report_id, report.c.state == "kept")
    if connection.execute(this.values(**values)).rowcount:
        audit_log.append(connection, "report", report_id)
        return
    if connection.execute(sa.select(report.c.id).where(report.c.id == report_id)).first() is None:
        msg = f"there is no report {report_id}"
        raise ValueError(msg)


def _reports(connection: sa.Connection, wanted: sa.Select[*tuple[object, ...]]) -> list[Report]:
    found = connection.execute(wanted).mappings().all()
    return [Report(**{name: row[name] for name in _COLUMNS}) for row in found]

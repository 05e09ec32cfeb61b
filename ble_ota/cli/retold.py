"""A run out of the ledger, as history tells it: as data, as a line, and in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ble_ota.ledger import Entry, Report, RunRow


@dataclass(frozen=True, slots=True)
class Retold:
    """A run with all that belongs to it."""

    row: RunRow
    chain: Sequence[RunRow]
    """The run that it carried on, the one before that, and so forth."""
    reports: Sequence[Report]
    """Of this run, and of those it carried on."""
    events: Sequence[Entry]

    @property
    def planned(self) -> RunRow:
        """The run whose plan this is about: itself, or the one it carried on, if it needed no plan of its own."""
        return next((r for r in (self.row, *self.chain) if r.plan), self.row)


def utc(at_s: float | None) -> str | None:
    """A time for programs: UTC, to the millisecond."""
    if at_s is None:
        return None
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(at_s: float) -> str:
    """A time for people: theirs, with its distance from UTC."""
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


# ---------------------------------------------------------------- in short


def brief(row: RunRow) -> dict[str, Any]:
    """What a list tells of a run."""
    return {
        "run": row.id,
        "command": row.command,
        "started_at": utc(row.started_at_s),
        "duration_s": _duration_s(row),
        "device": {k: getattr(row, k) for k in ("product_key", "device_key", "address", "name")},
        "asked": row.asked,
        "versions": _versions(row),
        "verdict": row.ending.verdict if row.ending else None,
        "reason": row.ending.reason if row.ending else None,
    }


def line(row: RunRow) -> str:
    """A run in one line."""
    took = "" if row.finished_at_s is None else f"{_duration_s(row):.1f} s"
    versions = ", ".join(_arrow(v) for v in _versions(row)) or "-"
    verdict = row.ending.verdict if row.ending else "no verdict"
    return "  ".join((local(row.started_at_s), row.id, row.command, device_text(row), versions, verdict, took)).rstrip()


def device_text(row: RunRow) -> str:
    """A device as people know it; what was asked for, where none was found."""
    keys = f"{row.product_key}/{row.device_key}" if row.device_key else ""
    return " ".join(filter(None, (keys, row.name, row.address))) or row.asked


def _versions(row: RunRow) -> list[dict[str, Any]]:
    """From what to what; a run without a plan of its own tells what it saw."""
    if row.plan:
        return [{"component": c["no"], "from": c["running"], "to": c["target_version"]} for c in row.plan["components"]]
    return [{"component": no, "from": row.versions_before.get(no), "to": v} for no, v in row.versions_after.items()]


def _arrow(versions: Mapping[str, Any]) -> str:
    return f"{versions['component'] or 'firmware'} {versions['from'] or 'unknown'} -> {versions['to']}"


def _duration_s(row: RunRow) -> float | None:
    return None if row.finished_at_s is None else round(max(0.0, row.finished_at_s - row.started_at_s), 3)


# ---------------------------------------------------------------- in full


def full(told: Retold, *, events: bool) -> dict[str, Any]:
    """All that is known of a run, but its settings; with its events if they are wanted."""
    row, planned, ending = told.row, told.planned, told.row.ending
    data = brief(row) | {
        "finished_at": utc(row.finished_at_s),
        "who": row.who,
        "tool": row.tool,
        "pid": row.pid,
        "radio": row.radio,
        "cloud": row.cloud,
        "arguments": row.arguments,
        "plan": planned.plan_id,
        "approved_by": row.approved_by or planned.approved_by,
        "components": [_component(told, c) for c in planned.plan.get("components", ())],
        "versions_before": row.versions_before,
        "versions_after": row.versions_after,
        "ending": None if ending is None else asdict(ending),
        "carries_on": [brief(r) for r in told.chain],
        "reports": [report_data(r) for r in told.reports],
        "settled_by_person": [
            {"component": r.component, "outcome": r.outcome, "by": r.resolved_by, "at": utc(r.created_at_s)}
            for r in told.reports
            if r.resolved_by
        ],
    }
    return data | {"events": [event_data(e) for e in told.events]} if events else data


def _component(told: Retold, kept: Mapping[str, Any]) -> dict[str, Any]:
    """A component of the plan, and what came of it.

    `sent` are the digests of the bytes that were found to be its, `proof` is how the device told what it runs.
    """
    words = (e.body for e in told.events if e.name == "device.verified" and e.body.get("component") == kept["no"])
    bodies = [e.body for e in told.events if e.name == "image.verified" and e.body.get("component") == kept["no"]]
    return {
        "component": kept["no"],
        "kind": kept["kind"],
        "delta": kept["delta"],
        "from": kept["running"],
        "to": kept["target_version"],
        "files": kept["files"],
        "sent": [f"sha256:{body.get('sha256')}" for body in bodies],
        "runs": told.row.versions_after.get(kept["no"]),
        "proof": next((body.get("proof") for body in words), None),
    }


def report_data(report: Report) -> dict[str, Any]:
    """A report as data."""
    plain = asdict(report)
    for name in ("created_at_s", "changed_at_s", "plan_ends_at_s"):
        plain[name.removesuffix("_s")] = utc(plain.pop(name))
    return plain


def report_line(report: Report) -> str:
    """A report in one line."""
    why = f": {report.why}" if report.why else ""
    by = f" by the word of {report.resolved_by}" if report.resolved_by else ""
    times = f" after {report.attempts} attempts" if report.attempts else ""
    return f"{report.id}  {report.component or 'firmware'} {report.outcome}{by}  {report.state}{times}{why}"


def event_data(entry: Entry) -> dict[str, Any]:
    """An event as data."""
    return {"seq": entry.seq, "ts": utc(entry.at_s), "event": entry.name} | dict(entry.body)


def text(told: Retold, *, events: bool) -> str:
    """A run in full, for people; with its events if they are wanted."""
    row, planned = told.row, told.planned
    by = f" (agreed to: {row.approved_by or planned.approved_by})" if row.approved_by or planned.approved_by else ""
    took = "" if row.finished_at_s is None else f", took {_duration_s(row):.1f} s"
    lines = [
        f"Run {row.id}: {row.command}, {_verdict(row)}",
        f"  device      {device_text(row)}",
        f"  when        {local(row.started_at_s)}{took}",
        f"  by          {row.who}, with ble-ota {row.tool}",
        f"  over        radio {row.radio}, cloud {row.cloud}",
        f"  plan        {planned.plan_id or 'none'}{by}",
    ]
    for kept in planned.plan.get("components", ()):
        lines += _component_lines(_component(told, kept))
    lines += _ending_lines(row)
    lines += [f"  settled     by a person's word: {_word(r)}" for r in told.reports if r.resolved_by]
    lines += [f"  carries on  {line(r)}" for r in told.chain]
    lines += [f"  report      {report_line(r)}" for r in told.reports]
    if events:
        lines += [f"  {local(e.at_s)}  {e.name}  {_body(e)}" for e in told.events]
    return "\n".join(lines)


def _word(report: Report) -> str:
    return f"{report.component or 'firmware'} {report.outcome}, by {report.resolved_by}, {local(report.created_at_s)}"


def _verdict(row: RunRow) -> str:
    if row.ending is None:
        return "no verdict: it is running, or its process died"
    return f"{row.ending.verdict} ({row.ending.reason}, exit {row.ending.exit_code})"


def _component_lines(component: Mapping[str, Any]) -> list[str]:
    kind = f"{'delta' if component['delta'] else 'full'}, {component['kind']}"
    by = f", told by: {component['proof']}" if component["proof"] else ""
    runs = f"; proven: it runs {component['runs']}{by}" if component["runs"] else ""
    lines = [f"  component   {_arrow(component)} ({kind}){runs}"]
    for file in component["files"]:
        digests = ", ".join(file["digests"]) or "no digest"
        lines.append(f"    file      {file['name'] or 'no name'}: {file['size']} bytes, {digests}")
    return lines + [f"    sent as   {digest}" for digest in component["sent"]]


def _ending_lines(row: RunRow) -> list[str]:
    if (ending := row.ending) is None:
        return []
    seconds = ", ".join(f"{phase} {s:g}" for phase, s in ending.seconds.items())
    lines = [f"  sent        {ending.bytes_sent} bytes, {ending.bytes_resent} of them again"]
    lines += [f"  seconds     {seconds}"] if seconds else []
    lines.append(f"  ended       {ending.message}")
    return lines + ([f"  hint        {ending.hint}"] if ending.hint else [])


def _body(entry: Entry) -> str:
    return ", ".join(f"{k} {v}" for k, v in entry.body.items() if not isinstance(v, list | dict))

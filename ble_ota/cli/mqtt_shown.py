"""Plans of MQTT devices as a person reads them, and as data. All that came from the server is cleaned here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, tzinfo
from typing import Any

from ble_ota.cli.render import size
from ble_ota.cli.when import shown, shown_period, typed
from ble_ota.cloud.text import notes, one_line
from ble_ota.model import Blocked, Conditions, UpToDate
from ble_ota.mqtt import APPOINTMENT_MIN_S, Action, Keys, MqttPlan, Order, Part, Period, judge

NOTES_MAX = 20  # lines
HEADS = ("DEVICE", "PLAN", "STAGE", "PROGRESS", "FROM -> TO", "UNTIL")


@dataclass(frozen=True, slots=True)
class Here:
    """When and where it is shown: Unix seconds, and the zone of the reader; None is this machine's."""

    now_s: float
    zone: tzinfo | None = None


def many(count: int, what: str) -> str:
    """`1 device`, `2 devices`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text, each column as wide as a terminal needs for its widest cell."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    padded = (
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in padded)


def percent(progress: float | None) -> str:
    """`60 %`, or a dash where nobody says."""
    return "-" if progress is None else f"{progress * 100:.0f} %"


def named(keys: Keys) -> str:
    """A device as it is typed."""
    return one_line(str(keys))


def row(plan: MqttPlan, here: Here) -> tuple[str, ...]:
    """A plan under `HEADS`."""
    versions = ", ".join(f"{one_line(p.no)} {_versions(p)}".strip() for p in plan.parts)
    until = "-" if plan.period.end_s is None else shown(plan.period.end_s, here.zone)
    return (
        named(plan.keys),
        one_line(plan.ref.plan_id),
        plan.said(here.now_s),
        percent(plan.progress),
        one_line(versions) or "-",
        until,
    )


def long_form(plan: MqttPlan, here: Here) -> str:
    """A plan in full."""
    appointment = "none" if plan.appointment is None else shown_period(plan.appointment, here.zone)
    lines = [
        f"Plan {one_line(plan.ref.plan_id)} for {named(plan.keys)} {one_line(plan.name)}".rstrip(),
        f"  stage: {plan.said(here.now_s)}" + ("" if plan.progress is None else f", {percent(plan.progress)}"),
        f"  period: {shown_period(plan.period, here.zone)}",
        f"  appointment: {appointment}",
        f"  conditions: {_conditions(plan.conditions)}",
        *_noted(plan.notes),
    ]
    for part in plan.parts:
        lines += [_part(part), *_noted(part.notes)]
    return "\n".join(lines)


def actions(plan: MqttPlan, here: Here) -> str:
    """What each action would do."""
    return "\n".join(f"  {a.name.lower()}: {_would(plan, a, here)}" for a in Action)


def _versions(part: Part) -> str:
    return f"{one_line(part.running) or 'unknown'} -> {one_line(part.target)}"


def _part(part: Part) -> str:
    length = "size unknown" if part.size_bytes is None else size(part.size_bytes)
    kind = f"{'delta' if part.delta else 'full'}, {length}, {'mcu' if part.mcu else 'module'}"
    return f"  {one_line(part.no) or 'firmware'}: {_versions(part)} ({kind})"


def _noted(text: str) -> list[str]:
    return [f"    | {line}" for line in notes(text).splitlines()[:NOTES_MAX]]


def _conditions(asked: Conditions) -> str:
    by_name = {
        "battery": (asked.battery_percent, "%"),
        "signal": (asked.rssi_dbm, "dBm"),
        "free space": (asked.free_bytes, "bytes"),
    }
    said = [f"{what} at least {value} {unit}" for what, (value, unit) in by_name.items() if value is not None]
    return ", ".join(said) or "none"


def _would(plan: MqttPlan, action: Action, here: Here) -> str:
    """What `action` would do now."""
    match judge(plan, action, now_s=here.now_s):
        case UpToDate(why):
            return f"nothing to do: {why}"
        case Blocked(why, _):
            return f"not now: {why}"
        case Order():
            pass
    match action:
        case Action.CONFIRM:
            return "the platform issues it at once"
        case Action.APPOINT:
            return _fits(plan.period, here)
        case Action.CANCEL:
            return "ends the plan for good"
        case Action.RETRY:
            return "the platform issues it again at once"


def _fits(period: Period, here: Here) -> str:
    left = Period(max(period.start_s or 0.0, here.now_s), period.end_s)
    if left.end_s is not None and left.end_s - (left.start_s or 0.0) < APPOINTMENT_MIN_S:
        return "not any more: less than an hour of its period is left"
    return f"fits {shown_period(left, here.zone).removeprefix('from ')}, one hour at least"


# ---------------------------------------------------------------- data


def plan_data(plan: MqttPlan, here: Here) -> dict[str, Any]:
    """A plan for programs; times are UTC."""
    return standing_data(plan, here.now_s) | {
        "name": one_line(plan.name),
        "notes": notes(plan.notes),
        "period": _period_data(plan.period),
        "conditions": asdict(plan.conditions),
        "components": [_part_data(part) for part in plan.parts],
        "actions": {a.name.lower(): _would(plan, a, here) for a in Action},
    }


def standing_data(plan: MqttPlan, now_s: float) -> dict[str, Any]:
    """Where a device stands, for programs."""
    return {
        "device": named(plan.keys),
        "plan": one_line(plan.ref.plan_id),
        "stage": plan.stage(now_s).value,
        "status": plan.status,
        "word": plan.word,
        "progress": plan.progress,
        "appointment": None if plan.appointment is None else _period_data(plan.appointment),
    }


def _period_data(period: Period) -> Mapping[str, str | None]:
    ends = {"start": period.start_s, "end": period.end_s}
    return {name: None if at_s is None else typed(at_s, UTC) for name, at_s in ends.items()}


def _part_data(part: Part) -> Mapping[str, object]:
    return {
        "component": one_line(part.no),
        "kind": "mcu" if part.mcu else "module",
        "delta": part.delta,
        "from": one_line(part.running),
        "to": one_line(part.target),
        "size": part.size_bytes,
        "notes": notes(part.notes),
    }

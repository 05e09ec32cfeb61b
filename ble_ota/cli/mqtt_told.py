"""What came of a word said to many devices: a line each, a summary, and one exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from ble_ota.cli.common import Common
from ble_ota.cli.mqtt_plan import failed_data
from ble_ota.cli.mqtt_shown import named
from ble_ota.cli.when import shown_period, typed
from ble_ota.cloud.text import one_line
from ble_ota.fleet import Found, Given, Outcome
from ble_ota.model import Blocked, UpToDate
from ble_ota.mqtt import Action, Period

MESSAGE_MAX = 400  # characters
ALONE: Mapping[str, int] = {"taken": 0, "nothing-to-do": 10, "no-plan": 10, "blocked": 12}  # else 20
DONE: Mapping[Action, str] = {
    Action.CONFIRM: "confirmed; the platform issues the plan",
    Action.APPOINT: "appointed",
    Action.CANCEL: "cancelled; the plan has ended",
    Action.RETRY: "taken; the platform issues the plan again",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One device: "taken", "refused", "unknown", "not-sent", "nothing-to-do", "no-plan", "blocked" or "failed"."""

    device: str
    plan: str | None
    outcome: str
    code: int | None = None
    message: str = ""
    hint: str = ""

    @property
    def line(self) -> str:
        """For a person."""
        why = ": ".join(filter(None, (f"{self.code}" if self.code is not None else "", self.message)))
        said = self.outcome.replace("-", " ")
        return f"{self.device}: {said}: {why}" if why else f"{self.device}: {said}"


def of_found(found: Found) -> Told:
    """A device without a plan, or one that could not be asked for."""
    data = failed_data(found)
    return Told(data["device"], None, data["outcome"], data["code"], data["message"], data["hint"])


def of_judged(found: Found, judged: UpToDate | Blocked) -> Told:
    """A plan to which nothing is said."""
    plan = None if found.plan is None else one_line(found.plan.ref.plan_id)
    if isinstance(judged, Blocked):
        return Told(named(found.keys), plan, "blocked", None, judged.why, judged.hint)
    return Told(named(found.keys), plan, "nothing-to-do", None, judged.why)


def of_given(given: Given) -> Told:
    """An order, and what came of it."""
    ref, message, hint = given.order.ref, one_line(given.message, at_most=MESSAGE_MAX), given.hint
    if given.outcome is Outcome.UNKNOWN:
        message = f"it is not known whether this arrived: {message}"
        hint = "`ble-ota mqtt status` tells whether it did"
    return Told(named(ref.keys), one_line(ref.plan_id), given.outcome.value, given.code, message, one_line(hint))


def done(common: Common, action: Action, told: Sequence[Told], appointment: Period | None) -> int:
    """Give the result, and the exit code."""
    counts = {name.replace("-", "_"): n for name, n in Counter(one.outcome for one in told).items()}
    data: dict[str, Any] = {"devices": [_data(one) for one in told], "taken": 0, "refused": 0} | counts
    if appointment is not None:
        data["appointment"] = {
            "start": typed(appointment.start_s or 0.0, UTC),
            "end": typed(appointment.end_s or 0.0, UTC),
        }
    common.result(data, _text(action, told, appointment))
    return exit_code([one.outcome for one in told])


def exit_code(outcomes: Sequence[str]) -> int:
    """One device has a code of its own; of many, 40 says that some were not taken."""
    words = set(outcomes)
    if len(outcomes) == 1:
        return ALONE.get(outcomes[0], 20)
    if words <= {"nothing-to-do", "no-plan"}:
        return 10
    if words <= {"taken", "nothing-to-do", "no-plan"}:
        return 0
    return 12 if words == {"blocked"} else 40


def _text(action: Action, told: Sequence[Told], appointment: Period | None) -> str:
    what = DONE[action] + ("" if appointment is None else f" for {shown_period(appointment, None)}")
    if not told:
        return "There is no device that is online by itself"
    if len(told) == 1 and told[0].outcome == "taken":
        return f"{told[0].device}: {what}"
    lines = [one.line for one in told if one.outcome != "taken"]
    if len(told) > 1:
        taken = sum(one.outcome == "taken" for one in told)
        lines.append(f"{taken} of {len(told)} taken" + (f": {what}" if taken else ""))
    hints = dict.fromkeys(one.hint for one in told if one.hint)
    return "\n".join([*lines, *(f"\nhint: {hint}" for hint in hints)])


def _data(one: Told) -> Mapping[str, object]:
    return {
        "device": one.device,
        "plan": one.plan,
        "outcome": one.outcome,
        "code": one.code,
        "message": one.message,
        "hint": one.hint,
    }

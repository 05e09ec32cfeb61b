"""`ble-ota mqtt confirm|appoint|cancel|retry`: a person's word, for one device or many."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ble_ota import fleet
from ble_ota.cli import output
from ble_ota.cli.common import Common
from ble_ota.cli.mqtt_plan import asking, raise_if_none
from ble_ota.cli.mqtt_shown import HEADS, Here, columns, long_form, many, named, row
from ble_ota.cli.mqtt_told import Told, done, of_found, of_given, of_judged
from ble_ota.cli.mqtt_watch import standing
from ble_ota.cli.named import Named, Wish, devices, keys_of
from ble_ota.cli.session import session_of
from ble_ota.cli.when import flags, shown_period
from ble_ota.cli.wiring import vault_of
from ble_ota.cloud.text import one_line
from ble_ota.errors import UsageError
from ble_ota.fleet import Center, Found
from ble_ota.model import Blocked
from ble_ota.mqtt import Action, Judgement, MqttPlan, Order, Period, Ref, judge, misfit
from ble_ota.settings import Settings

ROWS_MAX = 20  # plans that are shown before a question
NAMED_MAX = 5  # devices that a sentence names


@dataclass(frozen=True, slots=True)
class Word:
    """What the user wants said, and whether it is agreed to already."""

    action: Action
    yes: bool
    appointment: Period | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A device, and what would be said to its plan; None where it has none."""

    found: Found
    judged: Judgement | None

    @property
    def order(self) -> Order | None:
        """What would be sent."""
        return self.judged if isinstance(self.judged, Order) else None


async def say(common: Common, settings: Settings, wish: Wish, word: Word) -> int:
    """Run one of the four commands; see `said`."""
    async with session_of(common, settings, vault_of(settings)) as center:
        asked = await devices(wish, center)
        return await said(common, center, asked, word, batch=settings.batch, clock=time.time)


async def said(
    common: Common, center: Center, asked: Sequence[Named], word: Word, *, batch: int, clock: Callable[[], float]
) -> int:
    """Look at the plans, ask the user, and give the orders that make sense.

    One device: 0 taken, 10 nothing to do, 11 declined, 12 blocked, 20 refused or not known whether it arrived. Many:
    0 all taken, 10 nothing to do, 11 declined, 12 all blocked, 40 some not taken.

    Raises:
        UsageError: The appointment does not fit, or there is nobody to ask; nothing is sent.
        CloudError: The one device, or none at all, could be asked for.
    """
    asking(common, len(asked))
    found = await looked(center, asked, word.action, batch=batch)
    raise_if_none(found)
    here = Here(clock())
    cases = [Case(one, _judged(one, what, word, here)) for one, what in zip(found, asked, strict=True)]
    ready = [case for case in cases if case.order is not None]
    if ready and word.appointment is not None:
        check(word.appointment, [case.found.plan for case in ready if case.found.plan is not None], here)
    if ready and not _agreed(common, word, cases, here):
        common.result({"devices": [], "declined": True}, "You said no; nothing was sent")
        return 11
    orders = list(dict.fromkeys(case.order for case in ready if case.order is not None))
    given = {one.order: one for one in await fleet.give(center, orders, batch=batch, clock=clock)}
    return done(common, word.action, [_told(case, given) for case in cases], word.appointment)


async def looked(center: Center, asked: Sequence[Named], action: Action, *, batch: int) -> list[Found]:
    """Find the plans in question, in the order they are asked for.

    To cancel or to retry, a plan that is named is taken by its id, and one that has ended counts too.
    """
    ended = action in (Action.CANCEL, Action.RETRY)
    now = [one for one in asked if not (ended and isinstance(one, Ref))]
    found = dict(zip(now, await fleet.plans(center, [keys_of(one) for one in now]), strict=True))
    rest = [one for one in asked if one not in found or (ended and found[one] == Found(keys_of(one)))]
    found |= await standing(center, rest, batch=batch)
    return [found[one] for one in asked]


def _judged(found: Found, asked: Named, word: Word, here: Here) -> Judgement | None:
    if found.plan is None:
        return None
    if isinstance(asked, Ref) and found.plan.ref != asked:
        why = f"its plan is {one_line(found.plan.ref.plan_id)} now, not {asked.plan_id}"
        return Blocked(why, "Look at it by `ble-ota mqtt plan`, and name the device alone or with that plan")
    return judge(found.plan, word.action, now_s=here.now_s, appointment=word.appointment)


def _told(case: Case, given: dict[Order, fleet.Given]) -> Told:
    if case.judged is None:
        return of_found(case.found)
    if isinstance(case.judged, Order):
        return of_given(given[case.judged])
    return of_judged(case.found, case.judged)


# ---------------------------------------------------------------- appointments


def check(wanted: Period, plans: Sequence[MqttPlan], here: Here) -> None:
    """Hold an appointment against every plan's rules.

    Raises:
        UsageError: It breaks one; with the devices, and what would fit all of them.
    """
    wrong: dict[str, list[MqttPlan]] = {}
    for plan in plans:
        if broken := misfit(wanted, plan.period, now_s=here.now_s):
            wrong.setdefault(broken.rule, []).append(plan)
    if wrong:
        rules = "; ".join(_broken(rule, some, here) for rule, some in wrong.items())
        msg = f"the appointment {shown_period(wanted, here.zone)} cannot be: {rules}"
        raise UsageError(msg, hint=_fitting(wanted, plans, here))


def _broken(rule: str, plans: Sequence[MqttPlan], here: Here) -> str:
    names = ", ".join(named(plan.keys) for plan in plans[:NAMED_MAX])
    more = f" and {len(plans) - NAMED_MAX} more" if len(plans) > NAMED_MAX else ""
    period = f", {shown_period(plans[0].period, here.zone)}" if "period" in rule else ""
    return f"{rule}{period} ({names}{more})"


def _fitting(wanted: Period, plans: Sequence[MqttPlan], here: Here) -> str:
    """What would fit all of `plans`, as it is typed."""
    starts = [p.period.start_s for p in plans if p.period.start_s is not None]
    ends = [p.period.end_s for p in plans if p.period.end_s is not None]
    shared = Period(max(starts, default=None), min(ends, default=None))
    broken = misfit(wanted, shared, now_s=here.now_s)
    if broken is not None and broken.fits is not None:
        return f"This fits: {flags(broken.fits, here.zone)}"
    if len(plans) == 1:
        return "Less than an hour of the plan's period is left: confirm it, or make its period longer"
    return "No hour lies within the periods of all of them: appoint them in groups; `ble-ota mqtt plan` shows when"


# ---------------------------------------------------------------- the question


def _agreed(common: Common, word: Word, cases: Sequence[Case], here: Here) -> bool:
    """Show what would be done, and hear the user's word. Raises `UsageError` where there is nobody to ask."""
    if word.yes:
        common.tell(_shown(cases, here))
        return True
    if not common.may_ask:
        msg = f"to {word.action.name.lower()} wants a word of yours, and there is nobody to ask"
        raise UsageError(msg, hint="Pass `--yes` to agree without being asked")
    output.write(sys.stderr, _shown(cases, here) + "\n")
    return common.agree(_question(word, sum(case.order is not None for case in cases), here))


def _shown(cases: Sequence[Case], here: Here) -> str:
    plans = [case.found.plan for case in cases if case.order is not None and case.found.plan is not None]
    if len(cases) == 1:
        return long_form(plans[0], here)
    lines = [columns([HEADS, *(row(plan, here) for plan in plans[:ROWS_MAX])])]
    if len(plans) > ROWS_MAX:
        lines.append(f"and {len(plans) - ROWS_MAX} more")
    if left := len(cases) - len(plans):
        lines.append(f"{many(left, 'other device')} with no such plan")
    return "\n".join(lines)


def _question(word: Word, count: int, here: Here) -> str:
    plans = "this plan" if count == 1 else f"these {count} plans"
    match word.action:
        case Action.CONFIRM:
            return f"Confirm {plans}? The platform issues {'it' if count == 1 else 'them'} at once"
        case Action.APPOINT:
            return f"Appoint {plans} for {shown_period(word.appointment or Period(), here.zone)}?"
        case Action.CANCEL:
            return f"Cancel {plans}? This cannot be undone: it ends the plan for {many(count, 'device')}"
        case Action.RETRY:
            return f"Have {plans} issued again at once?"

"""How it goes: asked again and again, until every device has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ble_ota.errors import CloudError, CloudUnreachableError
from ble_ota.fleet.asking import standings
from ble_ota.fleet.center import Center, concerns_all
from ble_ota.mqtt import MqttPlan, Ref

BACK_OFF = 1.5  # our choice: a watch asks less often while nothing changes …
POLL_MAX = 10  # … down to a tenth as often
UNLISTED_MAX = 3  # times in a row that a device is missing before it counts as gone
TROUBLE_MAX = 20  # rounds in a row that a watch may fail: ten minutes and more


async def watch(
    center: Center,
    refs: Sequence[Ref],
    *,
    batch: int,
    poll_s: float,
    on_change: Callable[[Ref, MqttPlan | None], None],
    on_trouble: Callable[[CloudError], None],
    clock: Callable[[], float],
) -> dict[Ref, MqttPlan | None]:
    """Ask again and again until every device has ended, and give what each came to.

    A device that the platform does not list three times in a row is given up, as None.

    Args:
        center: The Developer Center.
        refs: The plans.
        batch: Devices in one call.
        poll_s: Seconds between two rounds at first; ten times that after a while in which nothing changes.
        on_change: Hears of each device that stands elsewhere than before; of each one at first.
        on_trouble: Hears of a round that failed; the watch goes on.
        clock: Unix seconds: a plan's period may end.

    Raises:
        CloudError: Too many rounds failed one after the other, or the session is over.
    """
    rounds = _Rounds(refs, clock, on_change)
    pause_s, trouble = poll_s, 0
    while rounds.waiting:
        try:
            found = await standings(center, rounds.waiting, batch=batch)
        except CloudError as error:
            trouble += 1
            over = concerns_all(error) and not isinstance(error, CloudUnreachableError)
            if over or trouble == TROUBLE_MAX:
                raise
            on_trouble(error)
        else:
            trouble = 0
            pause_s = poll_s if rounds.take(found) else min(pause_s * BACK_OFF, poll_s * POLL_MAX)
        if rounds.waiting:
            await asyncio.sleep(pause_s)
    return rounds.seen


class _Rounds:
    """Who is still waited for, and where each stood when it was last told."""

    def __init__(
        self, refs: Sequence[Ref], clock: Callable[[], float], on_change: Callable[[Ref, MqttPlan | None], None]
    ) -> None:
        self.waiting = list(dict.fromkeys(refs))
        self.seen: dict[Ref, MqttPlan | None] = {}
        self._missing = dict.fromkeys(refs, 0)
        self._told: dict[Ref, object] = {}
        self._clock = clock
        self._on_change = on_change

    def take(self, found: dict[Ref, MqttPlan]) -> bool:
        """Take one round's answers; tell what changed, and give whether anything did."""
        now_s = self._clock()
        changed = [self._changed(ref, found.get(ref), now_s) for ref in self.waiting]
        self.waiting = [ref for ref in self.waiting if not self._has_ended(ref, now_s)]
        return any(changed)

    def _changed(self, ref: Ref, plan: MqttPlan | None, now_s: float) -> bool:
        self._missing[ref] = 0 if plan else self._missing[ref] + 1
        if plan is None and self._missing[ref] < UNLISTED_MAX:
            return False
        self.seen[ref] = plan
        place = plan and (plan.said(now_s), plan.progress, plan.appointment)
        if ref in self._told and self._told[ref] == place:
            return False
        self._told[ref] = place
        self._on_change(ref, plan)
        return True

    def _has_ended(self, ref: Ref, now_s: float) -> bool:
        plan = self.seen.get(ref)
        return self._missing[ref] >= UNLISTED_MAX if plan is None else plan.stage(now_s).ended

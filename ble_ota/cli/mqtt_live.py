"""A watch as it is seen: a live table on a terminal, a line per change elsewhere, JSON lines for programs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ble_ota.cli import output
from ble_ota.cli.common import Common
from ble_ota.cli.live import live_on
from ble_ota.cli.mqtt_shown import Here, many, named, percent
from ble_ota.cli.when import shown_period
from ble_ota.cloud.text import one_line
from ble_ota.errors import CloudError
from ble_ota.mqtt import MqttPlan, Ref, Stage

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

HEADS = ("DEVICE", "PLAN", "STAGE", "PROGRESS")
GONE = "gone"  # the platform does not list it any more
LINES_LEFT = 4  # of a terminal: heading, sum, the cursor's, and one to spare
COLOURS = {Stage.SUCCEEDED: "green", Stage.FAILED: "red", Stage.CANCELLED: "red", Stage.EXPIRED: "red"}


def short(ref: Ref, plan: MqttPlan | None, here: Here) -> tuple[str, str, str, str]:
    """A device under `HEADS`."""
    if plan is None:
        return named(ref.keys), one_line(ref.plan_id), GONE, "-"
    said = plan.said(here.now_s)
    if plan.stage(here.now_s) is Stage.APPOINTED and plan.appointment is not None:
        said += f" for {shown_period(plan.appointment, here.zone)}"
    return named(ref.keys), one_line(ref.plan_id), said, percent(plan.progress)


def changed_line(ref: Ref, plan: MqttPlan | None, now_s: float) -> dict[str, Any]:
    """A change as its JSON line; see `events.schema.json`."""
    stamp = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "v": 1,
        "ts": stamp,
        "event": "upgrade.changed",
        "device": named(ref.keys),
        "plan": one_line(ref.plan_id),
        "stage": GONE if plan is None else plan.stage(now_s).value,
        "status": None if plan is None else plan.status,
        "progress": None if plan is None else plan.progress,
    }


class Screen:
    """Takes what a watch finds. Many changes come at once; the table is drawn once for all of them."""

    def __init__(self, common: Common, refs: Sequence[Ref], clock: Callable[[], float], live: Live | None) -> None:
        self._common = common
        self._clock = clock
        self._live = live
        self._seen: dict[Ref, MqttPlan | None] = {}
        self._unseen = set(refs)
        self._soon: asyncio.Handle | None = None
        self._hinted = False

    @property
    def going(self) -> int:
        """How many have not ended."""
        now_s = self._clock()
        return len(self._unseen) + sum(not _ended(_stage(p, now_s)) for p in self._seen.values())

    def change(self, ref: Ref, plan: MqttPlan | None) -> None:
        """A device stands elsewhere than before."""
        self._seen[ref] = plan
        self._unseen.discard(ref)
        if self._common.json:
            output.write(sys.stdout, json.dumps(changed_line(ref, plan, self._clock())) + "\n")
        elif self._live is None:
            self._common.tell("  ".join(short(ref, plan, Here(self._clock()))))
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._draw)

    def trouble(self, error: CloudError) -> None:
        """A round failed; the watch goes on."""
        self._common.tell(f"warning: {one_line(str(error), at_most=400)}; asking again")

    def close(self) -> None:
        """Nothing more will come."""
        if self._soon is not None:
            self._soon.cancel()

    def _draw(self) -> None:
        self._soon = None
        now_s = self._clock()
        waiting = sum(_stage(p, now_s) is Stage.WAITING for p in self._seen.values())
        if waiting and not self._hinted:
            self._hinted = True
            wait = "waits" if waiting == 1 else "wait"
            self._common.tell(f"{many(waiting, 'device')} {wait} for a word: `ble-ota mqtt confirm` says it")
        if self._live is not None:
            rows = self._live.console.size.height - LINES_LEFT
            self._live.update(table(self._seen, Here(now_s), rows=max(1, rows)), refresh=True)


def table(seen: dict[Ref, MqttPlan | None], here: Here, *, rows: int) -> Group:
    """Where the devices stand, those first that have not ended; at most `rows` of them, the others are counted."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    stages = {ref: _stage(plan, here.now_s) for ref, plan in seen.items()}
    ordered = sorted(seen, key=lambda ref: (_ended(stages[ref]), ref))
    counted = Counter(GONE if stage is None else stage.value for stage in stages.values())
    said = ", ".join(f"{count} {word}" for word, count in counted.most_common())
    more = f"; {len(seen) - rows} not shown" if len(seen) > rows else ""
    made = Table(box=None, pad_edge=False)
    for head in HEADS:
        made.add_column(head, no_wrap=True, overflow="ellipsis")
    for ref in ordered[:rows]:
        stage = stages[ref]
        style = COLOURS.get(stage, "") if stage else "red"
        made.add_row(*(Text(cell, style=style) for cell in short(ref, seen[ref], here)))
    return Group(made, Text(f"{said}{more}", no_wrap=True, overflow="ellipsis"))


def _stage(plan: MqttPlan | None, now_s: float) -> Stage | None:
    return None if plan is None else plan.stage(now_s)


def _ended(stage: Stage | None) -> bool:
    return stage is None or stage.ended


@contextmanager
def screen(common: Common, refs: Sequence[Ref], clock: Callable[[], float]) -> Generator[Screen, None, None]:
    """A screen for the block; the terminal is left as it was."""
    with live_on(common) as live:
        shown = Screen(common, refs, clock, live)
        try:
            yield shown
        finally:
            shown.close()

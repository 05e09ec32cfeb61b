"""A scan as it is seen: a live table on a terminal, JSON lines for programs, and the result at its end."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ble_ota import addresses
from ble_ota.addresses import AddressKind
from ble_ota.cli import output
from ble_ota.cli.common import Common
from ble_ota.cli.live import live_on
from ble_ota.cli.near import Facts, Near, Neighbourhood

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

REFRESH_S = 0.25  # our choice: four times a second reads as at once
AWAY_S = 15.0  # the slowest advertise every 10.24 s (Core Specification Vol 6 Part B 4.4.2.2.1)
LINES_LEFT = 4  # of a terminal: heading, sum, the cursor's, and one to spare
HEADS = ("NAME", "ADDRESS", "SIGNAL", "PROTOCOL", "DEVICE KEY", "PRODUCT KEY", "TYPE", "BONDED", "CONNECTS")
ALWAYS = 5  # columns; of those after them the last go first where they are empty, or the terminal is narrow
GAP = 2
NOT_YET = "not supported yet"


def data(near: Near) -> dict[str, Any]:
    """A device as programs read it."""
    return asdict(near.facts) | {"rssi_dbm": near.rssi_dbm}


def seen_line(near: Near, now_s: float) -> dict[str, Any]:
    """A device that is new or has changed, as its JSON line; see `events.schema.json`."""
    stamp = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"v": 1, "ts": stamp, "event": "scan.seen", **data(near)}


def text(devices: Sequence[Near]) -> str:
    """The result for people."""
    if not devices:
        return "No device whose protocol is known was heard"
    rows = [("ADDRESS", "NAME", "SIGNAL", "PROTOCOL", "PRODUCT/DEVICE KEY")]
    for near in devices:
        said = near.facts
        keys = f"{said.product_key or '?'}/{said.device_key or '?'}" if said.supported else ""
        rows.append((said.address, said.name, _signal(near), _protocol(near), keys))
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell + " " * (w - cell_len(cell)) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _signal(near: Near) -> str:
    return "?" if near.rssi_dbm is None else f"{near.rssi_dbm} dBm"


def _protocol(near: Near) -> str:
    return near.facts.protocol if near.facts.supported else f"{near.facts.protocol} ({NOT_YET})"


def _cells(near: Near) -> tuple[str, ...]:
    """A device under `HEADS`."""
    said = near.facts
    known = {None: "", True: "yes", False: "no"}
    protocol = said.protocol + ("" if said.supported else "*")
    keys = said.device_key, said.product_key
    return (
        *(said.name, said.address, _signal(near), protocol),
        *(*keys, _kind(said), known[said.bonded], known[said.connectable]),
    )


def _kind(said: Facts) -> str:
    """What kind of address it is; "" where there is no telling, or nothing to tell."""
    random = {"random": True, "public": False}.get(said.address_type)
    known = addresses.normal(said.address) is not None
    kind = addresses.kind_of(said.address, random=random) if known else AddressKind.UNKNOWN
    return "" if kind in (AddressKind.UNKNOWN, AddressKind.IDENTIFIER) else kind.value


def table(near: Neighbourhood, now_s: float, *, rows: int, width: int, endless: bool) -> Group:
    """The devices near, the strongest first; at most `rows` of them, the others are counted."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    devices = near.sorted
    shown = [(one, _cells(one)) for one in devices[:rows]]
    columns = _columns([HEADS, *(cells for _, cells in shown)], width)
    made = Table(box=None, pad_edge=False)
    for at in columns:
        made.add_column(HEADS[at], no_wrap=True, overflow="ellipsis")
    for one, cells in shown:
        style = "dim" if not one.facts.supported or now_s - one.heard_s > AWAY_S else ""
        made.add_row(*(Text(cells[at], style=style) for at in columns))
    return Group(made, Text(_sum(near, devices, rows, endless=endless), no_wrap=True, overflow="ellipsis"))


def _columns(lines: Sequence[Sequence[str]], width: int) -> list[int]:
    """Which of `HEADS` are shown on a terminal of `width`; `lines` are its heads and rows."""
    from rich.cells import cell_len

    columns = [at for at in range(len(HEADS)) if at < ALWAYS or any(line[at] for line in lines[1:])]
    widths = [max(cell_len(line[at]) for line in lines) + GAP for at in range(len(HEADS))]
    while len(columns) > ALWAYS and sum(widths[at] for at in columns) - GAP > width:
        columns.pop()
    return columns


def _sum(near: Neighbourhood, devices: Sequence[Near], rows: int, *, endless: bool) -> str:
    known = len(devices)
    parts = [f"{known} device{'' if known == 1 else 's'}"]
    parts += [f"{known - rows} not shown"] if known > rows else []
    parts += [f"{near.others} of no known protocol"] if near.others else []
    parts += [f"* {NOT_YET}"] if not all(one.facts.supported for one in devices) else []
    return "; ".join([*parts, *(["Ctrl-C ends it"] if endless else [])])


class Screen:
    """Takes what is heard. Many are heard at once; they are told, and the table is drawn, once for all of them."""

    def __init__(
        self,
        common: Common,
        near: Neighbourhood,
        clock: Callable[[], float],
        wall: Callable[[], float],
        live: Live | None,
        *,
        endless: bool,
    ) -> None:
        self._common = common
        self._near = near
        self._clock = clock
        self._wall = wall
        self._live = live
        self._endless = endless
        self._changed: dict[str, Near] = {}
        self._soon: asyncio.TimerHandle | None = None

    def heard(self, changed: Near | None) -> None:
        """Something was heard; `changed` is the device if more than its signal is new."""
        if self._common.json and changed is not None:
            self._changed[changed.facts.address] = changed
        if self._soon is None and (self._changed or self._live is not None):
            self._soon = asyncio.get_running_loop().call_later(REFRESH_S, self.refresh)

    def refresh(self) -> None:
        """Tell what has changed, and draw."""
        self._soon = None
        self._tell()
        if self._live is not None:
            size = self._live.console.size
            rows = max(1, size.height - LINES_LEFT)
            drawn = table(self._near, self._clock(), rows=rows, width=size.width, endless=self._endless)
            self._live.update(drawn, refresh=True)

    def _tell(self) -> None:
        lines = [json.dumps(seen_line(near, self._wall())) + "\n" for near in self._changed.values()]
        self._changed.clear()
        if lines:
            output.write(sys.stdout, "".join(lines))

    def close(self) -> None:
        """Nothing more will come; what was not told yet is."""
        if self._soon is not None:
            self._soon.cancel()
        self._tell()


@contextmanager
def screen(
    common: Common, near: Neighbourhood, clock: Callable[[], float], wall: Callable[[], float], *, endless: bool
) -> Generator[Screen, None, None]:
    """A screen for the block; the terminal is left as it was.

    Args:
        common: Its options say who reads.
        near: What is shown.
        clock: That of `near`, in seconds.
        wall: Unix time, in seconds.
        endless: Whether the scan goes on until somebody stops it.
    """
    with live_on(common) as live:
        shown = Screen(common, near, clock, wall, live, endless=endless)
        shown.refresh()
        try:
            yield shown
        finally:
            shown.close()

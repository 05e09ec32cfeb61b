"""The files of the cache as they are told: as data, in a table, and by their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ble_ota.cli.render import size
from ble_ota.cli.retold import utc
from firmware_cache import Entry

SHOWN = 12  # digits of a digest in a table: of a million files about one pair in 280 million is alike


def data(entry: Entry) -> dict[str, Any]:
    """A file for programs."""
    return {
        "sha256": entry.sha256,
        "size_bytes": entry.size_bytes,
        "known_as": [asdict(k) for k in entry.known_as],
        "source": entry.source,
        "added_at": utc(entry.added_s),
        "last_used_at": utc(entry.last_used_s),
        "pins": entry.pins,
    }


def table(found: Sequence[Entry], now_s: float) -> str:
    """A line each, the columns one below the other."""
    rows = [_row(e, now_s) for e in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(entry: Entry, now_s: float) -> tuple[str, ...]:
    used = f"added {_ago(now_s - entry.added_s)}", f"used {_ago(now_s - entry.last_used_s)}"
    pinned = f"pinned by {', '.join(entry.pins)}" if entry.pins else ""
    return entry.sha256[:SHOWN], size(entry.size_bytes), names(entry), *used, pinned


def names(entry: Entry) -> str:
    """The latest name and version, and how many others there are."""
    if not entry.known_as:
        return "-"
    latest = " ".join(filter(None, (entry.known_as[-1].name, entry.known_as[-1].version)))
    return latest + (f" (+{len(entry.known_as) - 1})" if len(entry.known_as) > 1 else "")


def _ago(seconds: float) -> str:
    """How long ago, in whole ones of the largest unit that fits."""
    for unit, factor in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= factor:
            return f"{seconds // factor:.0f} {unit} ago"
    return "now"


def count(found: Sequence[object]) -> str:
    """How many files, in words."""
    return f"{len(found)} file{'' if len(found) == 1 else 's'}"


def lines(each: Sequence[str], others: Sequence[str], how: str) -> str:
    """What is worth a line each, and the others by their number, `how` being what they are or were."""
    plural = how.replace("is ", "are ").replace("was ", "were ")
    last = f"{count(others)} {how if len(others) == 1 else plural}"
    return "\n".join([*each, last] if others or not each else each)


def bring(sha256: str) -> str:
    """How a file comes to a machine with no network."""
    return (
        f"Where there is a network: `ble-ota update`, then `ble-ota cache export fw.tar {sha256[:SHOWN]}`; "
        "here: `ble-ota cache import fw.tar`"
    )

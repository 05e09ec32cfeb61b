"""Runs, their events, how far files have come, and reports not yet sent: kept so that they survive their process.

`Ledger` is the way in; `claimed` holds a device against other processes, `is_free` asks if one does. Nothing of
SQLAlchemy leaves this package.
"""

from __future__ import annotations

from ble_ota.ledger.claim import Owner, claimed
from ble_ota.ledger.head import Head
from ble_ota.ledger.ledger import Ledger
from ble_ota.ledger.machine_lock import LEAVES_NOTHING, is_free, machine_locked
from ble_ota.ledger.rows import (
    CARRIED_ON,
    FINAL,
    Changes,
    DeviceKeys,
    Ending,
    Entry,
    Report,
    ReportedOutcome,
    RunRow,
    Started,
)

__all__ = [
    "CARRIED_ON",
    "FINAL",
    "LEAVES_NOTHING",
    "Changes",
    "DeviceKeys",
    "Ending",
    "Entry",
    "Head",
    "Ledger",
    "Owner",
    "Report",
    "ReportedOutcome",
    "RunRow",
    "Started",
    "claimed",
    "is_free",
    "machine_locked",
]

"""The word of a user, given for many devices: ask for plans, give orders in batches, watch how it goes.

It knows no library; what the Developer Center can be asked comes in as a `Center`. How many calls are in flight, and
how many a second, is the center's own business.
"""

from __future__ import annotations

from ble_ota.fleet.asking import Found, plans, refs, standings
from ble_ota.fleet.center import Center
from ble_ota.fleet.giving import Given, Outcome, give
from ble_ota.fleet.watching import watch

__all__ = ["Center", "Found", "Given", "Outcome", "give", "plans", "refs", "standings", "watch"]

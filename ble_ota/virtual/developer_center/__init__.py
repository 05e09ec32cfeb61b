"""The virtual Developer Center: a real HTTP server with an account, devices, plans and firmware of its own.

It is written from the vendor's documentation alone. Where that is silent, the choice made here stands in the
docstring of the module that makes it, marked *inferred*::

    accounts.py      login, refresh, logout, who am I          passwords.py  the documented encryption and signature
    devices.py       device list, device, its versions         signing.py    what tokens and download links are made of
    upgrades.py      plan query, status report                 plans.py      a plan in either published shape
    object_store.py  firmware files, with Range                ranges.py     the rules of RFC 9110 for one range
    faults.py        everything that can be made to go wrong   server.py     the same on a socket
    records.py       what happened, one line each              state.py      what follows from that
"""

from __future__ import annotations

from ble_ota.virtual.developer_center.center import DeveloperCenter, Lifetimes
from ble_ota.virtual.developer_center.faults import Faults, said_faults
from ble_ota.virtual.developer_center.plans import PlanShape, Terms
from ble_ota.virtual.developer_center.server import serve
from ble_ota.virtual.developer_center.state import REPORT_STATUS

__all__ = ["REPORT_STATUS", "DeveloperCenter", "Faults", "Lifetimes", "PlanShape", "Terms", "said_faults", "serve"]

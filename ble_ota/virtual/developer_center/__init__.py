"""The virtual Developer Center: a real HTTP server with an account, devices, plans and firmware of its own.

It is written from the vendor's documentation alone. Where that is silent, the choice made here stands in the
docstring of the module that makes it, marked *inferred*::

    accounts.py      login, refresh, logout, who am I          passwords.py  the documented encryption and signature
    devices.py       device list, device, its versions         signing.py    what tokens and download links are made of
    upgrades.py      plan query, status report                 plans.py      a plan in either published shape
    object_store.py  firmware files, with Range                ranges.py     the rules of RFC 9110 for one range
    faults.py        everything that can be made to go wrong   server.py     the same on a socket
    records.py       what happened, one line each              state.py      what follows from that
    sms.py           a code by text message                    said.py       files in which a world says more

and for devices that are online by themselves (MQTT)::

    online.py        what such a device does, by the clock     orders.py     what its user said, and what of it holds
    fleet.py         all of them, from records and clock       online_plans.py  their plan as it is told
    online_calls.py  the calls                                 spelling.py   how those are spelled; asked.py reads them
"""

from __future__ import annotations

from ble_ota.virtual.developer_center.center import DeveloperCenter, Lifetimes
from ble_ota.virtual.developer_center.faults import Faults, said_faults
from ble_ota.virtual.developer_center.fleet import OnlineDevice
from ble_ota.virtual.developer_center.online import Habits, OnlineTerms, said_online
from ble_ota.virtual.developer_center.plans import PlanShape, Terms
from ble_ota.virtual.developer_center.server import serve
from ble_ota.virtual.developer_center.spelling import Call, Spelling, said_spelling
from ble_ota.virtual.developer_center.state import REPORT_STATUS

__all__ = [
    "REPORT_STATUS",
    "Call",
    "DeveloperCenter",
    "Faults",
    "Habits",
    "Lifetimes",
    "OnlineDevice",
    "OnlineTerms",
    "PlanShape",
    "Spelling",
    "Terms",
    "said_faults",
    "said_online",
    "said_spelling",
    "serve",
]

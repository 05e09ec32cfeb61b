"""The Developer Center: `DeveloperCenter` is the door, everything else is what goes through it.

::

    client      what is wanted             endpoints   how each call is spelled: data, overridable
    session     tokens and their renewal   auth        how a login is sealed
    exchange    one call over HTTP         codes       what an error code means
    answers     bytes to the envelope's    wire        what comes, bounded
                data                       plans       both plan shapes to one model
"""

from __future__ import annotations

from ble_ota.cloud.account import CloudDevice, Tokens, User
from ble_ota.cloud.auth import Signature, joined
from ble_ota.cloud.client import DeveloperCenter, Reported
from ble_ota.cloud.endpoints import ENDPOINTS, REGIONS, Endpoint, Region, base_url, override

__all__ = [
    "ENDPOINTS",
    "REGIONS",
    "CloudDevice",
    "DeveloperCenter",
    "Endpoint",
    "Region",
    "Reported",
    "Signature",
    "Tokens",
    "User",
    "base_url",
    "joined",
    "override",
]

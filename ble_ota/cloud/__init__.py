"""The Developer Center: `DeveloperCenter` is the door, everything else is what goes through it.

::

    client      what is wanted             openapi.yaml  how each call is spelled, and what that rests on
    mqtt        the same, for MQTT         contract      reads it     endpoints  the same as settings change it
    session     tokens and their renewal   auth          how a login is sealed
    exchange    one call over HTTP         codes         what an error code means
    pace        how many, how fast         wire…         what comes, bounded
    answers     bytes to the envelope's    plans         both plan shapes to one model
                data
"""

from __future__ import annotations

from ble_ota.cloud.account import CloudDevice, Tokens, User
from ble_ota.cloud.auth import Signature, joined
from ble_ota.cloud.client import DeveloperCenter, Reported
from ble_ota.cloud.endpoints import ENDPOINTS, REGIONS, Endpoint, Region, base_url, override
from ble_ota.cloud.session import MemoryTokens, TokenStore

__all__ = [
    "ENDPOINTS",
    "REGIONS",
    "CloudDevice",
    "DeveloperCenter",
    "Endpoint",
    "MemoryTokens",
    "Region",
    "Reported",
    "Signature",
    "TokenStore",
    "Tokens",
    "User",
    "base_url",
    "joined",
    "override",
]

"""The protocols we speak: one module each, all in one form (`driver.py`), listed in one table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from ble_ota.link import Advert
from ble_ota.protocols import quecthing
from ble_ota.protocols.driver import Driver, Sighting

__all__ = ["AnyDriver", "Driver", "Sighting", "drivers", "recognise"]

AnyDriver: TypeAlias = Driver[Any]
"""A driver whose session nobody but itself looks into."""


def drivers(*, quecthing_options: quecthing.Options) -> dict[str, AnyDriver]:
    """Every protocol by name, with its settings."""
    table = (quecthing.driver(quecthing_options),)
    return {driver.name: driver for driver in table}


def recognise(advert: Advert, table: Iterable[AnyDriver]) -> Sighting | None:
    """Read an advertisement by the first driver that knows its form."""
    return next((found for driver in table if (found := driver.recognise(advert))), None)

"""A virtual QuecThing device, written from the documents alone: decoder, fields, login, flash and reboot of its own."""

from ble_ota.virtual.peripherals.quecthing.body import Stats
from ble_ota.virtual.peripherals.quecthing.boot import Boot, Staged
from ble_ota.virtual.peripherals.quecthing.device import QuecThing
from ble_ota.virtual.peripherals.quecthing.flash import Flash, PowerCutError
from ble_ota.virtual.peripherals.quecthing.habits import Habits, Pause
from ble_ota.virtual.peripherals.quecthing.impostor import Impostor
from ble_ota.virtual.peripherals.quecthing.liar import Liar
from ble_ota.virtual.peripherals.quecthing.lies import Lie, Lies
from ble_ota.virtual.peripherals.quecthing.session import Phase

__all__ = [
    "Boot",
    "Flash",
    "Habits",
    "Impostor",
    "Liar",
    "Lie",
    "Lies",
    "Pause",
    "Phase",
    "PowerCutError",
    "QuecThing",
    "Staged",
    "Stats",
]

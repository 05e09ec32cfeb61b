"""A virtual QuecThing device, written from the documents alone: decoder, fields, login, flash and reboot of its own."""

from ble_ota.virtual.peripherals.quecthing.body import Phase, Stats
from ble_ota.virtual.peripherals.quecthing.boot import Boot, Staged
from ble_ota.virtual.peripherals.quecthing.device import QuecThing
from ble_ota.virtual.peripherals.quecthing.flash import Flash, PowerCutError
from ble_ota.virtual.peripherals.quecthing.habits import Habits, Pause

__all__ = ["Boot", "Flash", "Habits", "Pause", "Phase", "PowerCutError", "QuecThing", "Staged", "Stats"]

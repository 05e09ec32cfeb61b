"""Virtual peripherals, one per protocol; each reads its specification by itself."""

from ble_ota.virtual.peripherals.quecthing import Habits, Pause, PowerCutError, QuecThing

__all__ = ["Habits", "Pause", "PowerCutError", "QuecThing"]

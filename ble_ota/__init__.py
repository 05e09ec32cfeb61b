"""Updates the firmware of Bluetooth LE devices from Quectel's Developer Center.

Read `ARCHITECTURE.md` beside this file first; the main path is `update.update`.
"""

from __future__ import annotations

__version__ = "0.1.0"

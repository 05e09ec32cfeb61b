"""What is in `inside` runs in the emulated machine only, where `guest.sh` sets the variable."""

from __future__ import annotations

import os

HERE = os.environ.get("BLE_OTA_BLUEZ") == "inside"
collect_ignore_glob = [] if HERE else ["inside", "inside/*"]

"""`python -m ble_ota` is `ble-ota`."""

from __future__ import annotations

from ble_ota.cli import main

main()

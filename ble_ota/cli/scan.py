"""`ble-ota scan`: what is near."""

from __future__ import annotations

from ble_ota.cli.common import Common
from ble_ota.cli.wiring import drivers_of, radio_of
from ble_ota.settings import Settings
from ble_ota.target import Target, sightings
from ble_ota.text import clean


async def scan(common: Common, settings: Settings, timeout_s: float) -> int:
    """Run `ble-ota scan`; exit 0 with devices, 30 with none."""
    async with radio_of(settings) as radio:
        seen = await sightings(radio, drivers_of(settings).values(), within_s=timeout_s)
    near = sorted(seen.values(), key=lambda t: -(t.advert.rssi_dbm or -999))
    common.result([_data(t) for t in near], _table(near) if near else "No device whose protocol is known was heard")
    return 0 if near else 30


def _data(target: Target) -> dict[str, object]:
    return {
        "address": target.advert.address,
        "name": clean(target.advert.name, most=64),
        "rssi_dbm": target.advert.rssi_dbm,
        "protocol": target.driver.name,
        "product_key": target.product_key,
        "device_key": target.device_key,
    }


def _table(near: list[Target]) -> str:
    rows = [("ADDRESS", "NAME", "SIGNAL", "PROTOCOL", "PRODUCT/DEVICE KEY")]
    for target in near:
        said = _data(target)
        keys = f"{said['product_key'] or '?'}/{said['device_key'] or '?'}"
        signal = "?" if said["rssi_dbm"] is None else f"{said['rssi_dbm']} dBm"
        rows.append((str(said["address"]), str(said["name"]), signal, str(said["protocol"]), keys))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)

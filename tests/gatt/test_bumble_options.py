from __future__ import annotations

from ble_ota.gatt.bumble_options import DEFAULT
from ble_ota.link import ATT_VALUE_MAX, ATT_WRITE_OVERHEAD
from ble_ota.settings import BumbleSettings


def test_whole_values_fit_by_default() -> None:
    assert DEFAULT.mtu - ATT_WRITE_OVERHEAD >= ATT_VALUE_MAX


def test_the_settings_have_the_same_defaults() -> None:
    said = BumbleSettings()
    assert (said.interval_ms, said.phy, said.data_bytes, said.mtu) == (15, "2M", 251, 517)
    assert (DEFAULT.interval_ms, DEFAULT.phy_2m, DEFAULT.data_bytes, DEFAULT.mtu) == (15, True, 251, 517)
    assert (said.supervision_s, said.links) == (DEFAULT.supervision_s, DEFAULT.links)

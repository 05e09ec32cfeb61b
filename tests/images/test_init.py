from __future__ import annotations

from ble_ota.images import describe


def test_what_no_format_knows_is_raw() -> None:
    assert describe(b"\0").format == "raw"

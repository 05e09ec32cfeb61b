from __future__ import annotations

from ble_ota.content import Content
from ble_ota.images import describe


def test_what_no_format_knows_is_raw() -> None:
    assert describe(Content.of(b"\0").summary).format == "raw"

from __future__ import annotations

from ble_ota.cloud.account import CloudDevice
from ble_ota.model import Secret
from tests.cloud.conftest import ACCESS, REFRESH, TOKENS


def test_tokens_are_not_shown() -> None:
    assert ACCESS not in repr(TOKENS)
    assert REFRESH not in repr(TOKENS)


def test_a_devices_secret_is_not_shown() -> None:
    assert "c2VjcmV0" not in repr(CloudDevice("p1", "d1", "Lamp", Secret("c2VjcmV0"), "authKey"))

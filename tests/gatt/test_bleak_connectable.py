from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from bumble.device import Advertisement
from bumble.hci import Address

from ble_ota.gatt.bleak_connectable import connectable_of


@dataclass
class Args:
    """As WinRT's event has them."""

    is_connectable: bool = True


class Older:
    """The same before Windows build 19041."""


@pytest.mark.parametrize(
    ("both", "told"),
    [
        ((Args(), None), True),
        ((Args(is_connectable=False), Args()), False),
        ((None, Args(is_connectable=False)), None),
        ((Older(), None), None),
    ],
)
def test_windows_tells_it_by_the_advertisement(both: tuple[object, object], told: bool | None) -> None:
    assert connectable_of((object(), both)) is told


@pytest.mark.parametrize(
    ("advertisement", "told"),
    [({"kCBAdvDataIsConnectable": 1}, True), ({"kCBAdvDataIsConnectable": 0}, False), ({}, None), (None, None)],
)
def test_macos_tells_it_by_a_number(advertisement: object, told: bool | None) -> None:
    assert connectable_of((object(), advertisement, -50)) is told


@pytest.mark.parametrize("told", [True, False])
def test_bumble_tells_it_by_its_own_advertisement(told: bool) -> None:
    heard = Advertisement(address=Address("C0:00:00:00:00:01"), is_connectable=told)
    assert connectable_of((heard,)) is told


@pytest.mark.parametrize("odd", [(), (1,), ("/org/bluez/hci0/dev_1", {"Paired": True}), (1, 2, 3), (1, 2, 3, 4)])
def test_what_is_in_no_such_form_tells_nothing(odd: tuple[Any, ...]) -> None:
    assert connectable_of(odd) is None

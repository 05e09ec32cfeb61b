"""pytest fixtures for tests of one's own against a virtual world.

In a `conftest.py`::

    pytest_plugins = ["ble_ota.virtual.fixtures"]

Needs pytest and pytest-asyncio, in any mode. All but `virtual_center` work under virtual time (looptime) too; that
one is on a socket, and sockets know no virtual time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from ble_ota.virtual.air import Air
from ble_ota.virtual.developer_center import DeveloperCenter, serve
from ble_ota.virtual.peripherals.quecthing import QuecThing
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.replayed import Replayed, read, replayed
from ble_ota.virtual.world import World

__all__ = [
    "VirtualCenter",
    "replay_of",
    "virtual_air",
    "virtual_center",
    "virtual_device",
    "virtual_radio",
    "virtual_world",
]


@dataclass(frozen=True, slots=True)
class VirtualCenter:
    """A Developer Center that runs."""

    url: str
    """Where; what `BLE_OTA_CLOUD` would say."""
    center: DeveloperCenter
    """Itself: give it `faults`, ask it for `records` and `status`."""


@pytest.fixture
def virtual_world(tmp_path: Path) -> World:
    """A world with one device, one component and one package of 64 KiB, in a folder of this test."""
    return World.create(tmp_path / "virtual-world")


@pytest.fixture
def virtual_air() -> Air:
    """An empty air, in memory. Its `before_operation` and `cut` lose links where a test wants it."""
    return Air()


@pytest_asyncio.fixture
async def virtual_device(virtual_world: World, virtual_air: Air) -> AsyncGenerator[QuecThing, None]:
    """The first device of `virtual_world`, switched on in `virtual_air`.

    Its `habits` may be exchanged; `version` and `running` tell what it runs.
    """
    device = QuecThing(virtual_world, virtual_world.devices[0])
    virtual_air.add(device)
    yield device
    device.power_off()


@pytest.fixture
def virtual_radio(virtual_air: Air) -> VirtualRadio:
    """A `ble_ota.link.Radio` in `virtual_air`: what finds and connects `virtual_device`."""
    return VirtualRadio(virtual_air)


@pytest_asyncio.fixture
async def virtual_center(virtual_world: World) -> AsyncGenerator[VirtualCenter, None]:
    """The Developer Center of `virtual_world`, over real HTTP on loopback. Not under virtual time."""
    center = DeveloperCenter(virtual_world)
    async with serve(center) as url:
        yield VirtualCenter(url, center)


@pytest.fixture
def replay_of() -> Callable[[Path], Replayed]:
    """Puts the device of a transcript (`--record FILE`) on an air of its own: give it the file.

    `ble_ota.cli.replay.Host.of` speaks to it as the recorded run did, with the code of today; the device's
    `divergence` tells at the end where the conversation left the recorded one.
    """
    return lambda file: replayed(read(file))

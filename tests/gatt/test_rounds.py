"""Connect, update, disconnect, fifty times over: nothing of a round may be there after it.

Each round opens its controller over a real socket, finds the device, logs in, sends a small image, sees it reboot, asks
it what it runs, and lets go of everything; the device and the air stay the same.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import psutil
import pytest
from bumble.device import Device
from bumble.hci import Address
from bumble.transport import open_transport

from ble_ota.events import Event
from ble_ota.gatt.bumble_radio import open_radio
from ble_ota.install import Installer, Patience
from ble_ota.model import Secret
from ble_ota.protocols import quecthing
from ble_ota.target import Wanted, find, identify
from ble_ota.virtual.bumble_host import BumbleHost
from ble_ota.virtual.hci_server import HOST, controllers
from ble_ota.virtual.peripherals.quecthing import Habits, QuecThing
from ble_ota.virtual.world import World, WorldFile
from tests.bench import images, planned

ROUNDS, WARM_UP = 50, 10  # weak references and caches of Python's and Bumble's fill for some rounds
SIZE = 600
BLOCKS_MAX = 40  # of memory, per round: dictionaries and caches of strings breathe; an object left is hundreds
QUICK = Habits(chunk_bytes=200, settle_s=0.01, boot_s=0.01)
PATIENCE = Patience(backoff_s=0.01, reboot_s=10, look_again_s=0.05)


@dataclass(slots=True)
class Place:
    """One device on the air, and the name of a controller to reach it by."""

    world: World
    device: QuecThing
    controller: str

    def publish(self, at: int) -> None:
        """The next version of its firmware."""
        content, name = at.to_bytes(2, "big") * (SIZE // 2), "round.bin"
        (self.world.folder / "firmware" / name).write_bytes(content)
        file = WorldFile(name, SIZE, sha256(content).hexdigest())
        self.world = replace(
            self.world, components=(replace(self.world.components[0], target=f"2.0.{at}", files=(file,)),)
        )

    async def round(self, at: int) -> None:
        self.publish(at)
        one, driver = self.world.devices[0], quecthing.driver(quecthing.Options())
        secret = Secret(one.binding_code)
        async with open_radio(self.controller) as radio:
            target = await find(radio, [driver], Wanted(address=one.address))
            info = await identify(target, radio, secret, emit=_nobody)
            installer = Installer(target, info, radio, secret, _nobody, PATIENCE)
            installed = await installer.install(planned(self.world), images(self.world))
        for _ in range(20):  # what ends by itself has ended then: a closed socket takes a turn of the loop or two
            await asyncio.sleep(0)
        assert installed.version == f"2.0.{at}"
        assert self.device.running("MAIN") == at.to_bytes(2, "big") * (SIZE // 2)


def _nobody(_event: Event) -> None:
    """Hears of an event and forgets it."""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    world = World.create(tmp_path / "world", size_bytes=SIZE)
    device = QuecThing(world, world.devices[0], QUICK)
    async with controllers(2) as (theirs, ours), await open_transport(f"tcp-client:{HOST}:{theirs}") as transport:
        stack = Device.with_hci("device", Address(device.address), transport.source, transport.sink)
        async with BumbleHost(stack, device).on():
            yield Place(world, device, f"tcp-client:{HOST}:{ours}")


@dataclass(frozen=True, slots=True)
class Left:
    """What there is in this process between two rounds."""

    tasks: int
    files: int
    objects: int
    blocks: int

    @classmethod
    def now(cls) -> Left:
        """What there is now."""
        gc.collect()
        files = psutil.Process().num_fds()
        return cls(len(asyncio.all_tasks()), files, len(gc.get_objects()), sys.getallocatedblocks())


@pytest.fixture
def forgetful() -> Iterator[None]:
    """No log record is kept: pytest keeps them, with every frame of an error that was logged."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("forgetful")
@pytest.mark.skipif(sys.platform == "win32", reason="file descriptors are counted")
async def test_fifty_rounds_leave_nothing_behind(place: Place) -> None:
    for at in range(WARM_UP):
        await place.round(at)
    before = Left.now()
    for at in range(WARM_UP, ROUNDS):
        await place.round(at)
    after = Left.now()
    assert (after.tasks, after.files) == (before.tasks, before.files)
    assert after.objects - before.objects < ROUNDS - WARM_UP, "objects are left behind"
    assert after.blocks - before.blocks < BLOCKS_MAX * (ROUNDS - WARM_UP), "memory is left behind"

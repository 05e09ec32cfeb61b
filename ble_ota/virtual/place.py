"""A virtual world's devices on the air, in this process, with a host's controller among them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from bumble.device import Device

from ble_ota.virtual.bumble_host import BumbleHost
from ble_ota.virtual.controller import AirWaves, device_on
from ble_ota.virtual.peripherals.quecthing import Habits, QuecThing
from ble_ota.virtual.world import World

HOST_ADDRESS = "F0:00:00:00:00:01"


@asynccontextmanager
async def place(world: World, habits: Habits | None = None) -> AsyncGenerator[Device, None]:
    """Switch every device of `world` on for the block; give the host's Bumble device, not yet powered on."""
    waves = AirWaves()  # type: ignore[no-untyped-call]
    async with AsyncExitStack() as powered:
        for device in world.devices:
            peripheral = QuecThing(world, device, habits or Habits())
            host = BumbleHost(device_on(waves, device.name, device.address), peripheral)
            await powered.enter_async_context(host.on())
        yield device_on(waves, "host", HOST_ADDRESS)

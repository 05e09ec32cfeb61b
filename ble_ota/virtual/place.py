"""A virtual world's devices on the air, in this process, with a host's controller among them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from bumble.device import Device

from ble_ota.virtual.bumble_host import BumbleHost
from ble_ota.virtual.controller import AirWaves, device_on
from ble_ota.virtual.peripherals.quecthing import Habits, Pause, QuecThing
from ble_ota.virtual.strikes import Struck, strike_of
from ble_ota.virtual.world import World, WorldDevice, WorldError

HOST_ADDRESS = "F0:00:00:00:00:01"


QUICK = Habits(settle_s=0.2, boot_s=0.3)  # nobody learns anything from waiting for a virtual reboot


def habits_of(world: World, device: WorldDevice) -> Habits:
    """How `device` behaves: as `habits.json` in its folder says, by the names of `Habits`; else `QUICK`.

    Raises:
        WorldError: The file is no JSON of this form.
    """
    file = world.home(device) / "habits.json"
    if not file.exists():
        return QUICK
    try:
        said = json.loads(file.read_text("utf-8"))
        pauses = tuple(Pause(**p) for p in said.pop("pauses", ()))
        return replace(QUICK, **said, pauses=pauses)
    except (ValueError, TypeError, AttributeError) as error:
        msg = f"{file} is not right: {error}"
        raise WorldError(msg) from error


def peripheral_of(world: World, device: WorldDevice, habits: Habits | None = None) -> QuecThing:
    """The device itself, still switched off, with what its folder says of it.

    Args:
        world: Whose device.
        device: Which.
        habits: How it behaves; left out, as `habits_of` says.

    Raises:
        WorldError: As `habits_of` and `strike_of` say.
    """
    behaving, strike = habits or habits_of(world, device), strike_of(world, device)
    return QuecThing(world, device, behaving) if strike is None else Struck(world, device, behaving, strike)


@asynccontextmanager
async def place(world: World, habits: Habits | None = None) -> AsyncGenerator[Device, None]:
    """Switch every device of `world` on for the block; give the host's Bumble device, not yet powered on.

    Args:
        world: Whose devices.
        habits: How all of them behave; left out, each as `habits_of` says.

    Raises:
        WorldError: As `peripheral_of` says.
    """
    waves = AirWaves()  # type: ignore[no-untyped-call]
    async with AsyncExitStack() as powered:
        for device in world.devices:
            host = BumbleHost(device_on(waves, device.name, device.address), peripheral_of(world, device, habits))
            await powered.enter_async_context(host.on())
        yield device_on(waves, "host", HOST_ADDRESS)

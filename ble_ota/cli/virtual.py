"""`ble-ota virtual cloud|radio|device`: a virtual world as processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ble_ota.cli import signals
from ble_ota.cli.common import Common
from ble_ota.cli.wiring import needing
from ble_ota.errors import AdapterError, UsageError
from ble_ota.settings import Settings

if TYPE_CHECKING:
    from ble_ota.virtual.developer_center import DeveloperCenter
    from ble_ota.virtual.world import World, WorldDevice

BUILT_IN = "virtual-world"  # folder of the built-in world, in the state folder
ONLINE = 3  # devices that are online by themselves, in a world that is made here
POWER_ON_S = 10.0  # our choice: a controller that does not answer by then is not one
ONLINE_SHOWN = 10  # of them, in the line that says where the Developer Center is


async def cloud(common: Common, settings: Settings, folder: Path | None, port: int, online: int | None = None) -> int:
    """Run the virtual Developer Center until a signal.

    Args:
        common: Who is told where it is.
        settings: Say where the built-in world lies.
        folder: The world; the built-in one if left out.
        port: 0 takes a free one.
        online: How many devices that are online by themselves a new world has; `ONLINE` if left out.
    """
    with needing("virtual", "a virtual Developer Center"):
        from ble_ota.virtual.developer_center import serve
    world = _world(settings, folder, ONLINE if online is None else online)
    if online not in (None, len(world.online)):
        common.tell(f"warning: this world was made before, with {len(world.online)} devices online; it keeps them")
    center = _center(world)
    try:
        async with serve(center, port=port) as url:
            keys = [f"{world.online_product}/{d.device_key}" for d in world.online[:ONLINE_SHOWN]]
            data = {"url": url, "world": str(world.folder), "online": keys, "environment": environment(world, url)}
            await _ready(common, data, f"Developer Center at {url}")
    except OSError as error:
        msg = f"port {port} cannot be had: {error.strerror}"
        raise UsageError(msg) from error
    return 0


async def radio(common: Common, clients: int, port: int) -> int:
    """Run the controllers until a signal."""
    with needing("virtual", "a virtual radio"):
        from ble_ota.virtual.hci_server import HOST, controllers
    try:
        async with controllers(clients, first_port=port) as ports:
            names = [f"bumble:tcp-client:{HOST}:{p}" for p in ports]
            await _ready(common, {"ports": ports, "radios": names}, f"controllers at {' '.join(names)}")
    except OSError as error:
        msg = f"the ports from {port} cannot be had: {error.strerror}"
        raise UsageError(msg) from error
    return 0


async def device(common: Common, settings: Settings, radio: str, folder: Path | None, key: str | None) -> int:
    """Run one virtual device until a signal."""
    with needing("virtual", "a virtual device"):
        from bumble.core import BaseBumbleError
        from bumble.device import Device
        from bumble.hci import Address

        from ble_ota.gatt.bumble_transport import opened
        from ble_ota.virtual.bumble_host import BumbleHost
        from ble_ota.virtual.peripherals.quecthing import QuecThing
        from ble_ota.virtual.place import habits_of
    kind, _, transport = radio.partition(":")
    if kind != "bumble" or not transport:
        msg = f"a virtual device cannot live on {radio!r}"
        raise UsageError(msg, hint="Give it `--radio bumble:TRANSPORT`, for example one that `virtual radio` names")
    world = _world(settings, folder)
    made = _device(world, key)
    with _usable(world.folder):
        habits = habits_of(world, made)
    async with await opened(transport) as controller:
        stack = Device.with_hci(made.name, Address(made.address), controller.source, controller.sink)
        try:
            async with asyncio.timeout(POWER_ON_S) as starting, BumbleHost(stack, QuecThing(world, made, habits)).on():
                starting.reschedule(None)
                data = {"address": made.address, "name": made.name, "device_key": made.device_key}
                data |= {"product_key": world.product_key}
                await _ready(common, data, f"{made.name} at {made.address}", until=controller.source.terminated)
        except (TimeoutError, BaseBumbleError) as error:
            msg = f"the Bluetooth controller {transport} does not answer"
            raise AdapterError(msg) from error
        if controller.source.terminated.done():
            msg = f"the Bluetooth controller {transport} is gone"
            raise AdapterError(msg, hint="Plug it in again, or start again what serves it; then start the device again")
    return 0


async def _ready(
    common: Common, data: Mapping[str, object], text: str, *, until: asyncio.Future[None] | None = None
) -> None:
    """Say that it is ready, in one line, and wait for a signal, or until there is nothing to wait for."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    if until is not None:
        until.add_done_callback(lambda _: stop.set())
    with signals.handled(lambda _: loop.call_soon_threadsafe(stop.set), loop):
        common.result(data, text)
        await stop.wait()


def _world(settings: Settings, folder: Path | None, online: int = ONLINE) -> World:
    from ble_ota.virtual.world import World

    path = folder or settings.state_dir / BUILT_IN
    with _usable(path):
        return World.create(path, online=online)


def _center(world: World) -> DeveloperCenter:
    """The Developer Center as the files of the world's `cloud/` have it."""
    from ble_ota.virtual.developer_center import DeveloperCenter

    with _usable(world.folder):
        return DeveloperCenter.of(world)


@contextmanager
def _usable(path: Path) -> Generator[None, None, None]:
    """A world that cannot be used is a sentence."""
    from ble_ota.virtual.world import WorldError

    try:
        yield
    except (WorldError, OSError) as error:
        msg = f"the virtual world in {path} cannot be used: {error}"
        raise UsageError(msg, hint="Name another folder by `--world`, or delete this one") from error


def _device(world: World, key: str | None) -> WorldDevice:
    try:
        return world.device(key) if key else world.devices[0]
    except KeyError:
        known = ", ".join(d.device_key for d in world.devices)
        msg = f"this world has no device {key}"
        raise UsageError(msg, hint=f"It has {known}") from None


def environment(world: World, url: str) -> dict[str, str]:
    """What another process needs to be this world's user; nothing in here opens anything else."""
    user = world.user
    return {
        "BLE_OTA_CLOUD": url,
        "BLE_OTA_USER_DOMAIN": user.user_domain,
        "BLE_OTA_USER_DOMAIN_SECRET": user.user_domain_secret,
        "BLE_OTA_EMAIL": user.email,
        "BLE_OTA_PASSWORD": user.password,
    }

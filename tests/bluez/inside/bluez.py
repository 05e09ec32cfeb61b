"""The Bluetooth of the emulated machine: bluetoothd as a process, its adapters, and what is on their air."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bumble.device import Device
from bumble.transport import open_transport
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from ble_ota.virtual.bumble_host import BumbleHost
from ble_ota.virtual.controller import AirWaves, VirtualController, device_on
from ble_ota.virtual.peripheral import Peripheral

ADAPTERS = {"hci0": "00:00:00:00:B1:01", "hci1": "00:00:00:00:B1:02"}
ADAPTER, DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
PROPERTIES, OBJECTS = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager"
DESKTOP = "/desktop/agent"
THERE_S = 60.0  # until an adapter is there, in a machine 10 to 20 times slower than this one
LOOK_S = 0.05  # between looks at a program that has no event for us


class Machine:
    """bluetoothd with two adapters on one air."""

    def __init__(self, bus: MessageBus, waves: AirWaves, controllers: dict[str, VirtualController]) -> None:
        self._bus = bus
        self._waves = waves
        self._daemon: Process | None = None
        self.controllers = controllers

    async def start(self) -> None:
        """Start bluetoothd, and have all adapters on."""
        with Path(os.environ["BLUETOOTHD_LOG"]).open("ab") as log:  # noqa: ASYNC230 -- a file in memory
            self._daemon = await asyncio.create_subprocess_exec(
                os.environ["BLUETOOTHD"], "-n", stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        for name in self.controllers:
            await until(lambda name=name: self._is_there(name), THERE_S)  # type: ignore[misc]
            await self.power(name, on=True)

    async def kill(self) -> None:
        """Kill bluetoothd: no goodbye to anybody."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None and daemon.returncode is None:
            daemon.kill()
            await daemon.wait()

    async def mend(self) -> None:
        """Have bluetoothd run and all adapters on, whatever was broken."""
        if self._daemon is None or self._daemon.returncode is not None:
            await self.start()
        for name in self.controllers:
            if not await self._powered(name):
                await self.power(name, on=True)

    async def power(self, name: str, *, on: bool) -> None:
        """Switch an adapter, and wait until it is."""

        async def switched() -> bool:
            return await self._powered(name) is on

        async def tried() -> bool:
            said = await self._call(name, PROPERTIES, "Set", "ssv", ADAPTER, "Powered", Variant("b", on))
            return said.message_type is MessageType.METHOD_RETURN  # org.bluez.Error.Busy: it is still at it

        await until(tried, THERE_S)
        await until(switched, THERE_S)

    async def forget(self) -> None:
        """Have bluetoothd know no device any more, paired or not."""
        said = await self._call("", OBJECTS, "GetManagedObjects", "", path="/")
        for path, interfaces in said.body[0].items():
            if DEVICE in interfaces:
                adapter = path.split("/")[3]
                await self._call(adapter, ADAPTER, "RemoveDevice", "o", path)

    @asynccontextmanager
    async def desktop(self) -> AsyncGenerator[list[str], None]:
        """Have a desktop for the block: a default agent that agrees; gives the devices it was asked for."""
        asked: list[str] = []

        def agree(message: Message) -> Message | None:
            if message.message_type is not MessageType.METHOD_CALL or message.interface != "org.bluez.Agent1":
                return None
            asked.extend(message.body[:1])
            return Message.new_method_return(message)

        manager = "org.bluez.AgentManager1"
        self._bus.add_message_handler(agree)
        try:
            await self._call("", manager, "RegisterAgent", "os", DESKTOP, "KeyboardDisplay", path="/org/bluez")
            await self._call("", manager, "RequestDefaultAgent", "o", DESKTOP, path="/org/bluez")
            yield asked
        finally:
            await self._call("", manager, "UnregisterAgent", "o", DESKTOP, path="/org/bluez")
            self._bus.remove_message_handler(agree)

    async def _is_there(self, name: str) -> bool:
        return await self._powered(name) is not None

    async def _powered(self, name: str) -> bool | None:
        said = await self._call(name, PROPERTIES, "Get", "ss", ADAPTER, "Powered")
        return said.body[0].value if said.message_type is MessageType.METHOD_RETURN else None

    async def _call(
        self, name: str, interface: str, member: str, signature: str, *body: Any, path: str = ""
    ) -> Message:
        message = Message(
            destination="org.bluez",
            path=path or f"/org/bluez/{name}",
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        said = await self._bus.call(message)
        assert said is not None
        return said

    def cut(self) -> None:
        """End every link as if everybody had gone out of range."""
        for controller in self.controllers.values():
            for link in tuple(controller.le_connections.values()):
                controller.drop(link)

    @asynccontextmanager
    async def around(self, *devices: Peripheral, mtu: int = 517) -> AsyncGenerator[list[Device], None]:
        """Have `devices` on the air for the block; gives the stack below each."""
        stacks: list[Device] = []
        async with AsyncExitStack() as powered:
            for device in devices:
                stack = device_on(self._waves, device.address, device.address)
                stack.gatt_server.max_mtu = mtu
                controller = stack.host.controller
                assert isinstance(controller, VirtualController)
                powered.callback(self._waves.remove_controller, controller)
                await powered.enter_async_context(BumbleHost(stack, device).on())
                stacks.append(stack)
            yield stacks


@asynccontextmanager
async def machine() -> AsyncGenerator[Machine, None]:
    """bluetoothd with adapters, for the block."""
    waves = AirWaves()  # type: ignore[no-untyped-call]
    async with AsyncExitStack() as opened:
        controllers = {}
        for at, (name, address) in enumerate(ADAPTERS.items()):
            host = await opened.enter_async_context(await open_transport("vhci"))
            controllers[name] = VirtualController(
                name, host_source=host.source, host_sink=host.sink, link=waves, public_address=address
            )
            # One after the other: the kernel numbers them as they come.
            await until(lambda at=at: _exists(at), THERE_S)  # type: ignore[misc]
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        opened.callback(bus.disconnect)
        made = Machine(bus, waves, controllers)
        opened.push_async_callback(made.kill)
        await made.start()
        yield made


async def _exists(at: int) -> bool:
    return Path(f"/sys/class/bluetooth/hci{at}").exists()


async def until(true: Callable[[], Awaitable[bool]], within_s: float) -> None:
    """Wait for something in another program that has no event for us. Raises `TimeoutError`."""
    async with asyncio.timeout(within_s):
        while not await true():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)

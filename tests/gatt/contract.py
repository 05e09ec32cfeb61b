"""What the link contract is run against: the same two devices, met over the modelled air and over Bumble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bumble.device import Device

from ble_ota.gatt import bumble_backend
from ble_ota.link import Link, Radio, uuid16
from ble_ota.script import Notified
from ble_ota.virtual.air import Air
from ble_ota.virtual.bumble_host import BumbleHost
from ble_ota.virtual.controller import AirWaves, VirtualController, device_on
from ble_ota.virtual.peripheral import Advertisement, Carrier, VirtualCharacteristic, VirtualService
from ble_ota.virtual.radio import VirtualRadio

ADDRESS, OTHER, NOBODY = "C0:00:00:00:00:01", "C0:00:00:00:00:02", "C0:00:00:00:00:99"
HOST_ADDRESS = "F0:00:00:00:00:01"
TALK, NEWS, TWIN = uuid16(0xFF01), uuid16(0xFF02), uuid16(0xFF03)
FIRST, SECOND = uuid16(0xFF00), uuid16(0xFF10)
MAKER = {0x5551: b"keys of this device"}
MTU = 247
PROMPT_S = 2.0  # what takes milliseconds, on a machine that is busy; systems give up after 5 to 30 s


class Subject:
    """A device with an opinion about nothing: it remembers what happens, and does as the test says."""

    carrier: Carrier

    def __init__(self, address: str) -> None:
        self.address = address
        self.written_values: list[bytes] = []
        self.links: list[str] = []
        self.up, self.down = asyncio.Event(), asyncio.Event()
        self.on_connected: Callable[[], None] | None = None
        self.on_written: Callable[[bytes], None] | None = None
        write = frozenset({"write", "write-without-response", "indicate"})
        twin = VirtualCharacteristic(TWIN, frozenset({"read"}))
        self.services: tuple[VirtualService, ...] = (
            VirtualService(FIRST, (VirtualCharacteristic(TALK, write), twin)),
            VirtualService(SECOND, (twin, VirtualCharacteristic(NEWS, frozenset({"notify"})))),
        )

    def attach(self, carrier: Carrier) -> None:
        self.carrier = carrier
        carrier.advertise(Advertisement("subject", (FIRST,), MAKER))

    def connected(self) -> None:
        self.links.append("up")
        self.up.set()
        if self.on_connected is not None:
            self.on_connected()

    def disconnected(self) -> None:
        self.links.append("down")
        self.down.set()

    def written(self, uuid: str, value: bytes) -> None:
        assert uuid == TALK
        self.written_values.append(value)
        if self.on_written is not None:
            self.on_written(value)

    def read(self, uuid: str) -> bytes:
        assert uuid == TWIN
        return self.address.encode()


@dataclass(frozen=True, slots=True)
class Rig:
    """A place with two devices, and a radio in it."""

    radio: Radio
    subject: Subject
    other: Subject
    cut: Callable[[], None]
    """End every link as if everybody had gone out of range."""


Carried = Callable[[int], AbstractAsyncContextManager[Rig]]
"""Sets a rig up; takes the MTU its devices have."""


@asynccontextmanager
async def over_the_air(mtu: int) -> AsyncGenerator[Rig, None]:
    """The modelled air, at a hundredth of its usual times."""
    air = Air(interval_s=0.0002, mtu=mtu, connect_s=0.001, advertising_interval_s=0.005)
    subject, other = Subject(ADDRESS), Subject(OTHER)
    air.add(subject)
    air.add(other)
    yield Rig(VirtualRadio(air), subject, other, air.cut)


@asynccontextmanager
async def over_bumble(mtu: int) -> AsyncGenerator[Rig, None]:
    """Real HCI, L2CAP and ATT bytes, through bleak."""
    subject, other = Subject(ADDRESS), Subject(OTHER)
    async with switched_on(subject, other, mtu=mtu) as waves:
        host = device_on(waves, "host", HOST_ADDRESS)

        def cut() -> None:
            for link in tuple(controller_of(host).le_connections.values()):
                controller_of(host).drop(link)

        async with bumble_backend.radio(host, "under test") as radio:
            yield Rig(radio, subject, other, cut)


@asynccontextmanager
async def switched_on(*subjects: Subject, mtu: int = 517) -> AsyncGenerator[AirWaves, None]:
    """Devices on a virtual place of their own."""
    waves = AirWaves()  # type: ignore[no-untyped-call]
    async with AsyncExitStack() as powered:
        for subject in subjects:
            device = device_on(waves, subject.address, subject.address)
            device.gatt_server.max_mtu = mtu
            await powered.enter_async_context(BumbleHost(device, subject).on())
        yield waves


def controller_of(device: Device) -> VirtualController:
    """The controller `device_on` gave it."""
    controller = device.host.controller
    assert isinstance(controller, VirtualController)
    return controller


def handle(link: Link, uuid: str) -> int:
    """The first characteristic with `uuid`."""
    found = link.facts.find(uuid)
    assert found is not None
    return found.handle


def handle_of_twin(link: Link) -> int:
    """The first of two."""
    return handle(link, TWIN)


async def heard(link: Link, *chars: int) -> Notified:
    """What the device says next; whoever waits in vain fails instead of waiting for ever."""
    async with asyncio.timeout(PROMPT_S):
        return await link.notification(chars)

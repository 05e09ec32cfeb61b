"""A system below bleak that does as a test says: a real backend of bleak's, no radio, and any call may go wrong."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection

from ble_ota.gatt.bleak_radio import BleakRadio
from ble_ota.gatt.bleak_systems import OWN, System
from ble_ota.link import uuid16

ADDRESS, OTHER = "C0:00:00:00:00:01", "C0:00:00:00:00:02"
CHAR = 3  # handle
SERVICE, TALK = uuid16(0xFF00), uuid16(0xFF01)
INTERVAL_S = 0.1  # between advertisements
CONNECT_S = 0.5  # that a connect takes

HANG, DROP, CANCEL = "hang", "drop", "cancel"
Act = BaseException | str | None
"""What befalls a call: an error; no answer for ever; the link goes first; a cancellation of the system's own."""


@dataclass
class Stage:
    """What there is, and what goes wrong."""

    devices: list[str] = field(default_factory=lambda: [ADDRESS])
    plan: dict[str, deque[Act]] = field(default_factory=lambda: defaultdict(deque))
    """By name of a call, what befalls the next ones of it; the link's calls also get it where it is just made."""
    calls: list[str] = field(default_factory=list)
    details: Any = None
    """Of every device, as a system gives them."""
    room: Callable[[], int] = lambda: 244
    kwargs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """What scanners and clients were made with."""
    clients: list[Any] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    """How many scans and connects were under way together, at most."""

    def will(self, call: str, *acts: Act) -> Stage:
        self.plan[call].extend(acts)
        return self

    def radio(self, system: System = OWN, **options: Any) -> BleakRadio:
        scanner = type("Scanner", (ScriptedScanner,), {"stage": self})
        client = type("Client", (ScriptedClient,), {"stage": self})
        return BleakRadio(scanner=scanner, client=client, system=system, **options)

    async def befall(self, call: str, drop: Callable[[], None] = lambda: None) -> None:
        self.calls.append(call)
        act = self.plan[call].popleft() if self.plan[call] else None
        if isinstance(act, BaseException):
            raise act
        if act == DROP:
            drop()
        if act == CANCEL:
            asyncio.get_running_loop().call_soon((future := asyncio.Future[None]()).cancel)
            await future
        if act in {HANG, DROP}:
            await asyncio.Event().wait()

    def begin(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)

    def end(self) -> None:
        self.at_once -= 1


class ScriptedScanner(BaseBleakScanner):
    stage: Stage

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        *_: Any,
        **given: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self.stage.kwargs.append(("scanner", given))
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        await self.stage.befall("start")
        self.stage.begin()
        self._tell()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.stage.end()
        await self.stage.befall("stop")

    def _tell(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._tell)
        for address in self.stage.devices:
            data = AdvertisementData(f"name of {address}", {0x5551: b"x"}, {}, [SERVICE.upper()], None, -50, ())
            device = self.create_or_update_device(address, address.lower(), None, self.stage.details, data)
            self.call_detection_callbacks(device, data)


class ScriptedClient(BaseBleakClient):
    stage: Stage

    def __init__(self, address_or_ble_device: BLEDevice | str, **given: Any) -> None:
        super().__init__(address_or_ble_device, **given)
        self.stage.kwargs.append(("client", given))
        self.stage.clients.append(self)
        self.connected = False
        self.hears: NotifyCallback | None = None
        self.said: list[bytes] = []

    @property
    def mtu_size(self) -> int:
        return 23

    @property
    def is_connected(self) -> bool:
        if self.stage.plan["is_connected"] and isinstance(act := self.stage.plan["is_connected"].popleft(), Exception):
            raise act
        return self.connected

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        self.stage.kwargs.append(("connect", {"pair": pair, **kwargs}))
        self.stage.begin()
        try:
            await asyncio.sleep(CONNECT_S)
            await self.stage.befall("connect", self.drop)
        finally:
            self.stage.end()
        self.services = BleakGATTServiceCollection()
        service = BleakGATTService(None, 1, SERVICE)
        self.services.add_service(service)
        char = BleakGATTCharacteristic(None, CHAR, TALK, ["write", "notify"], lambda: self.stage.room(), service)
        self.services.add_characteristic(char)
        self.connected = True

    def drop(self) -> None:
        """The device goes, and the system says so; what was under way it leaves hanging."""
        self.connected = False
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        await self.stage.befall("disconnect")
        self.drop()

    async def pair(self, *_: Any, **__: Any) -> None:
        await self.stage.befall("pair", self.drop)

    async def unpair(self) -> None:
        await self.stage.befall("unpair")

    async def read_gatt_char(self, characteristic: BleakGATTCharacteristic, **_: Any) -> bytearray:
        await self.stage.befall("read", self.drop)
        return bytearray(b"read")

    async def read_gatt_descriptor(self, descriptor: BleakGATTDescriptor, **_: Any) -> bytearray:
        raise NotImplementedError

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool) -> None:
        await self.stage.befall("write", self.drop)
        self.said.append(bytes(data))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        raise NotImplementedError

    async def start_notify(self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_: Any) -> None:
        await self.stage.befall("notify", self.drop)
        self.hears = callback

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        raise NotImplementedError

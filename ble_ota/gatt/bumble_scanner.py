"""Bumble's scanning as bleak's: one controller scans once, however many listen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner
from bleak.exc import BleakError, BleakGATTProtocolError
from bumble import att, core
from bumble.device import Advertisement, Device

T = TypeVar("T")
ANSWER_S = 5.0  # our choice: a controller answers within milliseconds, one that hangs never
Listener = Callable[[Advertisement], None]


class Scanning:
    """What the scanners of one device share: it scans from the first who listens to the last."""

    def __init__(self, device: Device, hangs: Callable[[], None] = lambda: None) -> None:
        self._device = device
        self._hangs = hangs
        self._listeners: list[Listener] = []
        self._turn = asyncio.Lock()

    async def join(self, listener: Listener) -> None:
        """Call `listener` for every advertisement from now on. Raises `BleakError`."""
        async with self._turn:
            if not self._listeners:
                await self._start()
            self._listeners.append(listener)
            self._device.on(Device.EVENT_ADVERTISEMENT, listener)

    async def leave(self, listener: Listener) -> None:
        """Call `listener` no more. Raises `BleakError`."""
        async with self._turn:
            if listener not in self._listeners:
                return
            self._listeners.remove(listener)
            self._device.remove_listener(  # pyright: ignore[reportUnknownMemberType] -- pyee's
                Device.EVENT_ADVERTISEMENT, listener
            )
            if not self._listeners:
                await self._answered(self._device.stop_scanning())

    async def _start(self) -> None:
        """Start scanning; a start that is cancelled leaves no scan behind, which would disturb connects.

        The start itself runs on: Bumble (0.0.236) takes the late answer to a cancelled command for that of the next.
        """
        starting = asyncio.ensure_future(
            self._answered(self._device.start_scanning(active=True, filter_duplicates=False))
        )
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(BleakError):
                await starting
                await self._answered(self._device.stop_scanning())
            raise

    async def _answered(self, asking: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await as_bleak(asking)
        except TimeoutError as error:
            self._hangs()
            msg = "the controller does not answer"
            raise BleakError(msg) from error


class BumbleScanner(BaseBleakScanner):
    """bleak's scanner over Bumble."""

    scanning: Scanning

    def __init__(
        self, detection_callback: AdvertisementDataCallback | None, service_uuids: list[str] | None, *_: Any, **__: Any
    ) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        """Start scanning."""
        self.seen_devices = {}
        await self.scanning.join(self._heard)

    async def stop(self) -> None:
        """Stop scanning."""
        await self.scanning.leave(self._heard)

    def _heard(self, advertisement: Advertisement) -> None:
        data = advertisement_data(advertisement)
        if self.is_allowed_uuid(data.service_uuids):
            address = advertisement.address.to_string(with_type_qualifier=False)
            device = self.create_or_update_device(address, address, data.local_name, advertisement.address, data)
            self.call_detection_callbacks(device, data)


async def as_bleak(doing: Awaitable[T]) -> T:
    """Await with Bumble's errors as bleak's.

    Raises:
        BleakGATTProtocolError: The other end answered with an ATT error.
        BleakError: Anything else, also the end of a link: Bumble cancels what waits for an answer then.
    """
    try:
        return await doing
    except att.ATT_Error as error:
        raise BleakGATTProtocolError(error.error_code) from error
    except core.BaseBumbleError as error:
        raise BleakError(str(error)) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():  # we are the ones who are cancelled
            raise
        msg = "the link ended"
        raise BleakError(msg) from None


def advertisement_data(advertisement: Advertisement) -> AdvertisementData:
    """What bleak wants to know of an advertisement."""
    data = advertisement.data
    name = data.get(core.AdvertisingData.Type.COMPLETE_LOCAL_NAME) or data.get(
        core.AdvertisingData.Type.SHORTENED_LOCAL_NAME
    )
    uuids: list[str] = []
    for kind in (
        core.AdvertisingData.Type.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
        core.AdvertisingData.Type.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
        core.AdvertisingData.Type.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
        core.AdvertisingData.Type.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
    ):
        uuids += [uuid_text(uuid) for group in data.get_all(kind) for uuid in group]
    makers = data.get_all(core.AdvertisingData.Type.MANUFACTURER_SPECIFIC_DATA)
    return AdvertisementData(
        local_name=name,
        manufacturer_data={int(company): bytes(content) for company, content in makers},
        service_data={},
        service_uuids=uuids,
        tx_power=None,
        rssi=advertisement.rssi,
        platform_data=(advertisement,),
    )


def uuid_text(uuid: core.UUID) -> str:
    """The 128-bit text of a UUID; Bumble keeps bytes little endian."""
    digits = uuid.to_bytes(force_128=True)[::-1].hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

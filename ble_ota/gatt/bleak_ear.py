"""One scan of one adapter, however many listen, that is silent while somebody connects.

BlueZ starts discovery once for each program, and a second scanner of the same one is told "in progress"; controllers
fail to connect now and then while they scan. So there is one scanner from the first who listens to the last, and who
connects has the adapter alone: the scan stops, and goes on afterwards for those who still listen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback

from ble_ota.errors import AdapterError, BleOtaError
from ble_ota.gatt.bleak_call import call
from ble_ota.gatt.bleak_errors import Kind, kind_of, unusable

Heard: TypeAlias = tuple[BLEDevice, AdvertisementData]
Inbox: TypeAlias = "asyncio.Queue[Heard | AdapterError]"

ADVERTS_KEPT = 256  # sightings not yet taken by a slow listener; older ones are dropped
START_S = 1.0  # at least, even for the shortest scan; macOS asks its user the first time
STOP_S = 5.0  # our choice: a scan that does not end is left to itself
PAUSE_S, PAUSE_MAX_S = 0.25, 2.0  # between tries to start; as long as bleak-retry-connector's
TRIES = 16  # with these pauses 25.75 s: seen under emulation, bluetoothd and its adapter are back within 10 s
RETURNS = frozenset({Kind.BUSY, Kind.OFF, Kind.ABSENT, Kind.ABORTED})
"""What a Bluetooth that has worked may say while it comes back; absent is its adapter here, not yet on the bus."""


class Ear:
    """What listens on one adapter.

    Args:
        scanner: Makes a scanner that calls what it is given; called anew for every start.
    """

    def __init__(self, scanner: Callable[[AdvertisementDataCallback], BleakScanner]) -> None:
        self._make = scanner
        self._scanner: BleakScanner | None = None
        self._inboxes: list[Inbox] = []
        self._turn = asyncio.Lock()
        self._worked = False
        """Whether Bluetooth was ever there; one that was may come back, one that was not is not waited for."""
        self._deaf_s = 0.0
        self._deaf_since_s: float | None = None

    @property
    def deaf_s(self) -> float:
        """Seconds for which nothing could be heard so far, because somebody connected."""
        now_s = asyncio.get_running_loop().time()
        return self._deaf_s + (0.0 if self._deaf_since_s is None else now_s - self._deaf_since_s)

    async def sightings(self, within_s: float) -> AsyncGenerator[Heard, None]:
        """Sightings as they come, for `within_s` seconds.

        Raises:
            AdapterError: Bluetooth cannot be used, or no more.
        """
        until_s = asyncio.get_running_loop().time() + within_s
        inbox: Inbox = asyncio.Queue(ADVERTS_KEPT)
        try:
            await self._join(inbox, until_s)
            while True:
                async with asyncio.timeout_at(until_s):
                    heard = await inbox.get()
                if isinstance(heard, AdapterError):
                    raise heard
                yield heard
        except TimeoutError:
            return
        finally:
            await self._leave(inbox)

    @asynccontextmanager
    async def silence(self) -> AsyncGenerator[None, None]:
        """Have the adapter alone for the block; who comes second waits."""
        async with self._turn:
            await self._stop()
            self._deaf_since_s = asyncio.get_running_loop().time()
            try:
                yield
            finally:
                self._deaf_s, self._deaf_since_s = self.deaf_s, None
                await self._go_on()

    async def _join(self, inbox: Inbox, until_s: float) -> None:
        async with asyncio.timeout_at(until_s):
            await self._turn.acquire()
        try:
            self._inboxes.append(inbox)  # first: what is heard while a scan starts is heard
            if self._scanner is None:
                self._scanner = await self._started(until_s)
        finally:
            self._turn.release()

    async def _leave(self, inbox: Inbox) -> None:
        if inbox in self._inboxes:
            self._inboxes.remove(inbox)
        if not self._inboxes and self._scanner is not None:  # else somebody connects, and will not go on for nobody
            async with self._turn:
                if not self._inboxes:
                    await self._stop()

    async def _go_on(self) -> None:
        """Scan again for those who still listen; they are told when that cannot be."""
        if not self._inboxes:
            return
        try:
            until_s = asyncio.get_running_loop().time() + PAUSE_MAX_S
            self._scanner = await self._started(until_s)
        except AdapterError as error:
            for inbox in self._inboxes:
                _put(inbox, error)
        if not self._inboxes:  # they have left meanwhile
            await self._stop()

    async def _started(self, until_s: float) -> BleakScanner:
        """Start a scanner, again where the adapter is busy, or has worked before and may come back."""
        loop = asyncio.get_running_loop()
        for attempt in range(TRIES):
            try:
                return await self._start(max(START_S, until_s - loop.time()))
            except AdapterError as error:
                pause_s = min(PAUSE_S * 2**attempt, PAUSE_MAX_S)
                again = kind_of(error) in (RETURNS if self._worked else {Kind.BUSY})
                if not again or attempt + 1 == TRIES or loop.time() + pause_s >= until_s:
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError  # the last attempt returns or raises

    async def _start(self, within_s: float) -> BleakScanner:
        try:
            scanner = self._make(self._hear)
        except Exception as error:
            raise unusable(error) from error
        try:
            await call(scanner.start(), "scanning", within_s=within_s)
        except asyncio.CancelledError:
            await _ended(scanner)
            raise
        except BleOtaError as error:
            cause = error.__cause__ or error
            if isinstance(cause, TimeoutError):
                await _ended(scanner)
            raise unusable(cause) from cause
        self._worked = True
        return scanner

    async def _stop(self) -> None:
        scanner, self._scanner = self._scanner, None
        if scanner is not None:
            await _ended(scanner)

    def _hear(self, device: BLEDevice, data: AdvertisementData) -> None:
        for inbox in self._inboxes:
            _put(inbox, (device, data))


async def _ended(scanner: BleakScanner) -> None:
    """End a scan, also one that was given up while it started: it may have begun, and would disturb connects."""
    with suppress(BleOtaError):
        await call(scanner.stop(), "ending a scan", within_s=STOP_S)


def _put(inbox: Inbox, heard: Heard | AdapterError) -> None:
    if inbox.full():
        inbox.get_nowait()
    inbox.put_nowait(heard)

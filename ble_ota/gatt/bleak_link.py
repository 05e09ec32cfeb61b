"""A `link.Link` over one connected `BleakClient`.

Characteristics are addressed by handle, since bleak refuses a look-up by a UUID that occurs twice. A device that asks
to be paired is paired once, where the system has a call for it, and what it refused is asked again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic

from ble_ota.errors import BleOtaError, DeviceError, LinkLostError
from ble_ota.gatt.bleak_call import Lost, call
from ble_ota.gatt.bleak_errors import PAIR_HINT, Kind, bleak_errors, gone, kind_of, text
from ble_ota.gatt.bleak_systems import System
from ble_ota.link import ATT_VALUE_MAX, Characteristic, LinkFacts
from ble_ota.script import Notified

T = TypeVar("T")
INBOX_MAX = 4096  # notifications not yet taken; a device that sends more floods us
PAIR_S = 40.0  # a pairing takes 30 s at most (Core Specification Vol 3 Part H 3.4), and somebody may have to agree
ANSWER_S = 70.0  # 30 s for a request (Core Specification Vol 3 Part F 3.3.3), and a system may pair within it: 40 s
LEAST_ROOM = 20  # bytes of a write at the smallest MTU, 23; also what bleak says as long as it knows nothing better
SETTLE_S, LOOK_S = 0.5, 0.05  # our choice: how long to wait for a better size, and how often to look


class BleakLink:
    """A link that stands.

    Args:
        client: Connected, its services discovered.
        lost: Done once the link has gone.
        system: What lies below.
    """

    def __init__(self, client: BleakClient, lost: Lost, system: System) -> None:
        self._client = client
        self._lost = lost
        self._system = system
        self._inbox: deque[Notified] = deque()
        self._heard = asyncio.Event()
        self._address = client.address.upper()
        self._chars = {c.handle: c for c in client.services.characteristics.values()}
        self.paired = False
        """Whether this link paired with the device."""

    @property
    def facts(self) -> LinkFacts:
        """Address, characteristics and write sizes; the sizes as they are now, systems may learn the MTU late.

        Raises:
            LinkLostError: The link has gone, and its sizes with it.
        """
        return LinkFacts(
            self._address,
            tuple(
                Characteristic(c.handle, c.uuid.lower(), c.service_uuid.lower(), self._room(c, "looking at it"))
                for c in self._chars.values()
            ),
        )

    async def settle(self) -> None:
        """Wait a moment for a better size of a write than the least, where it may come late."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + SETTLE_S
        while self._system.sizes_come_late and self._least() and loop.time() < until_s:
            await asyncio.wait({self._lost}, timeout=LOOK_S)

    def _least(self) -> bool:
        rooms = {self._room(c, "looking at it") for c in self._chars.values()}
        return rooms == {LEAST_ROOM}

    async def subscribe(self, char: int) -> None:
        """See `link.Link.subscribe`."""

        def hear(_char: BleakGATTCharacteristic, data: bytearray) -> None:
            if len(self._inbox) < INBOX_MAX:
                self._inbox.append(Notified(char, bytes(data)))
            self._heard.set()

        await self._ask(lambda: self._client.start_notify(self._chars[char], hear), "subscribing")

    async def read(self, char: int) -> bytes:
        """See `link.Link.read`."""
        return bytes(await self._ask(lambda: self._client.read_gatt_char(self._chars[char]), "reading"))

    async def write(self, char: int, data: bytes, *, ack: bool) -> None:
        """See `link.Link.write`.

        Raises:
            ValueError: More bytes than one write may carry; a bug of the caller. Systems make long writes of it.
        """
        room = self._room(self._chars[char], "writing")
        if len(data) > room:
            msg = f"a write of {len(data)} bytes where one may have {room}"
            raise ValueError(msg)
        await self._ask(lambda: self._client.write_gatt_char(self._chars[char], data, response=ack), "writing")

    def _room(self, char: BleakGATTCharacteristic, doing: str) -> int:
        """Bytes one write may carry now. Once the link has gone it is no longer true, and systems say anything."""
        if self._lost.done():
            raise gone(doing)
        with bleak_errors(doing):
            if self._client.is_connected:
                return min(char.max_write_without_response_size, ATT_VALUE_MAX)
        raise gone(doing)

    async def notification(self, chars: tuple[int, ...]) -> Notified:
        """See `link.Link.notification`; what came before a loss is still given."""
        while True:
            for heard in self._inbox:
                if heard.char in chars:
                    self._inbox.remove(heard)
                    return heard
            self._heard.clear()
            await call(self._heard.wait(), "waiting for the device", lost=self._lost)

    async def _ask(self, doing: Callable[[], Coroutine[Any, Any, T]], what: str) -> T:
        try:
            return await call(doing(), what, lost=self._lost, within_s=ANSWER_S)
        except BleOtaError as error:
            if kind_of(error) is not Kind.UNPAIRED or self.paired:
                raise
            await self._pair(error)
        return await call(doing(), what, lost=self._lost, within_s=ANSWER_S)

    async def _pair(self, refusal: BleOtaError) -> None:
        """Pair once.

        Raises:
            DeviceError: It cannot be.
            LinkLostError: The device dropped the link instead.
        """
        if self._system.pairs_by_itself:
            hint = "Accept the system's pairing dialog, then run the same command again"
            raise DeviceError(str(refusal), hint=hint) from refusal
        try:
            await call(self._client.pair(), "pairing", lost=self._lost, within_s=PAIR_S)
        except BleOtaError as error:
            if isinstance(error, LinkLostError) and self._lost.done():
                raise LinkLostError(str(error), hint=PAIR_HINT) from error
            why = text(error.__cause__ or error)
            msg = f"{refusal}, and that failed ({why or 'no reason was given'})"
            raise DeviceError(msg, hint=PAIR_HINT) from error
        self.paired = True

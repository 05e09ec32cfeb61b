"""The host's end of a link over the modelled air; what `ble_ota.link.Link` asks for."""

from __future__ import annotations

import asyncio

from ble_ota.errors import AttRefusedError
from ble_ota.link import Characteristic, LinkFacts
from ble_ota.script import Notified
from ble_ota.virtual.air import Berth, Fate
from ble_ota.virtual.peripheral import VirtualCharacteristic

# ATT error codes, Core Specification Vol 3 Part F 3.4.1.1
READ_NOT_PERMITTED = 0x02
WRITE_NOT_PERMITTED = 0x03
REQUEST_NOT_SUPPORTED = 0x06


class VirtualLink:
    """A connection to one virtual peripheral. Handles count from 1 in the order of its GATT table."""

    def __init__(self, berth: Berth) -> None:
        """Begin to connect; `stand` completes it."""
        self._table: dict[int, tuple[str, VirtualCharacteristic]] = {}
        for service in berth.peripheral.services:
            for char in service.characteristics:
                self._table[len(self._table) + 1] = (service.uuid, char)
        self._peripheral = berth.peripheral
        self._wire = berth.link({char.uuid: handle for handle, (_, char) in self._table.items()})
        self._turn = asyncio.Lock()  # one request at a time: Core Specification Vol 3 Part F 3.3.2
        found = (Characteristic(h, c.uuid, s, berth.max_value) for h, (s, c) in self._table.items())
        self._facts = LinkFacts(berth.peripheral.address, tuple(found))

    @property
    def facts(self) -> LinkFacts:
        """Address, characteristics and write sizes."""
        return self._facts

    async def stand(self) -> None:
        """Complete the connection. Raises `LinkLostError`."""
        await self._wire.stand()

    def close(self) -> None:
        """Disconnect, if the link still stands."""
        self._wire.end()

    async def subscribe(self, char: int) -> None:
        """Ask for indications or notifications; takes two connection intervals.

        Raises:
            LinkLostError: The link is gone.
            AttRefusedError: The characteristic has neither.
        """
        found = self._characteristic(char)
        async with self._turn:
            fate = await self._wire.reach("subscribe")
            can = bool(found.properties & {"indicate", "notify"})
            if can:
                self._wire.subscribed.add(found.uuid)
            await self._wire.answer(fate)
            if not can:
                raise AttRefusedError(f"subscribe to {found.uuid}", REQUEST_NOT_SUPPORTED)

    async def read(self, char: int) -> bytes:
        """Read a characteristic; takes two connection intervals.

        Raises:
            LinkLostError: The link is gone.
            AttRefusedError: The characteristic cannot be read.
        """
        found = self._characteristic(char)
        async with self._turn:
            fate = await self._wire.reach("read")
            can = "read" in found.properties
            value = self._peripheral.read(found.uuid) if can else b""
            await self._wire.answer(fate)
            if not can:
                raise AttRefusedError(f"read {found.uuid}", READ_NOT_PERMITTED)
            return value

    async def write(self, char: int, data: bytes, *, ack: bool) -> None:
        """Write one value; takes one connection interval, with `ack` two.

        Raises:
            ValueError: More bytes than one write may carry; a bug of the caller.
            LinkLostError: The link is gone.
            AttRefusedError: The characteristic cannot be written that way.
        """
        found = self._characteristic(char)
        room = self._facts.characteristics[char - 1].max_write
        if len(data) > room:
            msg = f"a write of {len(data)} bytes where one may have {room}"
            raise ValueError(msg)
        async with self._turn:
            fate = await self._wire.reach("write", data, answered=ack)
            can = ("write" if ack else "write-without-response") in found.properties
            if can and fate is not Fate.LOSE:
                self._peripheral.written(found.uuid, data)
            if ack or not can or fate is Fate.CUT_AFTER:
                await self._wire.answer(fate)
            if not can:
                raise AttRefusedError(f"write {found.uuid}", WRITE_NOT_PERMITTED)

    async def notification(self, chars: tuple[int, ...]) -> Notified:
        """The oldest word of one of `chars` not yet taken; waits for it without end. Raises `LinkLostError`."""
        return await self._wire.heard(chars)

    def _characteristic(self, char: int) -> VirtualCharacteristic:
        if char not in self._table:
            msg = f"no characteristic has handle {char}"
            raise ValueError(msg)
        return self._table[char][1]

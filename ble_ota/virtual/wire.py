"""One link over the modelled air, both ends of it, and what may become of each thing that travels over it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ble_ota.errors import LinkLostError
from ble_ota.script import Notified
from ble_ota.virtual.peripheral import Peripheral

QUEUE_MAX = 256  # values under way in one direction; a device that says more loses it, and the air counts it


class Fate(Enum):
    """What becomes of one operation. The link meant is the operation's own; others stand.

    A link that fades carries nothing more, and ends for both by its supervision timeout. What has no answer (a write
    command, a notification) misses none: to LOSE it ends no link.
    """

    PASS = "it takes place"
    CUT_BEFORE = "the link drops, and it does not take place"
    CUT_AFTER = "it takes place at the receiving end, and the link drops; who waits for its answer gets none"
    LOSE_ANSWER = "it takes place, its answer is lost, and the link fades; what a device says is lost, as by LOSE"
    LOSE = "it is lost on the way, and nobody is told; a request that has no answer lets the link fade"


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that is about to travel over a link."""

    index: int
    """Counted over all links of the air, from 0."""
    kind: str
    """"connect", "subscribe", "read", "write", "indication" or "notification"."""
    address: str
    """Of the peripheral."""
    data: bytes = b""
    """What is written, or what the peripheral says."""


class Medium(Protocol):
    """What a link needs of the air around it."""

    interval_s: float
    connect_s: float
    supervision_s: float
    lost: int

    @property
    def mtu(self) -> int:
        """ATT MTU of a link that begins now."""
        ...

    def operation(self, kind: str, address: str, data: bytes = b"") -> Fate:
        """Count one operation, and say what becomes of it."""
        ...


@dataclass(frozen=True, slots=True)
class Value:
    """One indication or notification on its way."""

    uuid: str
    data: bytes
    indicated: bool


class Wire:
    """One link, both ends of it, from the connect request to its end."""

    def __init__(self, air: Medium, peripheral: Peripheral, handles: dict[str, int], gone: Callable[[], None]) -> None:
        """Begin to connect; `handles` is characteristic to handle, `gone` is called at the end."""
        self.mtu = air.mtu
        self.ended = False
        self.subscribed: set[str] = set()
        self._air = air
        self._peripheral = peripheral
        self._handles = handles
        self._gone = gone
        self._stands = False
        self._ends_at: float | None = None  # loop time; set once it fades
        self._leaving: deque[Value] = deque()
        self._arrived: deque[Notified] = deque()
        self._news = asyncio.Event()
        self._pumping: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ what the host asks

    async def stand(self) -> None:
        """Carry the connect request out. Raises `LinkLostError`."""
        fate = await self.reach("connect", intervals=0, more_s=self._air.connect_s)
        self._stands = True
        self._peripheral.connected()
        await self.answer(fate, intervals=0)

    async def reach(
        self, kind: str, data: bytes = b"", *, intervals: int = 1, more_s: float = 0.0, answered: bool = True
    ) -> Fate:
        """Let a request travel to the device; `answered` says whether it is one that the device answers.

        Raises:
            LinkLostError: The link was gone before it got there.
        """
        fate = self._air.operation(kind, self._peripheral.address, data)
        if fate is Fate.CUT_BEFORE:
            self.end()
        await self.slots(intervals, more_s=more_s)
        if fate is Fate.LOSE and answered:
            await self.fade()
        return fate

    async def answer(self, fate: Fate, *, intervals: int = 1) -> None:
        """Let the answer travel back. Raises `LinkLostError` if it does not arrive."""
        if fate is Fate.CUT_AFTER:
            self.end()
        if fate is Fate.LOSE_ANSWER:
            await self.fade()
        await self.slots(intervals)

    async def slots(self, intervals: int, *, more_s: float = 0.0) -> None:
        """Let so many connection intervals pass. Raises `LinkLostError` if the link does not outlive them."""
        self.check()
        await asyncio.sleep(intervals * self._air.interval_s + more_s)
        if self._ends_at is not None:
            await self.fade()
        self.check()

    async def fade(self) -> None:
        """Carry nothing more until the supervision timeout ends the link. Always raises `LinkLostError`."""
        loop = asyncio.get_running_loop()
        if self._ends_at is None:
            self._ends_at = loop.time() + self._air.supervision_s
            loop.call_at(self._ends_at, self.end)
            self._stop_pumping()
        await asyncio.sleep(self._ends_at - loop.time())
        self.end()
        self.check()

    def check(self) -> None:
        """Raise `LinkLostError` once the link is gone."""
        if self.ended:
            msg = f"the link to {self._peripheral.address} is gone"
            raise LinkLostError(msg)

    def end(self) -> None:
        """End the link; the peripheral hears of it in a call of its own, never inside one of its own calls."""
        if self.ended:
            return
        self.ended = True
        self._gone()
        self._leaving.clear()
        self._stop_pumping()
        self._news.set()
        if self._stands:
            asyncio.get_running_loop().call_soon(self._peripheral.disconnected)

    # ------------------------------------------------------------------ what the device says

    def say(self, value: Value) -> bool:
        """Queue what the peripheral says; False if it is lost."""
        if value.uuid not in self.subscribed or len(self._leaving) >= QUEUE_MAX:
            return False
        self._leaving.append(value)
        if self._pumping is None:
            self._depart()
        return True

    def _depart(self) -> None:
        """Send the oldest waiting value on its way; a host that takes nothing confirms nothing."""
        self._pumping = None
        if not self._leaving or len(self._arrived) >= QUEUE_MAX or self._ends_at is not None:
            return
        slots = 2 if self._leaving[0].indicated else 1
        self._pumping = asyncio.get_running_loop().call_later(slots * self._air.interval_s, self._arrive)

    def _arrive(self) -> None:
        value = self._leaving[0]
        kind = "indication" if value.indicated else "notification"
        fate = self._air.operation(kind, self._peripheral.address, value.data)
        if fate is Fate.CUT_BEFORE:
            self.end()
        if self.ended:
            return
        self._leaving.popleft()
        if fate in (Fate.LOSE, Fate.LOSE_ANSWER):
            self._air.lost += 1
        else:
            self._arrived.append(Notified(self._handles[value.uuid], value.data))
            self._news.set()
        if fate is Fate.CUT_AFTER:
            self.end()
        else:
            self._depart()

    def _stop_pumping(self) -> None:
        if self._pumping is not None:
            self._pumping.cancel()
            self._pumping = None

    async def heard(self, chars: tuple[int, ...]) -> Notified:
        """The oldest value of one of `chars` not yet taken. Raises `LinkLostError` when none can come any more."""
        while True:
            for value in self._arrived:
                if value.char in chars:
                    self._arrived.remove(value)
                    if self._pumping is None:
                        self._depart()
                    return value
            self.check()
            self._news.clear()
            await self._news.wait()

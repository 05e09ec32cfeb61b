"""How far a component has come over all its links, and whether it still comes along."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from ble_ota.errors import DeviceSilentError
from ble_ota.events import Emit, TransferProgress, TransferResumed, Warned
from ble_ota.model import Component, Mark, VerifiedImage
from ble_ota.protocols.driver import Hint
from ble_ota.script import Progress


class Marks(Protocol):
    """Where it is kept how far files have come."""

    async def last(self, component: str, file: int, sha256: str) -> Mark | None:
        """The last mark of this very file, or None."""
        ...

    def keep(self, mark: Mark) -> None:
        """Take note; returns at once and never raises."""
        ...

    async def product(self) -> str:
        """Return the last `Progress.product` of any device of this product, or ""."""
        ...

    def keep_product(self, fact: str) -> None:
        """Keep a `Progress.product`; return at once and never raise."""
        ...


class NoMarks:
    """For whoever keeps nothing: each run starts over."""

    async def last(self, component: str, file: int, sha256: str) -> Mark | None:
        """None."""
        _ = component, file, sha256
        return None

    def keep(self, mark: Mark) -> None:
        """Forget it."""

    async def product(self) -> str:
        """Return ""."""
        return ""

    def keep_product(self, fact: str) -> None:
        """Forget it."""


@dataclass(slots=True)
class Delivery:
    """One component on its way."""

    component: Component
    images: tuple[VerifiedImage, ...]
    emit: Emit
    marks: Marks
    mark: Mark | None = None
    """The last one, of this process or of one before."""
    product: str = ""
    """The last `Progress.product`, of this run or of one before."""
    furthest: int = 0
    """Bytes of the component that the device has ever acknowledged."""
    may_be_whole: bool = False
    """On some link all was acknowledged but, at most, the packet in flight: the device may have every byte."""
    _marked_s: float = 0.0  # when `mark` was made, by the loop's clock
    _packet: int = 0  # bytes of the largest so far
    _done: int = 0  # bytes, on this link
    _before: int = 0  # bytes of the files that are over, on this link
    _began: tuple[float, int] | None = None  # when the first answer came on this link, and at how many bytes
    _pace: _Pace | None = None

    @property
    def total(self) -> int:
        """Bytes of all its files."""
        return sum(i.size_bytes for i in self.images)

    async def recall(self) -> None:
        """Take up what an earlier run has left.

        Only the first file is ever carried on: whether a device has kept the ones before another is not to be known.
        """
        self.mark = await self.marks.last(self.component.no, 0, self.images[0].sha256)
        self.product = await self.marks.product()
        self._marked_s = asyncio.get_running_loop().time()

    def hint(self, file: int) -> Hint | None:
        """Where the last link left `file`, if it did."""
        if file or self.mark is None or self.mark.file or not self.mark.offset:
            return None
        age_s = self.mark.age_s + asyncio.get_running_loop().time() - self._marked_s
        return Hint(self.mark.offset, age_s, self.mark.learned, self.product)

    def start(self) -> None:
        """Begin on a new link."""
        self._before = self._done = 0
        self._began = None

    def progress(self, file: int, step: Progress) -> None:
        """Take note of what the device has acknowledged."""
        done = self._before + step.done
        if self._began is None:
            self._first(done)
        elif done < self._done:
            self.emit(Warned("the device did not take what it was sent; sending all of it once more"))
        else:
            self._packet = max(self._packet, done - self._done)
        self._done, self.furthest = done, max(self.furthest, done)
        self.may_be_whole = self.may_be_whole or done + self._packet >= self.total
        self._note(file, step)
        self.emit(TransferProgress(self.component.no, done, self.total, self._rate(), step.resent))
        if self._pace is not None:
            self._pace.heed(done, whole=done == self.total, wait_s=step.wait_s)

    def refused(self) -> None:
        """Forget how far the present file has come: the device has ended it, and does not know it any more."""
        if self.mark is not None:
            self._keep(replace(self.mark, offset=0, learned="", age_s=0.0))

    def next_image(self, file: int) -> None:
        """A file is over."""
        self._before += self.images[file].size_bytes

    def _first(self, done: int) -> None:
        self._began = (asyncio.get_running_loop().time(), done)
        if done:
            evidence = "the device answered there as before the break"
            self.emit(TransferResumed(self.component.no, done, evidence))

    def _rate(self) -> int:
        began_s, at = self._began or (0.0, 0)
        seconds = asyncio.get_running_loop().time() - began_s
        return round((self._done - at) / seconds) if seconds > 0 and self._done > at else 0

    def _note(self, file: int, step: Progress) -> None:
        self._keep(Mark(self.component.no, file, self.images[file].sha256, step.done, step.learned))
        if step.product and step.product != self.product:
            self.product = step.product
            self.marks.keep_product(self.product)

    def _keep(self, mark: Mark) -> None:
        self.mark, self._marked_s = mark, asyncio.get_running_loop().time()
        self.marks.keep(mark)

    @asynccontextmanager
    async def paced(self, stall_s: float, floor_bytes: int) -> AsyncGenerator[None, None]:
        """Hold the block to a pace: in any `stall_s` seconds at least `floor_bytes` must be acknowledged.

        What the device asks for (a pause, an erase) is granted on top.

        Raises:
            DeviceSilentError: It was not.
        """
        limit = asyncio.timeout(stall_s)
        try:
            async with limit:
                self._pace = _Pace(limit, stall_s, floor_bytes, self._done)
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            at = f"byte {self._done} of {self.total}"
            msg = f"the device has stopped coming along: fewer than {floor_bytes} bytes in {stall_s:g} s, at {at}"
            raise DeviceSilentError(msg) from None
        finally:
            self._pace = None


@dataclass(slots=True)
class _Pace:
    """A watchdog over a transfer; `limit` is what bites."""

    limit: asyncio.Timeout
    stall_s: float
    floor_bytes: int
    base: int  # bytes when it was last content

    def heed(self, done: int, *, whole: bool, wait_s: float) -> None:
        """Take note of progress, and of the time the device asks for."""
        content = abs(done - self.base) >= self.floor_bytes or whole
        if content:
            self.base = done
        if content or wait_s:
            until_s = asyncio.get_running_loop().time() + wait_s + self.stall_s
            self.limit.reschedule(max(until_s, self.limit.when() or 0))

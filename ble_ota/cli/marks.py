"""How far transfers have come, written to the ledger now and then: 64 KiB or 2 s apart, never per packet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from ble_ota.errors import StorageError
from ble_ota.events import Emit, Warned
from ble_ota.ledger import Ledger
from ble_ota.model import Mark

MARK_BYTES = 65536
MARK_S = 2.0
PRODUCT_S = 30 * 86400.0  # our choice: so long a fact about a product is believed; a new firmware may change it


@dataclass(slots=True)
class LedgerMarks:
    """A run's `delivery.Marks`."""

    ledger: Ledger
    run: str
    emit: Emit
    device: tuple[str, str] = ("", "")
    _newest: tuple[Mark, float] | None = None  # and when it was made, by the loop's clock
    _written: tuple[Mark, float] | None = None  # the last one given to the ledger, and when
    _writing: asyncio.Task[None] | None = None
    _facts: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _failing: bool = False  # the last mark could not be written; said once until one can be again

    async def last(self, component: str, file: int, sha256: str) -> Mark | None:
        """The last mark of this very file, or None. Raises `StorageError`."""
        return await self.ledger.last_mark(self.device, component, file, sha256)

    def keep(self, mark: Mark) -> None:
        """Take note of a mark; it is written soon, if the last one is far enough behind."""
        self._newest = mark, asyncio.get_running_loop().time()
        if self._due() and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write())

    async def product(self) -> str:
        """Return the fact that is kept for this product, if it is not too old. Raises `StorageError`."""
        kept = await self.ledger.last_mark((self.device[0], ""), "", 0, "") if self.device[0] else None
        return kept.learned if kept is not None and kept.age_s < PRODUCT_S else ""

    def keep_product(self, fact: str) -> None:
        """Keep a fact for all devices of this product: as the mark of a device without a key, which no device has."""
        if self.device[0]:
            writing = asyncio.create_task(self._store((self.device[0], ""), Mark("", 0, "", 0, fact)))
            self._facts.add(writing)
            writing.add_done_callback(self._facts.discard)

    async def flush(self) -> None:
        """Write the newest one, if it is not written."""
        if self._facts:
            await asyncio.wait(self._facts)
        if self._writing is not None:
            await self._writing
        if self._newest is not None and (self._failing or self._newest != self._written):
            await self._write()

    def _due(self) -> bool:
        if self._newest is None or self._written is None:
            return True
        (new, now), (old, then) = self._newest, self._written
        same = (new.component, new.file, new.sha256) == (old.component, old.file, old.sha256)
        return not same or not 0 <= new.offset - old.offset < MARK_BYTES or now - then >= MARK_S

    async def _write(self) -> None:
        """Write the newest mark; that it cannot be written is no reason to end a transfer."""
        if self._newest is not None:
            self._written = mark, made_s = self._newest
            await self._store(self.device, replace(mark, age_s=asyncio.get_running_loop().time() - made_s))

    async def _store(self, device: tuple[str, str], mark: Mark) -> None:
        try:
            await self.ledger.mark(self.run, device, mark)
        except StorageError as error:
            if not self._failing:
                self.emit(Warned(f"how far the transfer has come cannot be written down: {error}"))
            self._failing = True
        else:
            self._failing = False

"""How far transfers have come, written to the ledger now and then: 64 KiB or 2 s apart, never per packet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from ble_ota.errors import StorageError
from ble_ota.events import Emit, Warned
from ble_ota.ledger import Ledger
from ble_ota.model import Mark

MARK_BYTES = 65536
MARK_S = 2.0


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
    _failing: bool = False  # the last mark could not be written; said once until one can be again

    async def last(self, component: str, file: int, sha256: str) -> Mark | None:
        """The last mark of this very file, or None. Raises `StorageError`."""
        return await self.ledger.last_mark(self.device, component, file, sha256)

    def keep(self, mark: Mark) -> None:
        """Take note of a mark; it is written soon, if the last one is far enough behind."""
        self._newest = mark, asyncio.get_running_loop().time()
        if self._due() and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write())

    async def flush(self) -> None:
        """Write the newest one, if it is not written."""
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
        if self._newest is None:
            return
        self._written = mark, made_s = self._newest
        aged = replace(mark, age_s=asyncio.get_running_loop().time() - made_s)
        try:
            await self.ledger.mark(self.run, self.device, aged)
        except StorageError as error:
            if not self._failing:
                self.emit(Warned(f"how far the transfer has come cannot be written down: {error}"))
            self._failing = True
        else:
            self._failing = False

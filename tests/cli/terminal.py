"""A terminal with somebody at it: a pty."""

from __future__ import annotations

import asyncio
import os
import pty
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress

from tests.cli.desk import Told, started, told

WAIT_S = 20.0


class Terminal:
    """One command before a person, who reads and types."""

    def __init__(self, process: Process, master: int) -> None:
        self.process = process
        self._master = master
        self._seen = bytearray()
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    @classmethod
    async def of(cls, *arguments: str) -> Terminal:
        master, slave = pty.openpty()
        process = await started(*arguments, stdin=slave, stderr=slave)
        os.close(slave)
        return cls(process, master)

    def _read(self) -> None:
        data = b""
        with suppress(OSError):  # EIO: the other end is closed
            data = os.read(self._master, 65536)
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self._seen += data
        self._more.set()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while text.encode() not in self._seen:
                self._more.clear()
                await self._more.wait()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def hang_up(self) -> None:
        """Close it, as its window would be."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)

    async def end(self) -> tuple[int, Told]:
        async with asyncio.timeout(WAIT_S):
            out, _ = await self.process.communicate()
        asyncio.get_running_loop().remove_reader(self._master)
        self._read()
        os.close(self._master)
        assert self.process.returncode is not None
        return self.process.returncode, told(out.decode(), self._seen.decode(errors="replace").replace("\r\n", "\n"))


async def at_terminal(*arguments: str, at: str, act: Callable[[Terminal], None]) -> tuple[int, Told]:
    """Run `ble-ota`; do `act` once `at` is on the screen."""
    terminal = await Terminal.of(*arguments)
    await terminal.until(at)
    act(terminal)
    return await terminal.end()

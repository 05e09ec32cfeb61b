"""`ble-ota` as a process of its own, as a user starts it: over the system's Bluetooth."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ble_ota.virtual.peripherals.quecthing import Habits
from ble_ota.virtual.strikes import Strike, Struck
from ble_ota.virtual.world import World

SIZE_BYTES = 32768
RUN_S = 240.0  # a whole update takes a minute here, and two where others use the processors; what takes longer hangs
TARGET = "1.1.0"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int
    lines: list[dict[str, Any]]
    words: str

    def named(self, event: str) -> list[dict[str, Any]]:
        """Its lines with that event."""
        return [line for line in self.lines if line["event"] == event]


class Program:
    """A command line with a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run(self, *words: str, secret: str = "") -> Ended:
        """Run `ble-ota`, to its end.

        Raises:
            TimeoutError: It did not end within `RUN_S` seconds; it is killed.
        """
        environment = os.environ | {
            "BLE_OTA_KEYRING": "false",
            "BLE_OTA_CLOUD": "https://127.0.0.1:9",  # refused at once; a name would be looked for in vain
            "BLE_OTA_STATE_DIR": str(self._folder / "state"),
            "BLE_OTA_CACHE_DIR": str(self._folder / "cache"),
            "BLE_OTA_DEVICE_SECRET": secret,
        }
        command = [sys.executable, "-m", "ble_ota", *words, "--json"]
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with asyncio.timeout(RUN_S):
                lines, said = await asyncio.gather(self._told(process.stdout), process.stderr.read())
                code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        words_said = said.decode()
        print(words_said, *lines, sep="\n")  # pytest shows it where the test fails
        return Ended(code, lines, words_said)

    async def _told(self, stdout: asyncio.StreamReader) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        async for line in stdout:
            told.append(json.loads(line))
            self.lines.put_nowait(told[-1])
        return told

    async def until(self, event: str) -> dict[str, Any]:
        """Wait for a line with that event."""
        while (line := await self.lines.get())["event"] != event:
            pass
        return line


class Product:
    """A world with one QuecThing device that a strike befalls, and a file for it."""

    def __init__(self, folder: Path, strike: Strike, **habits: Any) -> None:
        self.world = World.create(folder / "world", size_bytes=SIZE_BYTES)
        self.made = self.world.devices[0]
        self.firmware = self.world.firmware(self.world.components[0].files[0])
        self.file = folder / "new.bin"
        self.file.write_bytes(self.firmware)
        self.device = Struck(self.world, self.made, Habits(settle_s=1.0, boot_s=3.0, patience_s=60.0, **habits), strike)

    async def flash(self, program: Program) -> Ended:
        """Bring the file onto the device."""
        return await program.run(
            "flash", str(self.file), self.made.name, "--to", TARGET, "--yes", secret=self.made.binding_code
        )

    @property
    def runs(self) -> tuple[str, bytes]:
        """The version and the image that run."""
        number = self.world.components[0].no
        return self.device.version(number), self.device.running(number)

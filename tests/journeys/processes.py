"""`ble-ota` as processes of their own, each with a home and an environment that says nothing of this machine's."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_S = 30.0
DONE_S = 60.0


@asynccontextmanager
async def process(home: Path, *words: str, **env: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """One `ble-ota` of its own, with a home of its own; ended with the block."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ble_ota",
        *words,
        "--json",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
        env=os.environ | {"HOME": str(home), "BLE_OTA_KEYRING": "false"} | env,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
        await started.communicate()


async def ready(started: asyncio.subprocess.Process) -> dict[str, Any]:
    """What it says once it is ready."""
    assert started.stdout is not None
    async with asyncio.timeout(READY_S):
        line = await started.stdout.readline()
    data: dict[str, Any] = json.loads(line)["data"]
    return data


@dataclass(frozen=True)
class Ran:
    """What one command came to."""

    code: int | None
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it printed, by `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def data(self) -> Any:
        """The result's data, or the error itself."""
        last = self.lines[-1]
        return last.get("data", last)


async def run(home: Path, *words: str, **env: str) -> Ran:
    """One command, to its end."""
    async with process(home, *words, **env) as started, asyncio.timeout(DONE_S):
        out, err = await started.communicate()
    return Ran(started.returncode, out.decode(), err.decode())

"""P3 and P8 of the fault matrix, at whole processes: readers that stall, a keyring and files that hang or break."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from ble_ota.ledger import Ledger
from tests.cli.pipes import gone, stalled
from tests.faults.afterwards import wrong
from tests.faults.host import QUICK, Host

ROOT = Path(__file__).parents[2]
WAIT_S = 40.0
NUMBERS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host.made(tmp_path, habits=QUICK)


async def started(host: Host, *words: str, extra: Mapping[str, str] | None = None, **streams: Any) -> Process:
    """One `ble-ota` before this host, with more of an environment."""
    given = {"stdin": DEVNULL, "stdout": PIPE, "stderr": PIPE} | streams
    environment = os.environ | host.environment | {"PYTHONPATH": str(ROOT)} | dict(extra or {})
    return await create_subprocess_exec(sys.executable, "-m", "ble_ota", *words, env=environment, **given)


def update(host: Host) -> tuple[str, ...]:
    return "update", host.world.devices[0].address, "--yes", "--json"


async def ended(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(WAIT_S):
        out, err = await process.communicate()
    return process.returncode, (out or b"").decode(), (err or b"").decode()


# ------------------------------------------------------------------ readers


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_a_reader_that_stalls_does_not_end_an_update(host: Host, stream: str) -> None:
    with stalled() as writes:
        code, _, _ = await ended(await started(host, *update(host), extra=None, **{stream: writes}))
    assert code == 0
    assert await wrong(host.world, host.state) == []


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: n.name)
async def test_a_signal_ends_an_update_whose_reader_stalls(host: Host, number: signal.Signals) -> None:
    hung = {"PYTHON_KEYRING_BACKEND": "tests.faults.rings.Hung", "BLE_OTA_KEYRING": "true"}
    with stalled() as writes:
        process = await started(host, *update(host), extra=hung, stdout=writes)
        async with asyncio.timeout(WAIT_S):
            while not await begun(host):  # noqa: ASYNC110 -- another process; it waits for its keyring
                await asyncio.sleep(0.1)
        process.send_signal(number)
        code, _, err = await ended(process)
    assert (code, "ABORTED: stopped" in err) == (NUMBERS[number], True)


async def begun(host: Host) -> bool:
    if not (host.state / "ledger.db").exists():
        return False
    async with await Ledger.open(host.state / "ledger.db") as ledger:
        return bool(await ledger.runs())


async def test_damage_that_was_found_is_the_exit_code_where_the_reader_has_gone(host: Host) -> None:
    assert (await ended(await started(host, *update(host))))[0] == 0
    with closing(sqlite3.connect(host.state / "ledger.db", isolation_level=None)) as other:
        other.execute("UPDATE event SET at_s = at_s + 1")
    with gone() as writes:
        code, _, err = await ended(await started(host, "history", "verify", stdout=writes))
    assert (code, err) == (21, "")


# ------------------------------------------------------------------ keyrings


async def test_a_keyring_that_hangs_ends_with_the_deadline(host: Host) -> None:
    extra = {"PYTHON_KEYRING_BACKEND": "tests.faults.rings.Hung", "BLE_OTA_KEYRING": "true", "BLE_OTA_DEADLINE_S": "2"}
    code, out, _ = await ended(await started(host, *update(host), extra=extra))
    assert (code, json.loads(out.splitlines()[-1])["verdict"]) == (124, "TIMEOUT")


async def test_a_keyring_whose_socket_breaks_is_an_error_of_storage(host: Host) -> None:
    extra = {"PYTHON_KEYRING_BACKEND": "tests.faults.rings.Broken", "BLE_OTA_KEYRING": "true"}
    code, out, err = await ended(await started(host, "login", extra=extra))
    assert (code, out) == (22, "")
    assert err.startswith("error: the system keyring does not take a secret: BrokenPipeError\n\nhint: ")
    assert "`keyring = false`" in err


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("words", [("mqtt", "plan", "--file", "{}"), ("scan", "--config", "{}")])
async def test_a_signal_ends_the_wait_for_a_file_that_is_a_pipe(host: Host, words: tuple[str, ...]) -> None:
    os.mkfifo(fifo := host.home / "fifo")
    process = await started(host, *(word.format(fifo) for word in words))
    writes = await opened(fifo)
    process.send_signal(signal.SIGTERM)
    code, _, err = await ended(process)
    os.close(writes)
    assert (code, err.splitlines()[0]) == (143, "error: stopped")


async def opened(fifo: Path) -> int:
    """The writing end of a pipe, once its reader is there."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with suppress(OSError):  # ENXIO: nobody reads it
                return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("words", [("inspect", "{}"), ("flash", "{}", "C0:DE:B0:E0:00:01", "--to", "1.1.0", "--yes")])
async def test_firmware_in_a_pipe_is_refused_and_not_waited_for(host: Host, words: tuple[str, ...]) -> None:
    """It is read a second time while it is sent, which a pipe is not."""
    os.mkfifo(fifo := host.home / "fifo")
    code, _, err = await ended(await started(host, *(word.format(fifo) for word in words)))
    assert code == 2
    assert "is no ordinary file" in err

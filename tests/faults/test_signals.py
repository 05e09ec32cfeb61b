"""P4 and P8 of the fault matrix: signals, a closed terminal, a reader that goes; each at a process of its own."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import signal
import sys
import termios
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ble_ota.ledger import Ledger, RunRow
from ble_ota.virtual.peripherals.quecthing import Boot, Flash
from tests.faults.afterwards import wrong
from tests.faults.host import QUICK, Host

KEEPS = replace(QUICK, keeps_session_over_disconnect=True, keeps_session_over_power=True, page_bytes=200)
SLOW = replace(KEEPS, slow_answer_s=0.02)
SIZE = 20_000  # bytes: a hundred packets, two seconds
WAIT_S = 30.0
HARD_S = 3.0  # a second or two, on a machine that has other things to do
NUMBERS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host.made(tmp_path, size=SIZE, habits=SLOW)


@asynccontextmanager
async def updating(host: Host, *words: str, **streams: Any) -> AsyncGenerator[Process, None]:
    """`ble-ota update` in the middle of its transfer."""
    command = "-m", "ble_ota", "update", host.world.devices[0].address, "--yes", "--json", *words
    given = {"stdin": DEVNULL, "stdout": PIPE, "stderr": PIPE} | streams
    process = await create_subprocess_exec(sys.executable, *command, env=os.environ | host.environment, **given)
    try:
        async with asyncio.timeout(WAIT_S):
            while not await _in_the_middle(process):
                pass
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _in_the_middle(process: Process) -> bool:
    assert process.stdout is not None
    line = json.loads(await process.stdout.readline())
    return bool(line["event"] == "transfer.progress" and line["bytes"] >= SIZE // 10)


async def last_words(process: Process) -> dict[str, Any]:
    """The last line it says."""
    assert process.stdout is not None
    async with asyncio.timeout(WAIT_S):
        lines = (await process.stdout.read()).splitlines()
        await process.wait()
    said: dict[str, Any] = json.loads(lines[-1])
    return said


async def only_run(host: Host) -> RunRow:
    async with await Ledger.open(host.state / "ledger.db") as ledger:
        (row,) = await ledger.runs()
    return row


def half_a_file(host: Host) -> bool:
    """Whether the device keeps the file that it was in the middle of."""
    return bool(Boot(host.world, Flash(host.world.home(host.world.devices[0]))).staged)


async def test_the_device_would_keep_the_file_of_a_host_that_dies(host: Host) -> None:
    async with updating(host) as process:
        process.kill()
    assert half_a_file(host)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: n.name)
async def test_a_signal_cancels_at_the_device_and_ends_in_aborted(host: Host, number: signal.Signals) -> None:
    async with updating(host) as process:
        process.send_signal(number)
        said = await last_words(process)
        assert process.returncode == NUMBERS[number]
    assert (said["event"], said["verdict"], said["exit_code"]) == ("run.finished", "ABORTED", NUMBERS[number])
    assert "`ble-ota resume`" in said["hint"]
    ending = (await only_run(host)).ending
    assert ending is not None
    assert (ending.verdict, ending.reason, ending.exit_code) == ("ABORTED", "stopped", NUMBERS[number])
    assert not half_a_file(host)


async def test_after_a_signal_the_same_command_brings_it_home(host: Host) -> None:
    async with updating(host) as process:
        process.send_signal(signal.SIGINT)
        await last_words(process)
    async with updating(host) as process:
        assert (await last_words(process))["verdict"] == "PASS"
    assert await wrong(host.world, host.state) == []


@pytest.fixture
def slow_center(tmp_path: Path) -> Host:
    """A first component is done, its success is still to be reported, and the Developer Center takes its time."""
    packages = {"MAIN": (b"main" * 100,), "MCU1": (b"mcu." * (SIZE // 4),)}
    host = Host.made(tmp_path, packages=packages, habits=SLOW)
    faults = {"only": "reportUpgradeStatus", "spares": 2, "delay_s": 60.0}  # the confirmations pass
    (host.world.folder / "cloud").mkdir()
    (host.world.folder / "cloud" / "faults.json").write_text(json.dumps(faults))
    return host


async def test_two_signals_do_not_wait_for_anything(slow_center: Host) -> None:
    async with updating(slow_center) as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(HARD_S):
            await process.wait()
        assert process.returncode in (130, 143)
    row = await only_run(slow_center)
    assert row.ending is not None
    assert row.ending.verdict == "ABORTED"


async def test_a_reader_that_goes_does_not_end_a_transfer(host: Host) -> None:
    reads, writes = os.pipe()
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reads, "rb"))
    command = "-m", "ble_ota", "update", host.world.devices[0].address, "--yes", "--json"
    process = await create_subprocess_exec(
        sys.executable, *command, env=os.environ | host.environment, stdin=DEVNULL, stdout=writes, stderr=DEVNULL
    )
    os.close(writes)
    async with asyncio.timeout(WAIT_S):
        while json.loads(await reader.readline())["event"] != "transfer.progress":
            pass
        pipe.close()
        await process.wait()
    assert process.returncode == 0
    assert await wrong(host.world, host.state) == []


async def test_a_full_disk_under_the_log_does_not_end_a_transfer(host: Host) -> None:
    async with updating(host, "--log-file", "/dev/full") as process:
        assert (await last_words(process))["verdict"] == "PASS"
    assert await wrong(host.world, host.state) == []


async def test_a_terminal_that_is_closed_is_the_polite_kind(host: Host) -> None:
    master, slave = pty.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    asyncio.get_running_loop().add_reader(master, os.read, master, 65536)  # somebody looks
    streams = {"stdin": slave, "stderr": slave, "start_new_session": True, "preexec_fn": own_terminal}
    async with updating(host, **streams) as process:
        asyncio.get_running_loop().remove_reader(master)
        os.close(slave)
        os.close(master)
        said = await last_words(process)
        assert process.returncode == NUMBERS[signal.SIGHUP]
    assert said["verdict"] == "ABORTED"
    assert not half_a_file(host)

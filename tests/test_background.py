from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from ble_ota import background
from ble_ota.background import DaemonThreads, call

HANGS = """
import asyncio, threading
from ble_ota.background import DaemonThreads

async def main():
    asyncio.get_running_loop().set_default_executor(DaemonThreads("hangs"))
    try:
        async with asyncio.timeout(0.1):
            await asyncio.to_thread(threading.Event().wait)
    except TimeoutError:
        print("left behind")

asyncio.run(main())
"""


def test_a_call_that_hangs_keeps_neither_its_loop_nor_its_process() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left behind\n", "")


async def test_a_call_that_hangs_holds_up_no_other() -> None:
    asyncio.get_running_loop().set_default_executor(DaemonThreads("hangs"))
    gate = threading.Event()
    hung = [asyncio.ensure_future(asyncio.to_thread(gate.wait)) for _ in range(40)]
    assert await asyncio.to_thread(lambda: 7) == 7
    gate.set()
    await asyncio.gather(*hung)


def test_a_shutdown_waits_for_a_call_that_works_on() -> None:
    threads, done = DaemonThreads("works"), list[int]()

    def work() -> None:
        time.sleep(0.1)
        done.append(1)

    threads.submit(work)
    threads.shutdown()
    assert done == [1]


def test_a_shutdown_leaves_a_call_behind_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "SHUTDOWN_S", 0.05)
    threads, gate = DaemonThreads("hangs"), threading.Event()
    future = threads.submit(gate.wait)
    threads.shutdown()
    assert not future.done()
    gate.set()


def test_a_call_gives_what_its_work_gives() -> None:
    assert call(lambda: 7, within_s=10, name="works") == 7


def test_a_call_raises_what_its_work_raises() -> None:
    with pytest.raises(BrokenPipeError):
        call(lambda: broken(), within_s=10, name="breaks")


def broken() -> None:
    raise BrokenPipeError


def test_a_call_has_an_end() -> None:
    gate = threading.Event()
    with pytest.raises(TimeoutError):
        call(gate.wait, within_s=0.01, name="hangs")
    gate.set()

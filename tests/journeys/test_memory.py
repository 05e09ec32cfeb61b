"""The memory of an update does not grow with its firmware.

Measured: the peak resident size (`ru_maxrss`, as the system counts it) of a whole `ble-ota update` as a process of its
own, from its start over plan, download, verification and the first packets until the device cancels, for 100 MB and
for 1 kB, over the same radio; the virtual cloud, radio and device are processes beside it and not measured. A transfer
of 100 MB takes hours even there, so its rest is measured apart: a script that reads the whole file from the disk by
packets, as the protocol's does, and sends them nowhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from ble_ota.virtual.world import World
from tests.journeys.processes import DONE_S
from tests.journeys.test_four_processes import the_other_three

pytestmark = [
    pytest.mark.timeout(240),  # whole processes, one after another
    pytest.mark.skipif(not hasattr(os, "wait4"), reason="the system does not tell a child's peak"),
]

MEGABYTE = 1_000_000
LARGE, SMALL = 100 * MEGABYTE, 1000  # bytes; the largest firmware there is
MORE_BYTES = 40 * MEGABYTE  # allowed beyond a plan of 1 kB
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of ru_maxrss
SENT_BYTES = 150_000  # until the device cancels: three blocks of the image have been read
LAUNCHER = """
import os, sys
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, used = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss)
"""  # a small process: a child's peak begins with the size of its parent

READS = """
import asyncio, pathlib, sys
from ble_ota.image_file import opened
from ble_ota.perform import perform
from ble_ota.script import BlockReader

def whole(content):
    reader = BlockReader(content, content.size_bytes)
    for start in range(0, content.size_bytes, 20_000):
        yield from reader.read(start, min(start + 20_000, content.size_bytes))

with opened(pathlib.Path(sys.argv[1])) as content:
    asyncio.run(perform(whole(content), None))
"""


async def peak_bytes(*words: str, env: dict[str, str], code: int = 0) -> tuple[int, list[str]]:
    """Run Python to an exit code; give its peak resident size, and the lines of its stdout."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LAUNCHER, *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | env,
    )
    async with asyncio.timeout(DONE_S):
        out, _ = await started.communicate()
    *lines, last = out.decode().splitlines()
    ended, peak = map(int, last.split())
    assert ended == code
    return peak * UNIT, lines


async def of_an_update(home: Path, size: int) -> int:
    """The peak of an update with firmware of `size` bytes, up to `SENT_BYTES` of it."""
    home.mkdir()
    world = World.create(home / "world", packages={"MAIN": (bytes(size),)})
    habits = {"chunk_bytes": 20_000, "cancel_at": min(SENT_BYTES, size) // 20_000 * 20_000}
    (world.home(world.devices[0]) / "habits.json").write_text(json.dumps(habits), "utf-8")
    async with the_other_three(home, world) as (radio, environment):
        env = environment | {"HOME": str(home), "BLE_OTA_KEYRING": "false"}
        words = ("-m", "ble_ota", "update", "--yes", "--json", "--radio", radio)
        peak, lines = await peak_bytes(*words, env=env, code=32)
    told = [json.loads(line) for line in lines]
    assert (told[-1]["reason"], told[-1]["exit_code"]) == ("cancelled_by_device", 32), told[-1]
    assert max(e["bytes"] for e in told if e["event"] == "transfer.progress") == habits["cancel_at"]
    assert [e["total"] for e in told if e["event"] == "image.verified"] == [size]
    return peak


async def test_an_update_of_100_mb_takes_little_more_memory_than_one_of_1_kb(tmp_path: Path) -> None:
    small = await of_an_update(tmp_path / "small", SMALL)
    large = await of_an_update(tmp_path / "large", LARGE)
    print(f"peak: {small / MEGABYTE:.1f} MB, {large / MEGABYTE:.1f} MB")
    assert large - small < MORE_BYTES


async def test_a_file_of_100_mb_is_read_to_its_end_in_the_memory_of_a_small_one(tmp_path: Path) -> None:
    peaks: list[int] = []
    for size in (SMALL, LARGE):
        (tmp_path / "fw.bin").write_bytes(bytes(size))
        peaks.append((await peak_bytes("-c", READS, str(tmp_path / "fw.bin"), env={}))[0])
    print(f"peak: {peaks[0] / MEGABYTE:.1f} MB, {peaks[1] / MEGABYTE:.1f} MB")
    assert peaks[1] - peaks[0] < MEGABYTE

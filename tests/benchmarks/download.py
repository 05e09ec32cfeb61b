"""Download-and-verify from loopback against `curl` followed by `sha256sum`: `python -m tests.benchmarks.download`.

Prints both medians and their ratio (the mark is 1.1), and the peak memory of the process that downloads (80 MB).
`--megabytes 1000 --rounds 0` measures the memory of a large one alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

from firmware_cache import FirmwareCache, Ref

MB = 1_000_000


@contextmanager
def served(path: Path) -> Generator[str, None, None]:
    """Give out `path` from another process; the address."""
    command = [sys.executable, "-m", "tests.firmware_cache.file_server", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        yield f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}/fw.bin"
        server.stdin.close()
        server.stdout.read()


def make(path: Path, size_bytes: int) -> Ref:
    """A file that does not repeat."""
    with path.open("wb") as file:
        for at in range(0, size_bytes, MB):
            file.write(os.urandom(min(MB, size_bytes - at)))
    with path.open("rb") as file:
        return Ref(size_bytes, sha256=file_digest(file, "sha256").hexdigest())


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def curl(url: str, folder: Path) -> None:
    for command in (["curl", "-sS", "-o", str(folder / "curl.bin"), url], ["sha256sum", str(folder / "curl.bin")]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def ours(url: str, folder: Path, ref: Ref) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as root:
        asyncio.run(FirmwareCache(Path(root)).fetch(ref, url))


def main(megabytes: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ref = make(folder / "fw.bin", megabytes * MB)
        with served(folder / "fw.bin") as url:
            theirs_s, ours_s = list[float](), list[float]()
            ours(url, folder, ref)  # once for the imports and the page cache
            for _ in range(rounds):
                theirs_s.append(timed(lambda: curl(url, folder)))
                ours_s.append(timed(lambda: ours(url, folder, ref)))
    if rounds:
        medians = statistics.median(theirs_s), statistics.median(ours_s)
        print(f"{megabytes} MB, {rounds} rounds: curl, sha256sum {medians[0]:.3f} s, firmware_cache {medians[1]:.3f} s")
        print(f"ratio {medians[1] / medians[0]:.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    main(given.megabytes, given.rounds)

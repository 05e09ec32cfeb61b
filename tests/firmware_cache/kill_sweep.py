"""Processes that fetch one image into one cache, killed at every step: `python -m tests.firmware_cache.kill_sweep`.

In each round four of them begin at once. Three are killed by SIGKILL at a step of their own: in the middle of a
write, or right before an fsync, a rename, a link or an unlink; the steps go round, so that each is met. The fourth is
killed at a random moment, or gives up in good order. Then the cache must hold the whole image or nothing under a final
name, the next run must end well, and what is left must be known to be nobody's.

`--rounds 300 --seed 1` and the same with `--no-locks` are what a release is held against.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from firmware_cache import Ref
from firmware_cache.part import Part
from firmware_cache.parts import Parts
from tests.firmware_cache.processes import ended, fetch, forked, reference, without_locks

SIZE = 200_003
PIECE = 16_384  # what the server gives at a time: about a dozen writes
STEPS = ("fsync", "rename", "replace", "link", "unlink")
MOMENT_S = 0.15  # longer than a whole fetch takes


@dataclass(slots=True)
class Seam:
    """Counts the steps of this process, and kills it at the step `last`."""

    last: int
    seen: list[str] = field(default_factory=list[str])

    def install(self) -> None:
        for name in STEPS:
            setattr(os, name, partial(self._step, name, getattr(os, name)))
        write, seam = Part.write, self

        def half_written(part: Part, data: bytes) -> None:
            if seam.met("write"):
                part._file.write(data[: len(data) // 2])
                part._file.flush()
                seam.die()
            write(part, data)

        setattr(Part, "write", half_written)  # noqa: B010 - a method, to the eyes of a type checker

    def met(self, name: str) -> bool:
        self.seen.append(name)
        return len(self.seen) == self.last

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _step(self, name: str, real: Callable[..., Any], *args: Any, **more: Any) -> Any:
        if self.met(name):
            self.die()
        return real(*args, **more)


@dataclass(slots=True)
class Sweep:
    """All rounds against one server."""

    url: str
    ref: Ref
    folder: Path
    chance: random.Random
    ends: Counter[str] = field(default_factory=Counter[str])

    def rehearse(self) -> list[str]:
        """The steps of a process that is left alone."""
        told = self.folder / "steps"

        def work() -> None:
            seam = Seam(0)
            seam.install()
            asyncio.run(fetch(self.folder / "rehearsal", self.url, self.ref))
            told.write_text(json.dumps(seam.seen))

        if code := ended(forked(work)):
            sys.exit(f"the rehearsal failed: {code}")
        return list(json.loads(told.read_text()))

    def round(self, number: int, steps: int) -> None:
        root = self.folder / f"round {number}"
        moment_s = self.chance.uniform(0, MOMENT_S)
        pids = [forked(partial(self._killed, root, (number * 3 + one) % steps + 1)) for one in range(3)]
        pids.append(forked(partial(self._given_up, root, moment_s) if number % 2 else partial(self._killed, root, 0)))
        time.sleep(moment_s)
        if not number % 2:
            os.kill(pids[-1], signal.SIGKILL)
        for pid in pids:
            self.ends[{0: "lived", -signal.SIGKILL: "killed"}.get(ended(pid), "failed")] += 1
        self._check(root, number, "after the kills", whole=False)
        if code := ended(forked(lambda: asyncio.run(fetch(root, self.url, self.ref)))):
            sys.exit(f"round {number}: the next run ended with {code}")
        self._check(root, number, "after the next run", whole=True)

    def _killed(self, root: Path, last: int) -> None:
        Seam(last).install()
        asyncio.run(fetch(root, self.url, self.ref))

    def _given_up(self, root: Path, after_s: float) -> None:
        async def hurried() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(after_s / 2):
                    await fetch(root, self.url, self.ref)

        asyncio.run(hurried())

    def _check(self, root: Path, number: int, when: str, *, whole: bool) -> None:
        found = [path for path in (root / "v1" / "blobs").rglob("*") if path.is_file()]
        wrong = [path for path in found if sha256(path.read_bytes()).hexdigest() != path.name]
        if wrong or len(found) > 1 or (whole and not found):
            sys.exit(f"round {number}, {when}: {[str(path) for path in found]}, wrong: {wrong}")
        if not whole:
            return
        Parts(root / "v1" / "part").sweep(0)
        if left := list((root / "v1" / "part").glob("*")):
            sys.exit(f"round {number}, {when}: what is left seems to be somebody's: {left}")


@contextmanager
def server(image: Path) -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """Give out `image`; its address, and how to end it and learn where each request began."""
    command = [sys.executable, "-m", "tests.firmware_cache.file_server", str(image), "--chunk", str(PIECE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        end, out = process.stdin, process.stdout
        assert end
        assert out

        def starts() -> list[int]:
            end.close()
            return [json.loads(line)["start"] for line in out]

        yield f"http://127.0.0.1:{json.loads(out.readline())['port']}/fw.bin", starts


def main(rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image").write_bytes(chance.randbytes(SIZE))
        with server(folder / "image") as (url, starts):
            sweep = Sweep(url, reference(folder / "image"), folder, chance)
            steps = sweep.rehearse()
            for number in range(rounds):
                sweep.round(number, len(steps))
            began = starts()
    resumed = sum(start > 0 for start in began)
    print(f"{rounds} rounds, {len(steps)} steps ({dict(Counter(steps))}), processes {dict(sweep.ends)}")
    print(f"{len(began)} requests, {resumed} of them for the rest of what a dead process had begun; never a wrong blob")
    if sweep.ends["failed"] or (rounds >= 20 and not resumed):
        sys.exit("some failed, or none was gone on with")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-locks", action="store_true")
    given = parser.parse_args()
    if given.no_locks:
        without_locks()
    main(given.rounds, given.seed)

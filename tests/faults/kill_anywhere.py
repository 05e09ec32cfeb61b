"""An update, killed right before or right after its n-th transition in the ledger, and done again by a new process.

::

    python -m tests.faults.kill_anywhere FOLDER "two components" [EVERY]

FOLDER is a new one, then comes one of `SCENES`, and at every which place to kill (1). One JSON line per kill goes to
stdout, and the exit code is 1 when one of them was not brought home::

    {"n": 7, "edge": "before", "work": "write", "killed": true, "code": 0, "wrong": []}
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from ble_ota.ledger import Ledger
from ble_ota.virtual.peripherals.quecthing import Habits
from tests.faults.afterwards import otherwise, wrong
from tests.faults.forks import forked, warm
from tests.faults.host import QUICK, Host

T = TypeVar("T")
EDGES = ("before", "after")
AT_ONCE = (os.cpu_count() or 1) + 1


@dataclass(frozen=True, slots=True)
class Scene:
    """A world, and how its device behaves."""

    packages: Mapping[str, tuple[bytes, ...]] | None = None
    habits: Habits = QUICK
    unset: frozenset[str] = frozenset()

    def host(self, home: Path) -> Host:
        return replace(Host.made(home, packages=self.packages, habits=self.habits), unset=self.unset)


PATIENT = replace(QUICK, settle_s=0.4)  # there is a second file to come

KEEPS = replace(QUICK, keeps_session_over_disconnect=True, keeps_session_over_power=True)
SCENES = {
    "one component": Scene(),
    "two components": Scene({"MAIN": (b"main" * 100,), "MCU1": (b"mcu." * 100, b"more" * 100)}, PATIENT),
    "keeps its session": Scene(habits=KEEPS),
    "success has no number": Scene(unset=frozenset({"report_status__succeeded"})),
    "reboots unasked": Scene(habits=replace(QUICK, reboots_without_ack=True)),
}


@dataclass(slots=True)
class Deadly:
    """Counts the writing transactions, and kills this process at one of them."""

    at: int = 0
    edge: str = ""
    count: int = 0
    names: list[str] = field(default_factory=list[str])

    def install(self) -> None:
        whole = Ledger.transact

        async def transact(ledger: Ledger, work: Callable[[sa.Connection], T], *, reads: bool = False) -> T:
            self.count += not reads
            mine = not reads and self.count == self.at
            if mine and self.edge == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = await whole(ledger, work, reads=reads)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            if not reads:
                self.names.append(work.__qualname__.split(".")[1])
            return result

        setattr(Ledger, "transact", transact)  # noqa: B010 -- the checkers know no such assignment


def transitions(scene: Scene, home: Path) -> list[str]:
    """The writing transactions of a good run, by the ledger's word for each; imports what that run has imported."""

    def good() -> int:
        counted = Deadly()
        counted.install()
        code = scene.host(home).update()
        (home / "good.json").write_text(json.dumps([counted.names, list(sys.modules)]))
        return code

    if os.waitpid(forked(good), 0)[1]:
        raise SystemExit((home / "err.txt").read_text())
    names, modules = json.loads((home / "good.json").read_text())
    warm(modules)
    return list(names)


def killed_once(scene: Scene, home: Path, at: int, edge: str) -> dict[str, Any]:
    """Kill one run there, let another bring it home, and tell what is wrong then."""
    host = scene.host(home)

    def doomed() -> int:
        Deadly(at, edge).install()
        return host.update()

    status = os.waitpid(forked(doomed), 0)[1]
    code = host.update()
    found = asyncio.run(_found(host))
    return {"killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "code": code, "wrong": found}


async def _found(host: Host) -> list[str]:
    return await otherwise(host.state) + await wrong(host.world, host.state)


def main(root: Path, name: str, every: int = 1) -> int:
    """Kill at every `every`-th place; tell of each, and give how many were not brought home."""
    scene = SCENES[name]
    names = transitions(scene, root / "good")
    cases = [(n, edge) for n in range(1, len(names) + 1) for edge in EDGES][::every]
    busy = failed = 0
    for n, edge in cases:
        if busy == AT_ONCE:
            failed += os.wait()[1] != 0
            busy -= 1
        forked(partial(_case, scene, root, n, edge, names[n - 1]))
        busy += 1
    return failed + sum(os.wait()[1] != 0 for _ in range(busy))


def _case(scene: Scene, root: Path, n: int, edge: str, work: str) -> int:
    out = sys.stdout.fileno()
    came = killed_once(scene, root / f"{n}-{edge}", n, edge)
    os.write(out, json.dumps({"n": n, "edge": edge, "work": work} | came).encode() + b"\n")
    return int(not came["killed"] or bool(came["wrong"]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])) != 0)

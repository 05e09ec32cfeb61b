"""Cloud, radio, device and host as four processes; the host is killed at random and started again until it is done.

::

    python -m tests.faults.crash_sweep --rounds 100 --seed 1

In each round, a world of its own, the host is killed several times, between its very start and the time that a good
run takes, and then started again and left in peace until it says that it is done. Then the right image is on the
device, one confirmation is in effect, every run has one verdict, and the ledger is intact; see `afterwards.py`.

One line sums it up. When a round fails, the exit code is 1, and its seed, its folder and what is wrong are told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from ble_ota.virtual.peripherals.quecthing import Habits
from tests.faults.afterwards import otherwise, wrong
from tests.faults.forks import command, ends, forked, warm
from tests.faults.host import QUICK, Host

SIZE = 30_000  # bytes: long enough for a kill in the middle
KINDS = (  # of devices
    QUICK,
    replace(QUICK, keeps_session_over_disconnect=True),
    replace(QUICK, keeps_session_over_disconnect=True, id9="next", on_new_offer="continues"),
    replace(QUICK, stray_packet="cancels"),
)
AT_ONCE = os.cpu_count() or 1  # rounds
KILLS = 2, 5  # in a round
AT_ITS_START = 0.2  # of the kills come within `START_S`
START_S = 0.02
LONGEST = 1.1  # times what a good run takes: the latest kill
TRIES = 5  # of the host left in peace; the first is enough, but for a port that is not free yet
PEACE_S = 90.0  # for one of these
DONE = (0, 10)
NOT_YET = {"adapter"}  # the port of a host that was just killed


@dataclass(slots=True)
class Round:
    """How one went."""

    seed: str
    folder: str
    kills: int = 0
    codes: list[int] = field(default_factory=list[int])
    """Of the host left in peace."""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Scene:
    """The other three, which run, and the host, which comes and goes."""

    host: Host
    environment: dict[str, str]
    words: list[str]

    def start(self) -> int:
        out = os.open(self.host.home / "host.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return forked(partial(command, self.words, self.environment, out, self.host.home / "host.err"))
        finally:
            os.close(out)

    def lives(self, seconds: float | None) -> int | None:
        """One host that is killed after so long; its exit code if it was quicker."""
        child = self.start()
        code = ends(child, within_s=seconds)
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return code


@contextmanager
def served(name: str, words: Sequence[str], home: Path) -> Generator[dict[str, object], None, None]:
    """`ble-ota virtual …` as a process for the block; gives what it says when it is ready."""
    said, say = os.pipe()
    child = forked(partial(command, ["virtual", *words, "--json"], {"HOME": str(home)}, say, home / f"{name}.err"))
    os.close(say)
    try:
        with os.fdopen(said) as lines:
            yield dict(json.loads(lines.readline())["data"])
    finally:
        os.kill(child, signal.SIGTERM)
        if ends(child, within_s=20) is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@contextmanager
def scene(home: Path, habits: Habits) -> Generator[Scene, None, None]:
    """The other three at work in `home`."""
    host = Host.made(home, size=SIZE, habits=habits)
    there = ["--world", str(host.world.folder)]
    with ExitStack() as stack:
        cloud = stack.enter_context(served("cloud", ["cloud", *there], home))
        radios = stack.enter_context(served("radio", ["radio"], home))["radios"]
        assert isinstance(radios, list)
        stack.enter_context(served("device", ["device", *there, "--radio", radios[0]], home))
        words = ["update", host.world.devices[0].address, "--yes", "--json", "--no-input"]
        where = {"BLE_OTA_CLOUD": str(cloud["url"]), "BLE_OTA_RADIO": radios[1]}
        yield Scene(host, host.environment | where, words)


def good_run(home: Path) -> float:
    """How long one takes, in seconds."""
    home.mkdir()
    with scene(home, QUICK) as good:
        began = time.monotonic()
        code = good.lives(PEACE_S)
        if code != 0:
            raise SystemExit(f"a run that nobody kills ended with {code}: {(home / 'host.err').read_text()}")
        return time.monotonic() - began


def one_round(home: Path, seed: str, good_s: float) -> Round:
    """Kill, then leave in peace, then look."""
    chance, told, began = random.Random(seed), Round(seed, str(home)), time.monotonic()
    home.mkdir()
    with scene(home, chance.choice(KINDS)) as on:
        for _ in range(chance.randint(*KILLS)):
            soon = chance.random() < AT_ITS_START
            told.kills += on.lives(chance.uniform(0, START_S if soon else good_s * LONGEST)) is None
        for _ in range(TRIES):
            code = on.lives(PEACE_S)
            told.codes.append(-signal.SIGKILL if code is None else code)
            if code in DONE:
                break
    told.wrong = asyncio.run(_found(on.host))
    if told.codes[-1] not in DONE:
        told.wrong.append(f"the host was not done: {told.codes}")
    told.seconds = time.monotonic() - began
    return told


async def _found(host: Host) -> list[str]:
    return await otherwise(host.state, may=NOT_YET) + await wrong(host.world, host.state)


def _modules() -> list[str]:
    """What a run has imported."""
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "modules.json"

        def good() -> int:
            code = Host.made(Path(home)).update()
            file.write_text(json.dumps(list(sys.modules)))
            return code

        ends(forked(good), within_s=None)
        names: list[str] = json.loads(file.read_text())
    return [*names, "ble_ota.cli.virtual", "ble_ota.virtual.hci_server", "ble_ota.cli.app"]


def sweep(folder: Path, rounds: int, seed: int) -> list[Round]:
    """All rounds, `AT_ONCE` side by side."""
    warm(_modules())
    good_s = good_run(folder / "good")

    def round_of(number: int) -> int:
        told = one_round(folder / f"round-{number}", f"{seed}-{number}", good_s)
        (folder / f"round-{number}.json").write_text(json.dumps(asdict(told)))
        return 0

    busy = 0
    for number in range(rounds):
        if busy == AT_ONCE:
            os.wait()
            busy -= 1
        forked(partial(round_of, number))
        busy += 1
    for _ in range(busy):
        os.wait()
    files = [folder / f"round-{n}.json" for n in range(rounds)]
    lost = [Round(f"{seed}-{n}", str(folder / f"round-{n}"), wrong=["it told nothing"]) for n in range(rounds)]
    return [Round(**json.loads(f.read_text())) if f.exists() else gone for f, gone in zip(files, lost, strict=True)]


def summed_up(told: Sequence[Round], seed: int, seconds: float) -> str:
    home = [r for r in told if not r.wrong]
    again = sum(len(r.codes) - 1 for r in told if r.codes)
    slowest = max((r.seconds for r in told), default=0.0)
    return (
        f"seed {seed}: {len(home)} of {len(told)} rounds brought home, {sum(r.kills for r in told)} kills, "
        f"{again} further tries in peace, longest round {slowest:.1f} s, {seconds:.0f} s in all"
    )


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.crash_sweep")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(words)
    folder, began = Path(tempfile.mkdtemp(prefix="crash-sweep-")), time.monotonic()
    told = sweep(folder, given.rounds, given.seed)
    for failed in (r for r in told if r.wrong):
        print(f"seed {failed.seed} in {failed.folder}: {failed.codes} {failed.wrong}")
    print(summed_up(told, given.seed, time.monotonic() - began))
    if any(r.wrong for r in told):
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

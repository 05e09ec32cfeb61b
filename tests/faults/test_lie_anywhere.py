"""A real device, and between it and the host one that lies: what comes of it is a proof or a named error, in time.

Each seed is a kind of device and a way of lying; `FAULTS=whole` takes thousands.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ble_ota.errors import BleOtaError
from ble_ota.events import LinkConnected, LinkLost
from ble_ota.protocols.quecthing import Options
from ble_ota.virtual.air import Air, Fate, Operation
from ble_ota.virtual.peripherals.quecthing import Habits, Liar, Lie, Lies
from ble_ota.virtual.world import World
from tests.bench import PATIENCE, Bench, content, images, planned
from tests.faults.seeds import blocks

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(0)]

SIZE, CHUNK = 1000, 200
TARGET = "1.1.0"
DEADLINE_S = 3600.0  # of a run, as settings have it
LINKS_MAX = PATIENCE.links + 100  # looking for a device after its reboot takes links of its own, 120 s of them
RUNS_MAX = 40
SEALED, OPEN = Options(), Options(login=False)
KEEPS = Habits(chunk_bytes=CHUNK, keeps_session_over_disconnect=True)
PLAIN = Habits(chunk_bytes=CHUNK, login_required=False, encrypt_transfer=False)
KINDS = (
    (Habits(chunk_bytes=CHUNK), SEALED),
    (Habits(chunk_bytes=CHUNK, stray_packet="cancels", gap="cancels"), SEALED),
    (Habits(chunk_bytes=CHUNK, reboots_without_ack=True, id9="next"), SEALED),
    (KEEPS, SEALED),
    (replace(KEEPS, id9="next", on_new_offer="continues", keeps_session_over_power=True, page_bytes=CHUNK), SEALED),
    (replace(KEEPS, erase_s=9.0, settle_s=8.0), SEALED),
    (PLAIN, OPEN),
    (replace(PLAIN, keeps_session_over_disconnect=True, firmware_revision=True), OPEN),
)


@dataclass(slots=True)
class Sent:
    """Counts the firmware that went over the air, frames around it and all."""

    most: int = 0  # bytes written over one link
    _now: int = 0

    def operation(self, operation: Operation) -> Fate:
        if operation.kind == "connect":
            self._now = 0
        self._now += len(operation.data) if operation.kind == "write" else 0
        self.most = max(self.most, self._now)
        return Fate.PASS


@dataclass(slots=True)
class Scene:
    """One device that lies, and the host before it."""

    on: Bench
    liar: Liar
    sent: Sent = field(default_factory=Sent)

    async def run(self) -> str:
        """One whole run; gives how it ended. What is raised besides named errors is a bug, and ends the test."""
        self.on.events.clear()
        self.sent.most = 0
        try:
            async with asyncio.timeout(DEADLINE_S):
                ended = await self._installed()
        except BleOtaError as error:
            ended = error.reason
        assert sum(isinstance(e, LinkConnected) for e in self.on.events) <= LINKS_MAX
        assert sum(isinstance(e, LinkLost) for e in self.on.events) <= PATIENCE.links
        return ended

    async def _installed(self) -> str:
        installer = await self.on.installer()
        if installer.device.running(planned(self.on.world)) == TARGET:
            return "nothing to do"
        installed = await installer.install(planned(self.on.world), images(self.on.world))
        assert (installed.version, installed.proof) in ((TARGET, "device"), (TARGET, "device-information"))
        return "PASS"

    @property
    def is_home(self) -> bool:
        return self.on.device.version("MAIN") == TARGET and self.on.device.running("MAIN") == content(self.on.world)

    @property
    def boots_something_whole(self) -> bool:
        before = (self.on.device.version("MAIN"), self.on.device.running("MAIN")) == ("1.0.0", b"")
        return before or self.is_home


def scene(folder: Path, seed: int, **changes: object) -> Scene:
    """What `seed` chooses, but for `changes` to the way of lying."""
    chance = random.Random(seed)
    habits, options = chance.choice(KINDS)
    lies = Lies(
        seed,
        rate=chance.choice((0.02, 0.1, 0.3, 0.8)),
        most=chance.choice((2, 8, 30, 100)),
        unasked_every_s=chance.choice((None, None, None, 0.1, 1.0, 10.0)),
        kinds=tuple(chance.sample(tuple(Lie), chance.randint(1, len(Lie)))),
    )
    world = World.create(folder / str(seed), size_bytes=SIZE)
    on = Bench(world, habits, options, Air(seed, mtu=chance.choice((23, 64, 247, 247))))
    made = Scene(on, Liar(on.device, replace(lies, **changes)))  # type: ignore[arg-type]
    on.air.on_operation = made.sent.operation
    on.air.add(made.liar)
    return made


@blocks(100, whole=3000, of=25)
async def test_a_run_ends_in_a_proof_or_a_named_error_and_one_without_lies_comes_home(
    tmp_path: Path, block: range
) -> None:
    ended: Counter[str] = Counter()
    for seed in block:
        on = scene(tmp_path, seed)
        for _ in range(RUNS_MAX):  # so many lies it has; nobody switches it off in between
            before = on.liar.told.total()
            word = await on.run()
            ended[word] += 1
            home = word in ("PASS", "nothing to do")
            assert on.is_home if home else on.boots_something_whole, f"seed {seed}: {word}"
            assert home or on.liar.told.total() > before, f"seed {seed}: {word} without one lie"
            if home:
                break
        assert on.is_home, f"seed {seed}: not home after {RUNS_MAX} runs: {ended}"
    assert ended["PASS"] > len(block) // 2
    assert len(ended) > 2  # the lies did some harm


@blocks(30, whole=1000, of=15)
async def test_a_device_that_never_stops_lying_comes_home_once_it_is_mended(tmp_path: Path, block: range) -> None:
    failed = 0
    for seed in block:
        on = scene(tmp_path, seed, most=None, rate=0.8)
        first = await on.run()
        failed += first != "PASS"
        assert on.is_home if first == "PASS" else on.boots_something_whole, f"seed {seed}: {first}"
        on.on.air.add(on.on.device)  # switched off and on, and honest from now on
        second = await on.run()
        assert second in ("PASS", "nothing to do"), f"seed {seed}: {first}, then {second}"
        assert on.is_home, f"seed {seed}: {first}, then {second}"
    assert failed


@blocks(30, whole=1000, of=15)
async def test_no_claim_to_run_the_target_passes_before_the_bytes_went(tmp_path: Path, block: range) -> None:
    passed = 0
    for seed in block:
        on = scene(tmp_path, seed, most=None, kinds=(Lie.MESSAGE, Lie.WRONG_ID), versions=(TARGET,))
        if await on.run() == "PASS":  # what it runs then, only the device knows
            passed += 1
            assert on.sent.most > SIZE - CHUNK, f"seed {seed}"
    assert passed


@pytest.mark.parametrize("mtu", [23, 247, 517])
async def test_a_lie_about_each_frame_in_turn_ends_so_too(tmp_path: Path, mtu: int) -> None:
    for n, kind in enumerate(Lie):
        on = scene(tmp_path, n, most=None, rate=1.0, kinds=(kind,), unasked_every_s=None)
        on.on.air.mtu = mtu
        word = await on.run()
        assert on.is_home if word == "PASS" else on.boots_something_whole, f"{kind}: {word}"

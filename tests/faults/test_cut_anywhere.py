"""Count the operations of a good run, then break the link at each one, at each edge of it, on each kind of device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ble_ota.errors import BleOtaError
from ble_ota.events import LinkLost
from ble_ota.install import Patience
from ble_ota.virtual.air import Fate, Operation
from ble_ota.virtual.peripherals.quecthing import Habits
from ble_ota.virtual.world import World
from tests.bench import Bench, content, images, planned

pytestmark = pytest.mark.looptime

SIZE, CHUNK = 1500, 200
EDGES = {"before": Fate.CUT_BEFORE, "after": Fate.CUT_AFTER, "its answer lost": Fate.LOSE_ANSWER}
FORGETS = Habits(chunk_bytes=CHUNK)
KEEPS = replace(FORGETS, keeps_session_over_disconnect=True)
KINDS = {
    "forgets": FORGETS,
    "forgets, next": replace(FORGETS, id9="next"),
    "forgets, cancels strays": replace(FORGETS, stray_packet="cancels"),
    "reboots unasked": replace(FORGETS, reboots_without_ack=True),
    "keeps": KEEPS,
    "keeps, next": replace(KEEPS, id9="next"),
    "keeps, continues": replace(KEEPS, on_new_offer="continues"),
    "keeps, reboots unasked": replace(KEEPS, reboots_without_ack=True),
}
PATIENCE = Patience(reboot_s=30)


async def one_run(folder: Path, habits: Habits, patience: Patience, *, at: int = -1, fate: Fate) -> tuple[Bench, str]:
    """One whole run over the world in `folder`, with `fate` for operation `at`; gives how it ended."""
    on = Bench(World.create(folder, size_bytes=SIZE), habits)

    def strike(operation: Operation) -> Fate:
        if operation.index != at:
            return Fate.PASS
        # A device that believes its "success" has arrived does not say it again, and gives the file up after 15 s.
        on.word_lost = fate is Fate.LOSE_ANSWER and operation.kind == "indication"
        return fate

    on.air.on_operation = strike
    try:
        installer = await on.installer(patience)
        if installer.device.running(planned(on.world)) == "1.1.0":
            return on, "nothing to do"
        installed = await installer.install(planned(on.world), images(on.world))
    except BleOtaError as error:
        return on, error.reason
    return on, installed.version


async def operations(folder: Path, habits: Habits) -> int:
    """How many operations a good run has."""
    good, ended = await one_run(folder, habits, PATIENCE, fate=Fate.PASS)
    assert ended == "1.1.0"
    return good.air.operations


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("kind", KINDS)
async def test_one_run_brings_it_home(tmp_path: Path, kind: str, edge: str) -> None:
    habits, lost = KINDS[kind], 0
    for k in range(await operations(tmp_path / "good", habits)):
        on, ended = await one_run(tmp_path / str(k), habits, PATIENCE, at=k, fate=EDGES[edge])
        where = f"cut at operation {k} ({edge})"
        assert ended == "1.1.0", where
        assert on.device.running("MAIN") == content(on.world), where
        lost += any(isinstance(e, LinkLost) for e in on.events)
        if habits.keeps_session_over_disconnect and not on.word_lost:
            assert on.device.stats.packets <= -(-SIZE // CHUNK) + 1, f"{where}: more than one chunk went again"
    assert lost > SIZE // CHUNK  # the cuts did cut


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_second_run_brings_it_home(tmp_path: Path, kind: str, edge: str) -> None:
    habits, failed = KINDS[kind], 0
    once = replace(PATIENCE, links=1)
    for k in range(await operations(tmp_path / "good", habits)):
        _, first = await one_run(tmp_path / str(k), habits, once, at=k, fate=EDGES[edge])
        failed += first != "1.1.0"
        again, second = await one_run(tmp_path / str(k), habits, PATIENCE, fate=Fate.PASS)
        where = f"cut at operation {k} ({edge}): {first}, then {second}"
        assert second in ("1.1.0", "nothing to do"), where
        assert again.device.running("MAIN") == content(again.world), where
    assert failed > SIZE // CHUNK

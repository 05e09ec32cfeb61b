"""Count the operations of a good run, then cut the link before each one, and run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.errors import BleOtaError
from ble_ota.install import Patience
from ble_ota.virtual.peripherals.quecthing import Habits
from ble_ota.virtual.world import World
from tests.bench import Bench, content, images, planned

pytestmark = pytest.mark.looptime

SIZE, CHUNK = 1500, 200
KINDS = {
    "forgets": Habits(chunk_bytes=CHUNK),
    "keeps its session": Habits(chunk_bytes=CHUNK, keeps_session_over_disconnect=True, id9="next"),
    "reboots unasked": Habits(chunk_bytes=CHUNK, reboots_without_ack=True),
}


async def one_run(folder: Path, habits: Habits, *, cut_before: int | None, links: int) -> tuple[Bench, str]:
    """One whole run over the world in `folder`; gives how it ended."""
    on = Bench(World.create(folder, size_bytes=SIZE), habits)

    def cut(index: int, _kind: str) -> None:
        if index == cut_before:
            on.air.cut()

    on.air.before_operation = cut
    try:
        installer = await on.installer(Patience(links=links, reboot_s=30))
        if installer.device.running(planned(on.world)) == "1.1.0":
            return on, "nothing to do"
        installed = await installer.install(planned(on.world), images(on.world))
    except BleOtaError as error:
        return on, error.reason
    return on, installed.version


@pytest.mark.parametrize("kind", KINDS)
async def test_a_second_run_brings_it_home(tmp_path: Path, kind: str) -> None:
    good, ended = await one_run(tmp_path / "good", KINDS[kind], cut_before=None, links=1)
    assert ended == "1.1.0"
    failed = 0
    for k in range(good.air.operations):
        folder = tmp_path / str(k)
        _, first = await one_run(folder, KINDS[kind], cut_before=k, links=1)
        failed += first != "1.1.0"
        again, second = await one_run(folder, KINDS[kind], cut_before=None, links=1)
        assert second in ("1.1.0", "nothing to do"), f"cut before operation {k}: {first}, then {second}"
        assert again.device.running("MAIN") == content(again.world), f"cut before operation {k}"
    assert failed > good.air.operations // 2  # the cuts did cut


@pytest.mark.parametrize("kind", KINDS)
async def test_one_run_with_a_second_link_brings_it_home(tmp_path: Path, kind: str) -> None:
    good, _ = await one_run(tmp_path / "good", KINDS[kind], cut_before=None, links=1)
    identify = 10  # the short link before the installation has no second try
    for k in range(identify, good.air.operations):
        on, ended = await one_run(tmp_path / str(k), KINDS[kind], cut_before=k, links=2)
        assert ended == "1.1.0", f"cut before operation {k} of {good.air.operations}"
        assert on.device.running("MAIN") == content(on.world), f"cut before operation {k}"

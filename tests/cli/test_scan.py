from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.near import Neighbourhood
from ble_ota.cli.scan import listen, scan
from ble_ota.cli.scan import told as result_of
from ble_ota.link import Advert, Link
from ble_ota.settings import isolated
from ble_ota.virtual.world import World
from tests.cli.desk import started, told
from tests.cli.terminal import at_terminal
from tests.cli.test_near import DRIVERS, NAMED, SMP

JSON, TEXT = Common("scan", json=True), Common("scan")


class Saying:
    """A radio that hears these, and then nothing until the time is over."""

    def __init__(self, adverts: Iterable[Advert]) -> None:
        self.adverts = tuple(adverts)
        self.stopped = False

    async def scan(self, *, within_s: float) -> AsyncGenerator[Advert, None]:
        try:
            for advert in self.adverts:
                yield advert
            await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=within_s)
        finally:
            self.stopped = True

    def connect(self, address: str, *, within_s: float) -> AbstractAsyncContextManager[Link]:
        raise NotImplementedError


@pytest.mark.looptime
async def test_devices_near_are_told_with_their_keys(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert await scan(JSON, isolated(radio=f"virtual:{world.folder}"), 1) == 0
    (near,) = told(*capsys.readouterr()).last["data"]
    made = world.devices[0]
    assert (near["address"], near["name"], near["protocol"]) == (made.address, made.name, "quecthing")
    assert (near["product_key"], near["device_key"]) == (world.product_key, made.device_key)


@pytest.mark.looptime
async def test_the_table_is_aligned(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    await scan(TEXT, isolated(radio=f"virtual:{world.folder}"), 1)
    head, row = capsys.readouterr().out.splitlines()
    assert head.index("PROTOCOL") == row.index("quecthing")
    assert row.endswith(f"{world.product_key}/{world.devices[0].device_key}")


@pytest.mark.looptime
async def test_nobody_near_is_exit_30(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    World(tmp_path, "p", (), ()).save()
    assert await scan(TEXT, isolated(radio=f"virtual:{tmp_path}"), 1) == 30
    assert capsys.readouterr().out == "No device whose protocol is known was heard\n"


@pytest.mark.looptime
async def test_a_device_is_told_as_it_is_seen_and_the_result_comes_last(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await scan(JSON, isolated(radio=f"virtual:{world.folder}"), 1)
    said = told(*capsys.readouterr())
    assert set(said.names) == {"scan.seen", "result"}
    assert (said.names[-1], said.names.count("result")) == ("result", 1)
    assert said.lines[-2]["device_key"] == world.devices[0].device_key


@pytest.mark.looptime
async def test_a_scan_ends_when_its_time_is_over() -> None:
    radio, loop = Saying([NAMED]), asyncio.get_running_loop()
    began_s = loop.time()
    await listen(TEXT, radio, Neighbourhood(DRIVERS), 7.0)
    assert loop.time() - began_s == pytest.approx(7.0)
    assert radio.stopped


@pytest.mark.looptime
async def test_a_scan_of_no_time_goes_on_until_it_is_stopped() -> None:
    radio = Saying([NAMED])
    listening = asyncio.ensure_future(listen(TEXT, radio, Neighbourhood(DRIVERS), 0))
    await asyncio.wait([listening], timeout=100_000)
    assert not listening.done()
    listening.cancel()
    await asyncio.wait([listening])
    assert radio.stopped


@pytest.mark.parametrize(("heard", "code"), [([NAMED, SMP], 0), ([SMP], 30), ([], 30)])
async def test_only_what_can_be_updated_is_exit_0(heard: list[Advert], code: int) -> None:
    near = Neighbourhood(DRIVERS)
    for advert in heard:
        near.hear(advert, 0.0)
    assert result_of(TEXT, near) == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_scan_that_is_stopped_tells_what_it_heard(world: World, number: signal.Signals, code: int) -> None:
    process = await started("scan", "--radio", f"virtual:{world.folder}", "--timeout", "0", "--json")
    assert process.stdout is not None
    async with asyncio.timeout(20):
        first = await process.stdout.readline()
        process.send_signal(number)
        out, err = await process.communicate()
    said = told((first + out).decode(), err.decode())
    assert (process.returncode, said.words) == (code, "")
    assert [d["address"] for d in said.last["data"]] == [world.devices[0].address]


async def test_a_person_sees_the_table_while_it_listens_and_the_result_after(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    arguments = ("scan", "--radio", f"virtual:{world.folder}", "--timeout", "0", "--json")
    code, said = await at_terminal(
        *arguments, at=world.devices[0].device_key, act=lambda terminal: os.kill(terminal.process.pid, signal.SIGINT)
    )
    assert code == 130
    assert "1 device; Ctrl-C ends it" in said.words
    assert said.words.count("\x1b[?25l") == said.words.count("\x1b[?25h") == 1  # the cursor is there again
    assert said.last["event"] == "result"

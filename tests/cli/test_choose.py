from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from ble_ota.cli.choose import LISTEN_S, chosen
from ble_ota.cli.common import Common
from ble_ota.cli.wiring import drivers_of, radio_of
from ble_ota.errors import DeviceAmbiguousError, DeviceNotFoundError, UsageError
from ble_ota.link import Advert, Link
from ble_ota.settings import isolated
from ble_ota.target import Wanted
from ble_ota.virtual.world import World
from tests.cli.desk import person

pytestmark = pytest.mark.looptime


async def choose(world: World, wanted: Wanted, *, no_input: bool = False) -> str:
    settings = isolated(radio=f"virtual:{world.folder}")
    async with radio_of(settings) as radio:
        common = Common("update", no_input=no_input)
        found = await chosen(common, radio, drivers_of(settings).values(), wanted, within_s=1)
    return found.advert.address


@pytest.fixture
def two(tmp_path: Path) -> World:
    return World.create(tmp_path / "two", devices=2, size_bytes=10)


@pytest.fixture
def none(tmp_path: Path) -> World:
    World(tmp_path, "p", (), ()).save()
    return World.open(tmp_path)


async def test_the_one_device_near_needs_no_question(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    person(monkeypatch, "nobody should ask")
    assert await choose(world, Wanted()) == world.devices[0].address


async def test_of_several_a_person_chooses(
    two: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    person(monkeypatch, "2")
    assert await choose(two, Wanted()) == two.devices[1].address
    shown = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in shown[:2]] == [["1", two.devices[0].address], ["2", two.devices[1].address]]


class Near:
    """A radio that hears so many devices, each once, and then listens on; it connects to none."""

    def __init__(self, **signals: int | None) -> None:
        self._signals = signals
        self.listened_s = 0.0

    async def scan(self, *, within_s: float) -> AsyncGenerator[Advert, None]:
        for address, rssi in self._signals.items():
            yield Advert(address, f"QUEC_BLE_{address}", rssi)
        self.listened_s = within_s
        await asyncio.sleep(within_s)

    def connect(self, address: str, *, within_s: float) -> AbstractAsyncContextManager[Link]:
        raise NotImplementedError


async def test_the_strongest_is_number_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    person(monkeypatch, "1")
    radio, drivers = Near(A001=-70, A002=None, A003=-40), drivers_of(isolated()).values()
    found = await chosen(Common("update"), radio, drivers, Wanted(), within_s=60)
    assert found.advert.address == "A003"
    shown = [line.split()[1] for line in capsys.readouterr().err.splitlines() if line.startswith("  ")]
    assert shown == ["A003", "A001", "A002"]
    assert radio.listened_s == LISTEN_S  # with nobody named it is not listened for as long as for one that is


@pytest.mark.parametrize("answer", ["0", "3", "x", "²", "-1"])
async def test_an_answer_that_is_no_number_shown_is_refused(
    two: World, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    person(monkeypatch, answer)
    with pytest.raises(UsageError, match="none of the numbers"):
        await choose(two, Wanted())


async def test_with_nobody_to_ask_several_are_refused_and_all_shown(two: World) -> None:
    with pytest.raises(DeviceAmbiguousError) as caught:
        await choose(two, Wanted(), no_input=True)
    assert all(d.address in str(caught.value) for d in two.devices)


async def test_two_with_one_name_are_refused_even_with_a_person_there(
    two: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    person(monkeypatch, "1")
    with pytest.raises(DeviceAmbiguousError):
        await choose(two, Wanted(product_key=two.product_key))


async def test_nobody_near_is_named(none: World, monkeypatch: pytest.MonkeyPatch) -> None:
    person(monkeypatch, "1")
    with pytest.raises(DeviceNotFoundError, match="no device"):
        await choose(none, Wanted())

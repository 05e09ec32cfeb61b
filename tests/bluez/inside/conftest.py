"""One machine for all tests; devices of its own for each."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from ble_ota.gatt.bleak_radio import BleakRadio
from ble_ota.link import Link, Radio
from ble_ota.virtual.peripheral import Peripheral
from tests.bluez.inside.bluez import Machine, machine
from tests.gatt import carriers, contract
from tests.gatt.contract import ADDRESS, MTU, OTHER, Rig, Subject

CONNECT_S = 30.0  # scan, connect and discover take 2 to 5 s here
LIMIT_S = 90.0  # of a test without a mark of its own
EARLIER_S = 20.0  # than pytest's own limit, which stops the one loop of all tests: those after it would hang, too

_machines: list[Machine] = []


@asynccontextmanager
async def over_bluez(device: Peripheral) -> AsyncGenerator[Radio, None]:
    """A carrier for tests/gatt/test_transfers.py, which asks for them while it is collected."""
    async with _machines[0].around(device):
        yield BleakRadio()


def only_over_bluez() -> Iterator[tuple[str, carriers.Carrier]]:
    yield "bluez", over_bluez


if os.environ.get("BLE_OTA_BLUEZ") == "inside":  # a pytest outside may read this file, too, on its way past
    contract.PROMPT_S = 10.0  # "at once" for who is emulated; what BlueZ itself waits for takes 20 s and more
    carriers.carriers = only_over_bluez


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is another machine's. End a test that hangs within its loop: the links it holds are let go of so."""
    if os.environ.get("BLE_OTA_BLUEZ") != "inside":
        return
    part, of = map(int, os.environ.get("BLUEZ_PART", "1/1").split("/"))
    config.hook.pytest_deselected(items=[item for at, item in enumerate(items) if at % of != part - 1])
    items[:] = items[part - 1 :: of]
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            mark = item.get_closest_marker("timeout")
            item.obj = within(mark.args[0] - EARLIER_S if mark is not None else LIMIT_S, item.obj)


def within(limit_s: float, test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def bounded(**fixtures: object) -> None:
        async with asyncio.timeout(limit_s):
            await test(**fixtures)

    return bounded


@pytest.fixture(scope="session", autouse=True)
async def bluez() -> AsyncIterator[Machine]:
    async with machine() as made:
        _machines.append(made)
        yield made


@pytest.fixture
async def mended(bluez: Machine) -> AsyncIterator[None]:
    """Whatever a test breaks is whole for the next one."""
    yield
    await bluez.mend()


@pytest.fixture
async def rig(bluez: Machine) -> AsyncIterator[Rig]:
    """Two devices, and the adapter the system chooses."""
    subject, other = Subject(ADDRESS), Subject(OTHER)
    async with bluez.around(subject, other, mtu=MTU):
        yield Rig(BleakRadio(), subject, other, bluez.cut)


@pytest.fixture
async def link(rig: Rig) -> AsyncIterator[Link]:
    async with rig.radio.connect(ADDRESS, within_s=CONNECT_S) as made:
        yield made

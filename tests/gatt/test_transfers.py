"""Whole transfers to the same device over every carrier: cut, paused, cancelled, and with answers lost on the way.

What befalls a transfer comes from the device's own side, so that it is the same whatever lies between. Each call of
the device counts: a value written to it, and a value that it sends. See `carriers.py` for how to run this over others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ble_ota.errors import BleOtaError, CancelledByDeviceError
from ble_ota.events import Event, LinkLost, TransferProgress
from ble_ota.install import Installer, Patience
from ble_ota.link import Radio
from ble_ota.model import Secret
from ble_ota.protocols import quecthing
from ble_ota.target import Wanted, find, identify
from ble_ota.virtual.peripheral import Advertisement, Carrier
from ble_ota.virtual.peripherals.quecthing import Habits, Pause, QuecThing
from ble_ota.virtual.world import World
from tests.bench import content, images, planned
from tests.gatt import carriers

SIZE, CHUNK = 900, 200
PAUSE_S = 0.3
QUICK = Habits(chunk_bytes=CHUNK, settle_s=0.05, boot_s=0.05)
PATIENCE = Patience(backoff_s=0.05, reboot_s=60, look_again_s=5)
SAMPLE = {"in memory": 1, "bluez": 14}
"""Every which call is struck; where time is real, one in seven, and in an emulated machine still fewer."""
CARRIERS = [
    pytest.param(name, carrier, id=name, marks=[pytest.mark.looptime] if name == "in memory" else [])
    for name, carrier in carriers.carriers()
]
over_each = pytest.mark.parametrize(("name", "carrier"), CARRIERS)
pytestmark = pytest.mark.timeout(600 if carriers.RADIO else 60)

Befall = Callable[[str, "Meddled"], bool]
"""Told what kind of call it is; whether the call is to go through."""


class Meddled(QuecThing):
    """A device whose link has a mind of its own."""

    calls = 0
    befall: Befall = staticmethod(lambda _kind, _device: True)

    def attach(self, carrier: Carrier) -> None:
        self.link = _Meddler(self, carrier)
        super().attach(self.link)

    def written(self, uuid: str, value: bytes) -> None:
        if self.meets("written"):
            super().written(uuid, value)

    def meets(self, kind: str) -> bool:
        self.calls += 1
        return self.befall(kind, self)


@dataclass(slots=True)
class _Meddler:
    device: Meddled
    carrier: Carrier

    @property
    def max_value(self) -> int:
        return self.carrier.max_value

    def send(self, uuid: str, value: bytes) -> None:
        if self.device.meets("sent"):
            self.carrier.send(uuid, value)

    def disconnect(self) -> None:
        self.carrier.disconnect()

    def advertise(self, advertisement: Advertisement | None) -> None:
        self.carrier.advertise(advertisement)


@dataclass(slots=True)
class Bench:
    """One device, and what was told of what was done to it."""

    world: World
    device: Meddled
    radio: Radio
    events: list[Event] = field(default_factory=list[Event])
    emit: Callable[[Event], None] = field(init=False)

    def __post_init__(self) -> None:
        self.emit = self.events.append

    async def install(self) -> str:
        """One whole run; gives the version that runs, or why it failed."""
        one, driver = self.world.devices[0], quecthing.driver(quecthing.Options())
        secret = Secret(one.binding_code)
        target = await find(self.radio, [driver], Wanted(address=one.address))
        info = await identify(target, self.radio, secret, emit=self.emit)
        if info.running(planned(self.world)) == "1.1.0":
            return "1.1.0"
        installer = Installer(target, info, self.radio, secret, self.emit, PATIENCE)
        return (await installer.install(planned(self.world), images(self.world))).version

    @property
    def whole(self) -> bool:
        return self.device.running("MAIN") == content(self.world)

    @property
    def links_lost(self) -> int:
        return sum(isinstance(event, LinkLost) for event in self.events)


def made(folder: Path, habits: Habits) -> tuple[World, Meddled]:
    world = World.create(folder, size_bytes=SIZE)
    return world, Meddled(world, world.devices[0], habits)


def cut_at(call: int, *, before: bool) -> Befall:
    """Drop the link at this call: it never comes to it, or it is the last that comes through."""

    def befall(_kind: str, device: Meddled) -> bool:
        if device.calls != call:
            return True
        asyncio.get_running_loop().call_soon(device.link.disconnect)
        return not before

    return befall


async def calls_of_a_good_run(folder: Path, carrier: carriers.Carrier) -> int:
    world, device = made(folder, QUICK)
    async with carrier(device) as radio:
        assert await Bench(world, device, radio).install() == "1.1.0"
    return device.calls


@over_each
async def test_a_transfer_arrives(tmp_path: Path, name: str, carrier: carriers.Carrier) -> None:
    assert name
    world, device = made(tmp_path, QUICK)
    async with carrier(device) as radio:
        on = Bench(world, device, radio)
        assert await on.install() == "1.1.0"
    assert on.whole
    assert on.links_lost == 0


@over_each
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_a_cut_anywhere_is_survived(tmp_path: Path, name: str, carrier: carriers.Carrier, before: bool) -> None:
    lost, calls = 0, await calls_of_a_good_run(tmp_path / "good", carrier)
    struck = range(1, calls + 1, SAMPLE.get(name, 7))
    for call in struck:
        world, device = made(tmp_path / str(call), QUICK)
        device.befall = cut_at(call, before=before)
        async with carrier(device) as radio:
            on = Bench(world, device, radio)
            assert await on.install() == "1.1.0", f"cut at call {call} of {calls}"
        assert on.whole, f"cut at call {call} of {calls}"
        lost += on.links_lost
    assert lost > len(struck) // 2  # the cuts did cut; one while the device reboots is nothing that is lost


@over_each
async def test_a_lost_answer_is_survived(tmp_path: Path, name: str, carrier: carriers.Carrier) -> None:
    """Each costs the seconds for which an answer may take: two where time is real, all where it is not."""
    sent = 0

    def count(kind: str, _device: Meddled) -> bool:
        nonlocal sent
        sent += kind == "sent"
        return True

    world, device = made(tmp_path / "good", QUICK)
    device.befall = count
    async with carrier(device) as radio:
        assert await Bench(world, device, radio).install() == "1.1.0"
    for lost in range(1, sent + 1) if name == "in memory" else (sent // 3, sent // 2):
        world, device = made(tmp_path / str(lost), QUICK)
        device.befall = losing(lost)
        async with carrier(device) as radio:
            on = Bench(world, device, radio)
            assert await on.install() == "1.1.0", f"answer {lost} of {sent} was lost"
        assert on.whole, f"answer {lost} of {sent} was lost"


def losing(which: int) -> Befall:
    """Lose the so manieth value that the device sends."""
    sent = 0

    def befall(kind: str, _device: Meddled) -> bool:
        nonlocal sent
        sent += kind == "sent"
        return kind != "sent" or sent != which

    return befall


@over_each
@pytest.mark.parametrize("answer", ["first", "then", "held"])
async def test_a_pause_is_waited_out(tmp_path: Path, name: str, carrier: carriers.Carrier, answer: Any) -> None:
    assert name
    world, device = made(tmp_path, replace(QUICK, pauses=(Pause(at=400, delay_s=5, lasts_s=PAUSE_S, answer=answer),)))
    async with carrier(device) as radio:
        on, began_s = Bench(world, device, radio), asyncio.get_running_loop().time()
        assert await on.install() == "1.1.0"
        assert asyncio.get_running_loop().time() - began_s > PAUSE_S
    assert on.whole
    assert on.links_lost == 0


@over_each
async def test_a_device_that_cancels_is_heard(tmp_path: Path, name: str, carrier: carriers.Carrier) -> None:
    assert name
    world, device = made(tmp_path, replace(QUICK, cancel_at=400))
    async with carrier(device) as radio:
        with pytest.raises(CancelledByDeviceError):
            await Bench(world, device, radio).install()
    assert device.running("MAIN") != content(world)


@over_each
async def test_who_cancels_says_goodbye_and_leaves_the_device_free(
    tmp_path: Path, name: str, carrier: carriers.Carrier
) -> None:
    assert name
    world, device = made(tmp_path, QUICK)
    async with carrier(device) as radio:
        on = Bench(world, device, radio)
        reached = asyncio.Event()

        def emit(event: Event) -> None:
            on.events.append(event)
            if isinstance(event, TransferProgress) and event.bytes >= SIZE // 2:
                reached.set()

        on.emit = emit
        running = asyncio.create_task(on.install())
        await asyncio.wait({running, asyncio.create_task(reached.wait())}, return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        before = device.stats.packets
        again = Bench(world, device, radio)
        assert await again.install() == "1.1.0"
    assert again.whole
    assert again.links_lost == 0
    assert device.stats.packets > before


@over_each
async def test_nobody_there_is_an_error_of_ours(tmp_path: Path, name: str, carrier: carriers.Carrier) -> None:
    assert name
    _, device = made(tmp_path, QUICK)
    async with carrier(device) as radio:
        with pytest.raises(BleOtaError):
            async with radio.connect("C0:00:00:00:00:99", within_s=1):
                pytest.fail("nobody was connected")

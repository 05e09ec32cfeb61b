from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import pytest
from bleak import BleakScanner
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakDBusError

from ble_ota.errors import AdapterError
from ble_ota.gatt.bleak_ear import ADVERTS_KEPT, TRIES, Ear
from tests.gatt.scripted import ADDRESS, HANG, ScriptedScanner, Stage

pytestmark = pytest.mark.looptime
OFF = BleakBluetoothNotAvailableError("off", BleakBluetoothNotAvailableReason.POWERED_OFF)
DENIED = BleakBluetoothNotAvailableError("no", BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM)
GONE = BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", ["no bluetoothd"])
NOT_YET = BleakDBusError("org.freedesktop.DBus.Error.UnknownObject", ["no hci0 yet"])
BUSY = BleakDBusError("org.bluez.Error.InProgress", ["Operation already in progress"])


def ear_on(stage: Stage, backend: type[BaseBleakScanner] = ScriptedScanner) -> Ear:
    cls = type("Scanner", (backend,), {"stage": stage})
    return Ear(lambda hear: BleakScanner(hear, backend=cls))


def now() -> float:
    return asyncio.get_running_loop().time()


async def heard(ear: Ear, within_s: float) -> list[str]:
    return [device.address async for device, _ in ear.sightings(within_s)]


async def test_a_scan_hears_and_ends_in_time() -> None:
    stage = Stage()
    assert set(await heard(ear_on(stage), 1.05)) == {ADDRESS.lower()}
    assert now() == pytest.approx(1.05)
    assert stage.calls == ["start", "stop"]


async def test_two_who_listen_share_one_scanner() -> None:
    stage = Stage()
    ear = ear_on(stage)
    first, second = await asyncio.gather(heard(ear, 1.05), heard(ear, 3.05))
    assert (len(first), len(second)) == (11, 30)  # the first hears what is told while the scan starts, too
    assert stage.calls == ["start", "stop"]


async def test_who_comes_after_all_have_left_starts_anew() -> None:
    stage = Stage()
    ear = ear_on(stage)
    await heard(ear, 1)
    await heard(ear, 1)
    assert stage.calls == ["start", "stop", "start", "stop"]


class Heedless(ScriptedScanner):
    """Begins to scan, and takes its time to say so; that nobody waits any more comes too late for it."""

    async def start(self) -> None:
        await super().start()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_scan_that_is_given_up_while_it_starts_is_ended(cancelled: bool) -> None:
    stage = Stage()
    listening = asyncio.ensure_future(heard(ear_on(stage, Heedless), 5))
    await asyncio.sleep(0.5)
    assert stage.at_once == 1
    if cancelled:
        listening.cancel()
    await asyncio.wait([listening])
    assert listening.cancelled() is cancelled
    assert (stage.at_once, stage.calls) == (0, ["start", "stop"])


@pytest.mark.parametrize("error", [DENIED, OSError(5, "odd")])
async def test_a_scan_that_cannot_begin_holds_up_nobody_after_it(error: Exception) -> None:
    stage = Stage().will("start", error)
    ear = ear_on(stage)
    with pytest.raises(AdapterError):
        await heard(ear, 1)
    async with asyncio.timeout(5):
        async with ear.silence():
            pass
        assert await heard(ear, 1)


async def test_the_last_cause_is_told_of_a_scan_that_failed_in_several_ways() -> None:
    with pytest.raises(AdapterError) as last:
        await heard(ear_on(Stage().will("start", BUSY, BUSY, DENIED)), 20)
    assert last.value.__cause__ is DENIED


async def test_while_somebody_connects_the_scan_is_silent_and_goes_on_afterwards() -> None:
    stage = Stage()
    ear = ear_on(stage)
    listening = asyncio.ensure_future(heard(ear, 10.05))
    await asyncio.sleep(1.05)
    async with ear.silence():
        assert stage.calls == ["start", "stop"]
        assert stage.at_once == 0
        await asyncio.sleep(5)
    assert 50 <= len(await listening) <= 54
    assert stage.calls == ["start", "stop", "start", "stop"]


async def test_two_who_connect_take_turns() -> None:
    ear, spans = ear_on(Stage()), []

    async def connect() -> None:
        async with ear.silence():
            began = now()
            await asyncio.sleep(2)
            spans.append((began, now()))

    await asyncio.gather(connect(), connect())
    assert spans == [pytest.approx((0, 2)), pytest.approx((2, 4))]


async def test_who_leaves_while_somebody_connects_is_not_held() -> None:
    ear = ear_on(Stage())
    async with aclosing(ear.sightings(60)) as sightings:
        await anext(sightings)
        connecting = asyncio.ensure_future(_silent_for(ear, 20))
        await asyncio.sleep(1)
    assert now() == pytest.approx(1)
    await connecting


async def test_nobody_left_after_a_connect_is_no_scan() -> None:
    stage = Stage()
    ear = ear_on(stage)
    async with aclosing(ear.sightings(60)) as sightings:
        await anext(sightings)
        connecting = asyncio.ensure_future(_silent_for(ear, 5))
        await asyncio.sleep(1)
    await connecting
    assert stage.calls == ["start", "stop"]


class Slow(ScriptedScanner):
    """Takes its time to start."""

    async def start(self) -> None:
        await asyncio.sleep(1)
        await super().start()


async def test_a_scan_that_goes_on_for_somebody_who_leaves_meanwhile_is_ended() -> None:
    stage = Stage()
    ear = ear_on(stage, Slow)
    async with aclosing(ear.sightings(60)) as sightings:
        await anext(sightings)
        connecting = asyncio.ensure_future(_silent_for(ear, 5))
        await asyncio.sleep(5.5)  # it is just starting again
    await connecting
    assert stage.calls == ["start", "stop", "start", "stop"]


async def test_a_scan_that_waits_for_its_turn_ends_in_time() -> None:
    ear = ear_on(Stage())
    connecting = asyncio.ensure_future(_silent_for(ear, 20))
    await asyncio.sleep(0)
    assert await heard(ear, 3) == []
    assert now() == pytest.approx(3)
    await connecting


async def test_time_in_which_nothing_can_be_heard_is_counted() -> None:
    ear = ear_on(Stage())
    await _silent_for(ear, 3)
    connecting = asyncio.ensure_future(_silent_for(ear, 5))
    await asyncio.sleep(2)
    assert ear.deaf_s == pytest.approx(5)
    await connecting
    assert ear.deaf_s == pytest.approx(8)


async def test_a_bluetooth_that_never_was_there_is_said_at_once() -> None:
    stage = Stage().will("start", OFF)
    with pytest.raises(AdapterError, match="off"):
        await heard(ear_on(stage), 10)
    assert (now(), stage.calls) == (0, ["start"])


async def test_a_bluetooth_that_was_there_is_waited_for() -> None:
    stage = Stage().will("start", None, GONE, OFF, NOT_YET, BUSY, EOFError())
    ear = ear_on(stage)
    await heard(ear, 1)
    assert set(await heard(ear, 10)) == {ADDRESS.lower()}


async def test_what_has_become_forbidden_is_not_waited_for() -> None:
    stage = Stage().will("start", None, DENIED)
    ear = ear_on(stage)
    await heard(ear, 1)
    with pytest.raises(AdapterError, match="no"):
        await heard(ear, 10)
    assert now() == pytest.approx(1)


async def test_a_busy_adapter_is_asked_again_a_finite_number_of_times() -> None:
    stage = Stage().will("start", *[BUSY] * 100)
    with pytest.raises(AdapterError, match="Bluetooth cannot be used: Operation already in progress"):
        await heard(ear_on(stage), 60)
    assert stage.calls == ["start"] * TRIES
    assert now() == pytest.approx(25.75)


async def test_a_busy_adapter_is_not_asked_beyond_the_time_of_the_scan() -> None:
    stage = Stage().will("start", *[BUSY] * 100)
    with pytest.raises(AdapterError):
        await heard(ear_on(stage), 1)
    assert now() < 1


async def test_a_start_without_an_answer_is_said() -> None:
    with pytest.raises(AdapterError, match="Bluetooth cannot be used: no answer in time"):
        await heard(ear_on(Stage().will("start", HANG)), 7)
    assert now() == pytest.approx(7)


async def test_a_scan_that_cannot_go_on_is_told_to_who_listens() -> None:
    ear = ear_on(Stage().will("start", None, *[OFF] * 100))
    listening = asyncio.ensure_future(heard(ear, 60))
    await asyncio.sleep(1)
    await _silent_for(ear, 1)
    with pytest.raises(AdapterError, match="off"):
        await listening
    assert now() < 5


@pytest.mark.parametrize("act", [AttributeError("x"), OSError(5, "x"), HANG, BUSY])
async def test_a_stop_that_fails_harms_nobody(act: Any) -> None:
    ear = ear_on(Stage().will("stop", act))
    assert await heard(ear, 1)
    assert await heard(ear, 1)


async def test_what_cannot_even_be_made_is_the_adapters_fault() -> None:
    class Unmade(ScriptedScanner):
        def __init__(self, *_: Any, **__: Any) -> None:
            raise ImportError("no such backend")

    with pytest.raises(AdapterError, match="no such backend"):
        await heard(ear_on(Stage(), Unmade), 1)


async def test_who_is_cancelled_while_connecting_leaves_the_adapter_to_the_next() -> None:
    ear = ear_on(Stage())
    connecting = asyncio.ensure_future(_silent_for(ear, 20))
    await asyncio.sleep(1)
    connecting.cancel()
    with suppress(asyncio.CancelledError):
        await connecting
    assert await heard(ear, 1)


class Loud(ScriptedScanner):
    """Hears a thousand devices before anybody can take one."""

    def __init__(self, detection_callback: AdvertisementDataCallback, *given: Any, **named: Any) -> None:
        super().__init__(detection_callback, *given, **named)

    async def start(self) -> None:
        for number in range(1000):
            data = AdvertisementData(None, {}, {}, [], None, -number, ())
            device = self.create_or_update_device(str(number), f"C0:00:00:00:00:{number:04X}", None, None, data)
            self.call_detection_callbacks(device, data)


async def test_of_many_sightings_the_newest_are_kept() -> None:
    sightings: AsyncIterator[Any] = ear_on(Stage(), Loud).sightings(0.05)
    assert [data.rssi async for _, data in sightings] == [-n for n in range(1000 - ADVERTS_KEPT, 1000)]


async def _silent_for(ear: Ear, seconds: float) -> None:
    async with ear.silence():
        await asyncio.sleep(seconds)

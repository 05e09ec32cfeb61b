from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from bleak.exc import BleakError, BleakGATTProtocolError
from bumble import att, core
from bumble.device import Advertisement, Device
from bumble.host import Host

from ble_ota.gatt import bumble_backend
from ble_ota.gatt.bumble_scanner import Scanning, as_bleak, uuid_text
from ble_ota.virtual.controller import device_on
from tests.gatt.contract import ADDRESS, HOST_ADDRESS, PROMPT_S, Subject, controller_of, switched_on


@pytest.fixture
async def host() -> AsyncIterator[Device]:
    async with switched_on(Subject(ADDRESS)) as waves:
        device = device_on(waves, "host", HOST_ADDRESS)
        await device.power_on()
        yield device


class Listener:
    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def __call__(self, _advertisement: Advertisement) -> None:
        self.heard.set()

    async def hears(self) -> None:
        self.heard.clear()
        async with asyncio.timeout(PROMPT_S):
            await self.heard.wait()


async def test_a_scan_that_is_closed_early_stops_scanning(host: Device) -> None:
    async with bumble_backend.radio(host, "under test") as radio:
        adverts = radio.scan(within_s=PROMPT_S)
        await anext(adverts)
        assert host.is_scanning
        await adverts.aclose()
        assert not host.is_scanning


async def test_a_scan_that_ends_stops_scanning(host: Device) -> None:
    async with bumble_backend.radio(host, "under test") as radio:
        assert [advert async for advert in radio.scan(within_s=0.05)]
    assert not controller_of(host).le_scan_enable


async def test_the_last_who_leaves_stops_scanning(host: Device) -> None:
    scanning, first, second = Scanning(host), Listener(), Listener()
    await scanning.join(first)
    await scanning.join(second)
    await scanning.leave(first)
    await second.hears()
    await scanning.leave(second)
    assert not host.is_scanning


async def test_whoever_left_hears_nothing_more(host: Device) -> None:
    scanning, first, second = Scanning(host), Listener(), Listener()
    await scanning.join(first)
    await scanning.join(second)
    await scanning.leave(first)
    first.heard.clear()
    await second.hears()
    assert not first.heard.is_set()


async def test_leaving_twice_is_leaving_once(host: Device) -> None:
    scanning, first, second = Scanning(host), Listener(), Listener()
    await scanning.join(first)
    await scanning.join(second)
    await scanning.leave(first)
    await scanning.leave(first)
    assert host.is_scanning


class Late:
    """A controller's front that takes 10 ms for each packet."""

    def __init__(self, host: Device) -> None:
        self._controller = controller_of(host)
        self.came = self.taken = 0

    def set_packet_sink(self, _sink: Host) -> None:
        """The controller keeps the one it has."""

    def on_packet(self, packet: bytes) -> None:
        self.came += 1
        asyncio.get_running_loop().call_later(0.01, self._take, packet)

    def _take(self, packet: bytes) -> None:
        self._controller.on_packet(packet)
        self.taken += 1

    async def until(self, state: Callable[[], bool]) -> None:
        async with asyncio.timeout(PROMPT_S):
            while not state():
                await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.001)


@pytest.mark.parametrize("command", [1, 2])
async def test_a_start_that_is_cancelled_leaves_no_scan_behind(host: Device, command: int) -> None:
    """Whichever of its two commands is under way then: the controller would go on for nobody."""
    controller = controller_of(host)
    late = host.host.controller = Late(host)
    scanning, listener = Scanning(host), Listener()
    joining = asyncio.ensure_future(scanning.join(Listener()))
    await late.until(lambda: late.came == command)
    joining.cancel()
    await asyncio.wait([joining])
    await late.until(lambda: late.taken == late.came)
    assert (joining.cancelled(), controller.le_scan_enable, host.is_scanning) == (True, False, False)
    await scanning.join(listener)
    await listener.hears()


async def test_after_the_last_left_scanning_can_begin_again(host: Device) -> None:
    scanning, listener = Scanning(host), Listener()
    await scanning.join(listener)
    await scanning.leave(listener)
    await scanning.join(listener)
    await listener.hears()


def test_a_uuid_is_told_in_128_bits() -> None:
    assert uuid_text(core.UUID.from_16_bits(0x180A)) == "0000180a-0000-1000-8000-00805f9b34fb"


def test_a_uuid_of_128_bits_is_told_as_it_is() -> None:
    text = "8d53dc1d-1db7-4cd3-868b-8a527460aa84"
    assert uuid_text(core.UUID(text)) == text


async def fail(error: BaseException) -> None:
    raise error


async def test_an_att_error_keeps_its_code() -> None:
    with pytest.raises(BleakGATTProtocolError) as refused:
        await as_bleak(fail(att.ATT_Error(att.ErrorCode.VALUE_NOT_ALLOWED)))
    assert refused.value.code == 0x13


@pytest.mark.parametrize("error", [core.TimeoutError("late"), core.InvalidStateError("no"), asyncio.CancelledError()])
async def test_every_error_of_bumble_is_one_of_bleak(error: BaseException) -> None:
    with pytest.raises(BleakError):
        await as_bleak(fail(error))


async def test_whoever_is_cancelled_stays_cancelled() -> None:
    task = asyncio.ensure_future(as_bleak(asyncio.Event().wait()))
    await asyncio.wait((task,), timeout=0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError):
        await as_bleak(fail(ZeroDivisionError()))

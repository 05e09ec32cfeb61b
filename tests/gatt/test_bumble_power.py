from __future__ import annotations

import asyncio

import pytest
from bumble.device import Device
from bumble.drivers import intel, rtk
from bumble.transport.common import TransportLostError

from ble_ota.errors import AdapterError
from ble_ota.gatt import bumble_power
from ble_ota.gatt.bumble_power import power_on
from ble_ota.gatt.bumble_radio import open_radio
from ble_ota.virtual.controller import AirWaves, device_on
from ble_ota.virtual.hci_server import HOST
from tests.gatt.contract import HOST_ADDRESS, PROMPT_S


@pytest.fixture
async def host() -> Device:
    return device_on(AirWaves(), "host", HOST_ADDRESS)  # type: ignore[no-untyped-call]


def failing(host: Device, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    async def fail() -> None:
        raise error

    monkeypatch.setattr(host, "power_on", fail)


@pytest.mark.parametrize("error", [rtk.RtkFirmwareError("ROM not supported"), intel.DriverError("firmware too small")])
async def test_a_dongle_without_its_firmware_is_told_what_gets_it(
    host: Device, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing(host, monkeypatch, error)
    with pytest.raises(AdapterError, match="usb:0 does not start without its firmware: ") as caught:
        await power_on(host, "usb:0")
    assert "fw-download" in caught.value.hint


async def test_one_that_hangs_up_at_once_may_be_another_programs(host: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(host, monkeypatch, TransportLostError("lost"))
    with pytest.raises(AdapterError, match="another program may have it"):
        await power_on(host, "usb:0")


async def test_a_dongle_that_does_not_answer_may_lack_its_firmware(
    host: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(host, monkeypatch, TimeoutError())
    host.host.hci_metadata = {"vendor_id": 0x8087}
    with pytest.raises(AdapterError, match="does not answer") as caught:
        await power_on(host, "usb:0")
    assert "fw-download" in caught.value.hint


async def test_what_bumble_cancels_is_the_controllers_fault(host: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(host, monkeypatch, asyncio.CancelledError())
    with pytest.raises(AdapterError, match="does not answer"):
        await power_on(host, "usb:0")


async def test_whoever_is_cancelled_stays_cancelled(host: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "power_on", asyncio.Event().wait)
    task = asyncio.create_task(power_on(host, "usb:0"))
    await asyncio.wait({task}, timeout=0)
    task.cancel()
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_controller_that_says_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bumble_power, "POWER_ON_S", 0.05)
    async with await silent_server() as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(AdapterError, match="does not answer"):
            async with open_radio(f"tcp-client:{HOST}:{port}"):
                pytest.fail("there was no controller")


async def silent_server() -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, 0)

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner, exc
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner

from ble_ota.errors import (
    AdapterError,
    AttRefusedError,
    BleOtaError,
    DeviceNotFoundError,
    LinkLostError,
)
from ble_ota.gatt import bleak_radio
from ble_ota.gatt.bleak_radio import (
    ADVERTS_KEPT,
    BleakRadio,
    _bleak_errors,  # pyright: ignore[reportPrivateUsage] -- the border is what is under test
    _scan_errors,  # pyright: ignore[reportPrivateUsage]
)
from ble_ota.gatt.bumble_backend import BumbleClient, backends
from ble_ota.link import Advert
from ble_ota.virtual.controller import device_on
from tests.gatt.contract import ADDRESS, HOST_ADDRESS, NEWS, PROMPT_S, Rig, Subject, handle, over_bumble, switched_on

NOT_AVAILABLE = exc.BleakBluetoothNotAvailableError("It is off", exc.BleakBluetoothNotAvailableReason.POWERED_OFF)
FOREIGN: dict[Exception, type[BleOtaError]] = {
    exc.BleakError("any"): LinkLostError,
    NOT_AVAILABLE: AdapterError,
    exc.BleakCharacteristicNotFoundError(7): LinkLostError,
    exc.BleakDeviceNotFoundError(ADDRESS): DeviceNotFoundError,
    exc.BleakDBusError("org.bluez.Error.Failed", ["le-connection-abort-by-local"]): LinkLostError,
    exc.BleakGATTProtocolError(0x13): AttRefusedError,
    TimeoutError(): LinkLostError,
    OSError(104, "Connection reset by peer"): LinkLostError,
    EOFError(): LinkLostError,
}
PUBLIC = {c for c in vars(exc).values() if isinstance(c, type) and issubclass(c, Exception)}


# ---------------------------------------------------------------- what we lean on in the installed bleak


def parameters(of: Any) -> set[str]:
    return set(inspect.signature(of).parameters)


def test_a_scanner_takes_a_callback_and_a_backend() -> None:
    assert {"detection_callback", "backend"} <= parameters(BleakScanner)


def test_a_client_takes_what_we_give_it() -> None:
    assert {"address_or_ble_device", "disconnected_callback", "timeout", "backend"} <= parameters(BleakClient)


@pytest.mark.parametrize("name", ["connect", "disconnect", "start_notify", "read_gatt_char", "write_gatt_char"])
def test_a_client_awaits_what_we_await(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(BleakClient, name))


def test_a_write_is_told_by_name_whether_it_is_answered() -> None:
    assert "response" in parameters(BleakClient.write_gatt_char)


@pytest.mark.parametrize("name", ["handle", "uuid", "service_uuid", "max_write_without_response_size"])
def test_a_characteristic_tells_what_we_ask(name: str) -> None:
    assert isinstance(getattr(BleakGATTCharacteristic, name), property)


@pytest.mark.parametrize("name", ["local_name", "manufacturer_data", "service_uuids", "rssi"])
def test_an_advertisement_tells_what_we_ask(name: str) -> None:
    assert name in AdvertisementData._fields


def test_backends_are_what_they_were() -> None:
    assert BaseBleakScanner.__abstractmethods__ == {"start", "stop"}
    assert {"connect", "disconnect", "is_connected", "mtu_size"} <= BaseBleakClient.__abstractmethods__


# ---------------------------------------------------------------- nothing of bleak's gets out


def test_every_exception_of_bleak_is_known_here() -> None:
    assert {type(e) for e in FOREIGN} >= PUBLIC


@pytest.mark.parametrize("error", FOREIGN, ids=lambda e: type(e).__name__)
def test_an_exception_of_bleak_becomes_ours(error: Exception) -> None:
    with pytest.raises(BleOtaError) as ours, _bleak_errors("reading"):
        raise error
    assert type(ours.value) is FOREIGN[error]
    assert str(ours.value).startswith("reading")


@pytest.mark.parametrize("error", FOREIGN, ids=lambda e: type(e).__name__)
def test_a_scan_that_cannot_begin_is_the_adapters_fault(error: Exception) -> None:
    with pytest.raises(AdapterError, match="Bluetooth cannot be used: "), _scan_errors():
        raise error


def test_a_refusal_keeps_its_code() -> None:
    with pytest.raises(AttRefusedError) as refused, _bleak_errors("reading"):
        raise exc.BleakGATTProtocolError(0x80)
    assert refused.value.code == 0x80


@pytest.mark.parametrize("border", [lambda: _bleak_errors("scanning"), _scan_errors], ids=["link", "scan"])
def test_a_reason_that_only_bleak_knows_stays_inside(border: Any) -> None:
    with pytest.raises(AdapterError) as ours, border():
        raise NOT_AVAILABLE
    assert "It is off" in str(ours.value)
    assert "Reason" not in str(ours.value)


def test_what_a_system_says_is_cut() -> None:
    with pytest.raises(LinkLostError) as ours, _bleak_errors("reading"):
        raise exc.BleakError("x\n" * 10_000)
    assert len(str(ours.value)) < 300
    assert "\n" not in str(ours.value)


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError), _bleak_errors("reading"), _scan_errors():
        raise ZeroDivisionError


# ---------------------------------------------------------------- the system's Bluetooth


@pytest.fixture(params=["unix:path=/nonexistent", "nonsense"])
def no_bluetooth(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Linux without the bus over which BlueZ is spoken to."""
    if sys.platform != "linux":
        pytest.skip("only BlueZ is reached over D-Bus")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", request.param)


@pytest.mark.usefixtures("no_bluetooth")
async def test_a_system_without_bluetooth_is_said_by_a_scan() -> None:
    async with asyncio.timeout(PROMPT_S), aclosing(BleakRadio().scan(within_s=1)) as adverts:
        with pytest.raises(AdapterError, match="Bluetooth cannot be used"):
            await anext(adverts)


@pytest.mark.usefixtures("no_bluetooth")
async def test_a_system_without_bluetooth_is_said_by_a_connect() -> None:
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(AdapterError, match="Bluetooth cannot be used"):
            async with BleakRadio().connect(ADDRESS, within_s=1):
                pytest.fail("there was no Bluetooth")


async def test_a_scan_from_the_command_line_says_it_in_one_sentence(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only BlueZ is reached over D-Bus")
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")}
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ble_ota",
        "scan",
        env=os.environ | homes | {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await run.communicate()
    assert (run.returncode, out) == (34, b"")
    assert err.startswith(b"error: Bluetooth cannot be used: ")
    assert b"Traceback" not in err


# ---------------------------------------------------------------- floods


class Loud(BaseBleakScanner):
    """Hears a thousand devices before anybody can take one."""

    def __init__(
        self, detection_callback: AdvertisementDataCallback | None, service_uuids: list[str] | None, *_: Any, **__: Any
    ) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        for number in range(1000):
            data = AdvertisementData(None, {}, {}, [], None, -number, ())
            device = self.create_or_update_device(str(number), f"C0:00:00:00:00:{number:04X}", None, None, data)
            self.call_detection_callbacks(device, data)

    async def stop(self) -> None:
        """There is nothing to stop."""


async def test_of_many_sightings_the_newest_are_kept() -> None:
    heard: list[Advert] = [advert async for advert in BleakRadio(scanner=Loud).scan(within_s=0.05)]
    assert [advert.rssi_dbm for advert in heard] == [-number for number in range(1000 - ADVERTS_KEPT, 1000)]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with over_bumble(247) as made:
        yield made


async def test_a_flood_of_notifications_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bleak_radio, "INBOX_MAX", 50)
    async with rig.radio.connect(ADDRESS, within_s=PROMPT_S) as link:
        await link.subscribe(handle(link, NEWS))
        for number in range(200):
            rig.subject.carrier.send(NEWS, bytes((number,)))
        rig.subject.carrier.disconnect()  # comes after them
        async with asyncio.timeout(PROMPT_S):
            await rig.subject.down.wait()
        words = await all_words(link, handle(link, NEWS))
    assert words == [bytes((number,)) for number in range(50)]


async def all_words(link: Any, char: int) -> list[bytes]:
    words: list[bytes] = []
    try:
        while True:
            words.append((await link.notification((char,))).data)
    except LinkLostError:
        return words


# ---------------------------------------------------------------- systems that do not answer


async def test_a_disconnect_that_is_never_confirmed_does_not_hold_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bleak_radio, "DISCONNECT_S", 0.05)

    async with switched_on(Subject(ADDRESS)) as waves:
        host = device_on(waves, "host", HOST_ADDRESS)
        await host.power_on()
        scanner, client = backends(host)

        class Stubborn(client):  # type: ignore[misc, valid-type]
            async def disconnect(self) -> None:
                await asyncio.Event().wait()

        assert issubclass(Stubborn, BumbleClient)
        async with asyncio.timeout(PROMPT_S):
            async with BleakRadio(scanner=scanner, client=Stubborn).connect(ADDRESS, within_s=PROMPT_S):
                pass

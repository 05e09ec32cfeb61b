"""What we lean on in the installed bleak: names, signatures, exceptions, defaults. A release that moves one fails."""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import Any, get_type_hints

import pytest
from bleak import BleakClient, BleakScanner, exc
from bleak.args.bluez import BlueZClientArgs, BlueZScannerArgs
from bleak.args.winrt import WinRTClientArgs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTServiceCollection

from ble_ota.gatt.bleak_errors import REASONS, text
from ble_ota.gatt.bleak_link import LEAST_ROOM

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="bleak has its BlueZ part on Linux only")


def parameters(of: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(of).parameters)


def test_a_scanner_takes_a_callback_an_adapter_and_a_backend() -> None:
    assert {"detection_callback", "bluez", "backend"} <= set(parameters(BleakScanner))
    assert "adapter" in get_type_hints(BlueZScannerArgs)


def test_a_client_takes_what_we_give_it() -> None:
    wanted = {"address_or_ble_device", "disconnected_callback", "timeout", "bluez", "winrt", "backend"}
    assert wanted <= set(parameters(BleakClient))
    assert "adapter" in get_type_hints(BlueZClientArgs)
    assert "use_cached_services" in get_type_hints(WinRTClientArgs)


def test_a_client_does_not_pair_unless_it_is_told_to() -> None:
    assert parameters(BleakClient)["pair"].default is False


@pytest.mark.parametrize(
    "name", ["connect", "disconnect", "pair", "unpair", "start_notify", "read_gatt_char", "write_gatt_char"]
)
def test_a_client_awaits_what_we_await(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(BleakClient, name))


@pytest.mark.parametrize("name", ["start", "stop"])
def test_a_scanner_awaits_what_we_await(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(BleakScanner, name))


@pytest.mark.parametrize("name", ["address", "is_connected", "services"])
def test_a_client_tells_what_we_ask(name: str) -> None:
    assert isinstance(getattr(BleakClient, name), property)


def test_a_write_is_told_by_name_whether_it_is_answered() -> None:
    assert "response" in parameters(BleakClient.write_gatt_char)


@pytest.mark.parametrize("name", ["handle", "uuid", "service_uuid", "max_write_without_response_size"])
def test_a_characteristic_tells_what_we_ask(name: str) -> None:
    assert isinstance(getattr(BleakGATTCharacteristic, name), property)


def test_services_list_their_characteristics_by_handle() -> None:
    assert BleakGATTServiceCollection().characteristics == {}


@pytest.mark.parametrize("name", ["local_name", "manufacturer_data", "service_uuids", "rssi"])
def test_an_advertisement_tells_what_we_ask(name: str) -> None:
    assert name in AdvertisementData._fields


def test_a_device_tells_what_we_ask() -> None:
    assert {"address", "name", "details"} <= set(BLEDevice.__slots__)


def test_backends_are_what_they_were() -> None:
    assert BaseBleakScanner.__abstractmethods__ == {"start", "stop"}
    assert BaseBleakClient.__abstractmethods__ == {
        "mtu_size",
        "is_connected",
        "connect",
        "disconnect",
        "pair",
        "unpair",
        "read_gatt_char",
        "read_gatt_descriptor",
        "write_gatt_char",
        "write_gatt_descriptor",
        "start_notify",
        "stop_notify",
    }


def test_a_backend_is_told_of_a_loss_by_a_callback_without_arguments() -> None:
    assert "disconnected_callback" in parameters(BaseBleakClient)


def test_exceptions_have_one_root() -> None:
    ours = {c for c in vars(exc).values() if isinstance(c, type) and issubclass(c, Exception)}
    assert all(issubclass(c, exc.BleakError) for c in ours)


def test_every_reason_why_bluetooth_is_not_to_be_had_is_known() -> None:
    assert set(REASONS) == set(exc.BleakBluetoothNotAvailableReason)


def test_an_error_of_d_bus_tells_its_name_and_its_words() -> None:
    error = exc.BleakDBusError("org.bluez.Error.Failed", ["le-connection-busy"])
    assert (error.dbus_error, text(error)) == ("org.bluez.Error.Failed", "le-connection-busy")


def test_a_refusal_tells_its_code() -> None:
    assert int(exc.BleakGATTProtocolError(0x85).code) == 0x85


def test_the_least_size_of_a_write_is_what_bleak_says_it_is() -> None:
    assert str(LEAST_ROOM) in (BleakGATTCharacteristic.max_write_without_response_size.__doc__ or "")


# ---------------------------------------------------------------- BlueZ's part of it


@on_linux
async def test_bluez_tells_properties_beside_a_device() -> None:
    from bleak.backends.bluezdbus.scanner import BleakScannerBlueZDBus

    heard: list[tuple[BLEDevice, AdvertisementData]] = []
    scanner = BleakScannerBlueZDBus(lambda d, a: heard.append((d, a)), None, "active", bluez={})
    properties: Any = {"Address": "C0:00:00:00:00:01", "Alias": "n", "AddressType": "random", "Paired": False}
    scanner._handle_advertising_data("/org/bluez/hci0/dev_C0", properties)
    ((device, data),) = heard
    assert device.details["props"] == properties
    assert data.rssi == -127  # there was none


@on_linux
def test_bluez_names_its_errors_as_we_know_them() -> None:
    from bleak.backends.bluezdbus import defs

    from ble_ota.gatt.bleak_errors import DBUS_NAMES

    assert {defs.BLUEZ_ERROR_NOT_READY, defs.BLUEZ_ERROR_IN_PROGRESS, defs.BLUEZ_ERROR_DOES_NOT_EXIST} <= set(
        DBUS_NAMES
    )


@on_linux
def test_bluez_takes_its_own_cache_only_when_it_is_told_to() -> None:
    from bleak.backends.bluezdbus.client import BleakClientBlueZDBus

    assert parameters(BleakClientBlueZDBus.connect)["dangerous_use_bleak_cache"].default is False


@on_linux
def test_bluez_forgets_a_device_by_unpair() -> None:
    from bleak.backends.bluezdbus.client import BleakClientBlueZDBus

    assert "RemoveDevice" in inspect.getsource(BleakClientBlueZDBus.unpair)


@on_linux
async def test_a_missing_adapter_is_said_in_words_we_know() -> None:
    from bleak.backends.bluezdbus.manager import BlueZManager

    from ble_ota.gatt.bleak_errors import NO_ADAPTER, diagnose

    with pytest.raises(exc.BleakError) as missing:
        BlueZManager()._check_adapter("/org/bluez/hci7")
    assert diagnose(missing.value) is NO_ADAPTER
    assert asyncio.get_running_loop().is_running()

from __future__ import annotations

import asyncio
import errno
import os
import pty
from pathlib import Path

import pytest
import usb1  # type: ignore[import-untyped]
from bumble.transport.common import Transport, TransportInitError, TransportSpecError

from ble_ota.errors import AdapterError
from ble_ota.gatt import bumble_transport
from ble_ota.gatt.bumble_transport import FORMS, names_of, opened
from ble_ota.virtual.hci_server import HOST, controllers

NOT_HERE = "there is no such device"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("usb:0", ["usb:0"]),
        ("usb:0,usb:1", ["usb:0", "usb:1"]),
        ("vhci", ["vhci"]),
        ("vhci,usb:0", ["vhci", "usb:0"]),
        ("usb:0,vhci", ["usb:0", "vhci"]),
        ("serial:/dev/ttyACM0,1000000,rtscts", ["serial:/dev/ttyACM0,1000000,rtscts"]),
        ("serial:COM3,115200,usb:0", ["serial:COM3,115200", "usb:0"]),
        ("usb:[driver=rtk,x=1]0,usb:1", ["usb:[driver=rtk,x=1]0", "usb:1"]),
        (
            "tcp-client:127.0.0.1:7300,tcp-client:127.0.0.1:7301",
            ["tcp-client:127.0.0.1:7300", "tcp-client:127.0.0.1:7301"],
        ),
    ],
)
def test_a_comma_ends_a_name_where_another_begins(text: str, names: list[str]) -> None:
    assert names_of(text) == names


@pytest.mark.parametrize("text", ["", "usb", "usb:", "nothing:0", ",usb:0", "usb:0,usb", "tcp-client"])
def test_a_name_of_no_form_is_told_the_forms(text: str) -> None:
    with pytest.raises(AdapterError, match="no controller of that form") as caught:
        names_of(text)
    assert caught.value.hint == FORMS


@pytest.mark.parametrize("name", ["usb:zero", "usb:0,", "tcp-client:nowhere", "serial:,fast"])
async def test_a_name_that_cannot_be_read_is_a_sentence(name: str) -> None:
    with pytest.raises(AdapterError, match="cannot be opened"):
        await opened(name)


USB = "usb:0"
SERIAL = "serial:/dev/ttyACM0"


@pytest.mark.parametrize(
    ("name", "error", "why", "hint"),
    [
        (USB, usb1.USBErrorAccess(), "this user may not open it", "udev rule"),
        (USB, usb1.USBErrorBusy(), "another program has it", "bluetoothctl power off"),
        (USB, usb1.USBErrorNotSupported(), "its driver does not let programs use it", "WinUSB"),
        (USB, usb1.USBErrorNoDevice(), NOT_HERE, "lsusb"),
        (USB, usb1.USBErrorIO(), "LIBUSB_ERROR_IO", "doctor"),
        (USB, usb1.USBErrorOther(), "USB is not to be had here", "/dev/bus/usb"),
        (USB, TransportInitError("device not found"), "device not found", "lsusb"),
        ("pyusb:0", TransportInitError("device not found"), "device not found", "lsusb"),
        (USB, ModuleNotFoundError("no", name="usb1"), "usb1 is not installed", "doctor"),
        (SERIAL, OSError(errno.EACCES, "Permission denied"), "this user may not open it", "dialout"),
        (SERIAL, OSError(errno.EBUSY, "Device or resource busy"), "another program has it", "fuser"),
        (SERIAL, OSError(errno.EAGAIN, "Resource temporarily unavailable"), "another program has it", "fuser"),
        (SERIAL, OSError(errno.ENOENT, "No such file"), NOT_HERE, "by-id"),
        ("vhci", PermissionError(errno.EACCES, "Permission denied"), "this user may not open it", "/dev/vhci"),
        ("vhci", FileNotFoundError(errno.ENOENT, "No such file"), NOT_HERE, "modprobe hci_vhci"),
        ("tcp-client:h:1", ConnectionRefusedError(errno.ECONNREFUSED, "no"), "nobody serves", "virtual radio"),
        ("tcp-client:h:1", OSError("no name"), "no name", "doctor"),
        ("tcp-client:h:1", TransportSpecError("what"), "what", "usb:0"),
    ],
)
async def test_each_way_to_fail_has_its_sentence_and_its_hint(
    monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, why: str, hint: str
) -> None:
    async def fail(_name: str) -> Transport:
        raise error

    monkeypatch.setattr(bumble_transport, "open_transport", fail)
    with pytest.raises(AdapterError, match=f"^the Bluetooth controller {name} cannot be opened: .*{why}") as caught:
        await opened(name)
    assert hint in caught.value.hint


async def test_on_windows_a_dongle_that_is_denied_wants_another_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_name: str) -> Transport:
        raise usb1.USBErrorAccess

    monkeypatch.setattr(bumble_transport, "open_transport", fail)
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(AdapterError) as caught:
        await opened(USB)
    assert "WinUSB" in caught.value.hint


async def test_a_bug_stays_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_name: str) -> Transport:
        raise ZeroDivisionError

    monkeypatch.setattr(bumble_transport, "open_transport", fail)
    with pytest.raises(ZeroDivisionError):
        await opened(USB)


async def test_a_controller_that_never_opens_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(_name: str) -> Transport:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(bumble_transport, "open_transport", wait)
    monkeypatch.setattr(bumble_transport, "OPEN_S", 0.01)
    with pytest.raises(AdapterError, match=r"no answer within 0\.01 s"):
        await opened(USB)


async def test_what_a_system_says_is_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_name: str) -> Transport:
        raise OSError(errno.EIO, "\x1b[31m" + "x" * 1000)

    monkeypatch.setattr(bumble_transport, "open_transport", fail)
    with pytest.raises(AdapterError) as caught:
        await opened(USB)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


# ------------------------------------------------------------------ with nothing put in Bumble's place


@pytest.mark.skipif(Path("/dev/bus/usb").exists(), reason="there may be a dongle")
async def test_where_there_is_no_dongle_that_is_said() -> None:
    with pytest.raises(AdapterError, match="usb:0 cannot be opened"):
        await opened("usb:0")


async def test_a_port_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=NOT_HERE) as caught:
        await opened(f"serial:{tmp_path}/ttyACM0")
    assert "by-id" in caught.value.hint


@pytest.mark.skipif(Path("/dev/vhci").exists(), reason="this kernel has one")
async def test_a_kernel_without_vhci_is_told_the_module() -> None:
    with pytest.raises(AdapterError, match=NOT_HERE) as caught:
        await opened("vhci")
    assert "modprobe" in caught.value.hint


async def test_where_nobody_serves_a_controller_that_is_said() -> None:
    async with controllers(1) as (port,):
        pass
    with pytest.raises(AdapterError, match="nobody serves a controller there"):
        await opened(f"tcp-client:{HOST}:{port}")


async def test_a_serial_port_opens() -> None:
    """A pseudo-terminal: nothing answers at its other end, but opening it is the whole way through pyserial."""
    ours, theirs = pty.openpty()
    try:
        transport = await opened(f"serial:{os.ttyname(theirs)},115200")
        await transport.close()
    finally:
        os.close(ours)
        os.close(theirs)

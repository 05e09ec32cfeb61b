from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bleak.backends.scanner import BaseBleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason

from ble_ota.cli.doctor_bluetooth import REASONS, bluetooth, told
from ble_ota.cli.doctor_system import Adapter, Block, Trouble
from ble_ota.cli.finding import Finding
from ble_ota.errors import AdapterError
from ble_ota.gatt.bleak_radio import BleakRadio
from tests.cli.machines import ON, Machine

OFF = replace(ON, powered=False)
SECOND = Adapter("hci1", "00:1A:7D:DA:71:14", powered=True)
SOFT, HARD = Block("hci0", soft=True, hard=False), Block("hci0", soft=False, hard=True)
OPEN = Block("hci0", soft=False, hard=False)
KEY = Block("tpacpi_bluetooth_sw", soft=True, hard=False)


async def the_cause(machine: Machine, wanted: str = "") -> Finding:
    """The one line that is not ok."""
    (wrong,) = [line for line in await bluetooth(machine, wanted) if not line.ok]
    assert wrong.exit_code == 34
    return wrong


async def test_all_is_well_with_a_machine_that_works() -> None:
    lines = await bluetooth(Machine(switches=(OPEN,)))
    assert [str(line) for line in lines] == ["ok  bluetooth: hci0 00:1A:7D:DA:71:13 is on", "ok  bluez: 5.66"]


BARE = Machine(hci=(), said=Trouble.NO_BUS)
NO_ADAPTER = Machine(said=())
MACHINES = {
    "nothing at all": (BARE, "this machine has no Bluetooth controller", "Plug in a Bluetooth dongle"),
    "no controller, and nobody to serve one": (
        replace(BARE, said=Trouble.NO_SERVICE),
        "this machine has no Bluetooth controller",
        "Plug in",
    ),
    "BlueZ without a controller": (replace(BARE, said=()), "this machine has no Bluetooth controller", "`lsusb`"),
    "a container on a machine without": (
        replace(BARE, container=True),
        "this machine has no Bluetooth controller",
        "-v /run/dbus/system_bus_socket:",
    ),
    "a container without the host's D-Bus": (
        Machine(container=True, said=Trouble.NO_BUS),
        "this container has no way to the system's Bluetooth",
        "-v /run/dbus/system_bus_socket:",
    ),
    "a container with a D-Bus of its own": (
        Machine(container=True, said=Trouble.NO_SERVICE),
        "no bluetoothd runs behind this container's D-Bus",
        "Run it in the host",
    ),
    "no D-Bus": (Machine(said=Trouble.NO_BUS), "the system's D-Bus does not run", "systemctl start dbus bluetooth"),
    "no bluetoothd": (Machine(said=Trouble.NO_SERVICE), "bluetoothd does not run", "systemctl enable --now bluetooth"),
    "a silent bluetoothd": (Machine(said=Trouble.SILENT), "bluetoothd does not answer", "systemctl restart bluetooth"),
    "an odd bluetoothd": (Machine(said=Trouble.ODD), "bluetoothd answers what makes no sense", "restart bluetooth"),
    "a stranger": (Machine(said=Trouble.DENIED), "this user may not use", "usermod -aG bluetooth $USER"),
    "a member since just now": (Machine(said=Trouble.DENIED, listed=True), "this user may not use", "Log out and in"),
    "a member all the same": (Machine(said=Trouble.DENIED, listed=True, member=True), "this user may not", "polkit"),
    "an adapter that is not taken": (
        NO_ADAPTER,
        "bluetoothd does not take the controller hci0",
        "journalctl -u bluetooth",
    ),
    "a laptop whose key took it away": (
        replace(NO_ADAPTER, hci=(), switches=(KEY,)),
        "Bluetooth is switched off (rfkill: tpacpi_bluetooth_sw soft blocked)",
        "`rfkill unblock bluetooth`",
    ),
    "soft blocked": (
        Machine(said=(OFF,), switches=(SOFT,)),
        "hci0 00:1A:7D:DA:71:13 is switched off (rfkill: hci0 soft blocked)",
        "`rfkill unblock bluetooth`, then `bluetoothctl power on`",
    ),
    "hard blocked": (Machine(said=(OFF,), switches=(HARD,)), "hci0 hard blocked", "switch or key for radios"),
    "blocked by a key of another name": (
        Machine(said=(OFF,), switches=(KEY,)),
        "tpacpi_bluetooth_sw soft blocked",
        "rfkill unblock",
    ),
    "off, while another is blocked": (
        Machine(said=(OFF,), switches=(OPEN, replace(SOFT, name="hci1"))),
        "hci0 00:1A:7D:DA:71:13 is off",
        "`bluetoothctl select 00:1A:7D:DA:71:13`, `bluetoothctl power on`",
    ),
    "classic only": (Machine(said=(replace(ON, central=False),)), "has no Bluetooth LE", "Plug in a newer dongle"),
    "an old BlueZ": (Machine(bluez="5.54"), "5.54 is too old: 5.55 is needed", "Install a newer BlueZ"),
    "an ancient BlueZ": (Machine(bluez="4.101"), "4.101 is too old", "Install a newer BlueZ"),
    "an old Windows": (Machine("Windows", "10.0.19045"), "Windows 10.0.19045 is too old", "Update Windows"),
    "an old macOS": (Machine("Darwin", "10.14.6"), "macOS 10.14.6 is too old: 10.15 is needed", "Update macOS"),
    "another system": (Machine("FreeBSD", "14"), "FreeBSD has no Bluetooth that we know", "`bumble:usb:0`"),
}


@pytest.mark.parametrize("name", MACHINES)
async def test_the_cause_is_told_in_one_line_with_what_mends_it(name: str) -> None:
    machine, says, hint = MACHINES[name]
    wrong = await the_cause(machine)
    assert says in wrong.says
    assert hint in wrong.hint


@pytest.mark.parametrize("machine", [BARE, Machine(said=Trouble.DENIED), NO_ADAPTER])
async def test_nothing_is_told_of_what_follows_from_the_cause(machine: Machine) -> None:
    assert len(await bluetooth(machine)) == 1


# ------------------------------------------------------------------ several adapters


async def test_the_first_adapter_with_power_is_used() -> None:
    first, second, _ = await bluetooth(Machine(said=(OFF, SECOND)))
    assert first.says == "hci1 00:1A:7D:DA:71:14 is on"
    assert second.says == "not used: hci0 00:1A:7D:DA:71:13 (off)"


async def test_an_adapter_without_le_is_passed_over() -> None:
    first, *_ = await bluetooth(Machine(said=(replace(ON, central=False), replace(SECOND, powered=False))))
    assert first.says == "hci1 00:1A:7D:DA:71:14 is off"


async def test_the_adapter_that_is_named_is_looked_at() -> None:
    wrong = await the_cause(Machine(said=(OFF, SECOND)), "hci0")
    assert wrong.says == "hci0 00:1A:7D:DA:71:13 is off"


async def test_an_adapter_that_is_not_there_is_told_with_those_that_are() -> None:
    wrong = await the_cause(Machine(said=(ON, SECOND)), "hci7")
    assert (wrong.says, wrong.hint) == ("there is no adapter hci7", "There is hci0, hci1: `--radio bleak:hci0`")


async def test_another_program_that_scans_is_told_and_no_fault() -> None:
    lines = await bluetooth(Machine(said=(replace(ON, discovering=True),)))
    (said,) = [line for line in lines if "another program is scanning on hci0" in line.says]
    assert (said.ok, "Close Bluetooth settings" in said.hint) == (True, True)


async def test_who_scans_is_no_matter_where_the_adapter_is_off() -> None:
    lines = await bluetooth(Machine(said=(replace(OFF, discovering=True),)))
    assert not [line for line in lines if "scanning" in line.says]


# ------------------------------------------------------------------ versions


@pytest.mark.parametrize(
    ("version", "fault"),
    [
        ("5.55", "20 bytes"),
        ("5.61", "20 bytes"),
        ("5.62", ""),
        ("5.64", "drops connections"),
        ("5.65", ""),
        ("5.100", ""),
    ],
)
async def test_what_is_known_of_a_version_is_told(version: str, fault: str) -> None:
    said = (await bluetooth(Machine(bluez=version)))[-1]
    assert said.ok
    assert (said.says == version) is (fault == "")
    assert fault in said.says
    assert bool(said.hint) is bool(fault)


async def test_a_version_that_is_not_told_is_no_fault() -> None:
    said = (await bluetooth(Machine(bluez="")))[-1]
    assert (said.ok, "bluetoothctl --version" in said.hint) == (True, True)


@pytest.mark.parametrize(
    ("kind", "version"),
    [("Windows", "10.0.22000"), ("Windows", "11"), ("Darwin", "10.15"), ("Darwin", "26.1"), ("Darwin", "")],
)
async def test_a_system_that_is_new_enough_is_ok(kind: str, version: str) -> None:
    (said,) = await bluetooth(Machine(kind, version))
    assert said.ok


# ------------------------------------------------------------------ what bleak gave as a reason


def failed(reason: BleakBluetoothNotAvailableReason) -> AdapterError:
    error, between = AdapterError("Bluetooth cannot be used"), ValueError("between")
    error.__cause__ = between
    between.__cause__ = BleakBluetoothNotAvailableError("something", reason)
    return error


@pytest.mark.parametrize("reason", [r for r in BleakBluetoothNotAvailableReason if r.name != "UNKNOWN"])
@pytest.mark.parametrize("kind", ["Windows", "Darwin"])
def test_each_reason_of_bleaks_has_a_sentence_and_a_hint(reason: BleakBluetoothNotAvailableReason, kind: str) -> None:
    says, hint = told(failed(reason), kind) or ("", "")
    assert (says, hint) == (REASONS[reason.name][0], REASONS[reason.name][2 if kind == "Darwin" else 1])


def test_a_mac_that_forbids_bluetooth_is_told_where_to_allow_it() -> None:
    _, hint = told(failed(BleakBluetoothNotAvailableReason.DENIED_BY_USER), "Darwin") or ("", "")
    assert "Privacy & Security > Bluetooth" in hint


@pytest.mark.parametrize("error", [AdapterError("x"), failed(BleakBluetoothNotAvailableReason.UNKNOWN)])
def test_an_error_without_a_reason_is_left_as_it_is(error: AdapterError) -> None:
    assert told(error, "Darwin") is None


class Denied(BaseBleakScanner):
    """A scanner of a system that forbids it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(None, None)

    async def start(self) -> None:
        raise BleakBluetoothNotAvailableError("not authorized", BleakBluetoothNotAvailableReason.DENIED_BY_USER)

    async def stop(self) -> None:
        """There is nothing to stop."""


async def test_the_reason_comes_through_our_own_radio() -> None:
    with pytest.raises(AdapterError) as raised:
        await anext(BleakRadio(scanner=Denied).scan(within_s=1))
    assert told(raised.value, "Darwin") == (REASONS["DENIED_BY_USER"][0], REASONS["DENIED_BY_USER"][2])

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ble_ota.cli.doctor_system import Block, RealSystem, Trouble

NOWHERE = "unix:path=/nowhere/at/all"


def write(root: Path, **files: str) -> RealSystem:
    """A system whose files are these; `__` is a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return RealSystem(root, kind="Linux", bus=NOWHERE)


def test_controllers_are_listed_without_their_connections(tmp_path: Path) -> None:
    for name in ("hci1", "hci0", "hci0:64", "rfcomm0"):
        (tmp_path / "sys/class/bluetooth" / name).mkdir(parents=True)
    assert RealSystem(tmp_path).controllers() == ("hci0", "hci1")


def test_switches_of_other_radios_are_left_out(tmp_path: Path) -> None:
    system = write(
        tmp_path,
        sys__class__rfkill__rfkill0__type="wlan\n",
        sys__class__rfkill__rfkill0__soft="1\n",
        sys__class__rfkill__rfkill1__type="bluetooth\n",
        sys__class__rfkill__rfkill1__name="hci0\n",
        sys__class__rfkill__rfkill1__soft="0\n",
        sys__class__rfkill__rfkill1__hard="1\n",
    )
    assert system.blocks() == (Block("hci0", soft=False, hard=True),)


def test_a_switch_that_is_soft_blocked_is_told_as_such(tmp_path: Path) -> None:
    system = write(
        tmp_path,
        sys__class__rfkill__rfkill7__type="bluetooth",
        sys__class__rfkill__rfkill7__soft="1",
    )
    assert system.blocks() == (Block("rfkill7", soft=True, hard=False),)


def test_a_machine_without_those_folders_has_nothing(tmp_path: Path) -> None:
    system = RealSystem(tmp_path)
    assert (system.controllers(), system.blocks(), system.contained()) == ((), (), False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".dockerenv", ""),
        ("run__.containerenv", ""),
        ("run__systemd__container", "lxc"),
        ("proc__1__environ", "PATH=/bin\0container=lxc\0"),
    ],
)
def test_a_container_is_recognised(tmp_path: Path, name: str, text: str) -> None:
    assert write(tmp_path, **{name: text}).contained()


def test_a_first_process_that_says_nothing_of_it_is_no_containers(tmp_path: Path) -> None:
    assert not write(tmp_path, proc__1__environ="PATH=/bin\0").contained()


def test_this_machines_groups_can_be_asked_for() -> None:
    assert all(isinstance(said, bool) for said in RealSystem().groups())


@pytest.mark.parametrize("kind", ["Linux", "Darwin", "Windows"])
def test_a_version_is_told(kind: str) -> None:
    assert isinstance(RealSystem(kind=kind).version(), str)


async def test_where_no_bus_is_nothing_is_said(tmp_path: Path) -> None:
    assert await write(tmp_path).adapters() is Trouble.NO_BUS


# ------------------------------------------------------------------ BlueZ's version


def saying(program: str) -> Sequence[str]:
    return (sys.executable, "-c", program)


@pytest.mark.parametrize(
    ("program", "version"),
    [
        ("print('bluetoothctl: 5.66')", "5.66"),
        ("print('bluetoothctl: none')", ""),
        ("import sys; sys.exit(1)", ""),
        ("print('x' * 100_000, '5.66')", ""),
    ],
)
async def test_the_version_is_read_of_what_bluetoothctl_says(program: str, version: str) -> None:
    assert await RealSystem(bluetoothctl=saying(program)).bluez_version() == version


async def test_a_bluetoothctl_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor_system.VERSION_S", 0.05)
    async with asyncio.timeout(10):
        assert await RealSystem(bluetoothctl=saying("import time; time.sleep(60)")).bluez_version() == ""


async def test_no_bluetoothctl_is_no_version() -> None:
    assert await RealSystem(bluetoothctl=("/nowhere/bluetoothctl",)).bluez_version() == ""

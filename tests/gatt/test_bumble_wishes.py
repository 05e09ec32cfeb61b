from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakError
from bumble import hci
from bumble.device import Connection, Device
from bumble.keys import MemoryKeyStore
from bumble.pairing import PairingConfig, PairingDelegate

from ble_ota.gatt import bumble_wishes
from ble_ota.gatt.bumble_backend import radio
from ble_ota.gatt.bumble_bonds import Bonds
from ble_ota.gatt.bumble_options import LinkOptions
from ble_ota.gatt.bumble_wishes import bonded, preferences, secure, tune
from ble_ota.virtual.bumble_host import BumbleHost
from ble_ota.virtual.controller import AirWaves, device_on
from tests.gatt.contract import ADDRESS, HOST_ADDRESS, PROMPT_S, Subject, controller_of

SLOW = LinkOptions(interval_ms=50, phy_2m=False, data_bytes=27, supervision_s=2)


@pytest.fixture
def waves() -> AirWaves:
    return AirWaves()  # type: ignore[no-untyped-call]


@pytest.fixture
async def device(waves: AirWaves) -> AsyncIterator[Device]:
    made = device_on(waves, "subject", ADDRESS)
    async with BumbleHost(made, Subject(ADDRESS)).on():
        yield made


@pytest.fixture
async def host(waves: AirWaves, device: Device, tmp_path: Path) -> Device:
    assert device.powered_on
    made = device_on(waves, "host", HOST_ADDRESS)
    made.keystore = Bonds(tmp_path / "bonds", "usb:0")
    await made.power_on()
    return made


class Commands:
    """What a host asks of its controller, by name."""

    def __init__(self, host: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[hci.HCI_Command] = []
        controller = controller_of(host)
        whole = controller.on_hci_command_packet

        def note(command: hci.HCI_Command) -> None:
            self.seen.append(command)
            whole(command)

        monkeypatch.setattr(controller, "on_hci_command_packet", note)

    def of(self, kind: type[Any]) -> list[Any]:
        return [c for c in self.seen if isinstance(c, kind)]


async def connected(host: Device, options: LinkOptions | None = None) -> Connection:
    async with asyncio.timeout(PROMPT_S):
        wanted = preferences(options or LinkOptions())
        return await host.connect(hci.Address(ADDRESS), connection_parameters_preferences=wanted, timeout=PROMPT_S)


# ------------------------------------------------------------------ speed


@pytest.mark.parametrize(("options", "units"), [(LinkOptions(), (12, 600)), (SLOW, (40, 200))])
async def test_the_interval_and_the_patience_are_ours(
    host: Device, monkeypatch: pytest.MonkeyPatch, options: LinkOptions, units: tuple[int, int]
) -> None:
    """In units of 1.25 ms and 10 ms; Core Specification Vol 4 Part E 7.8.12."""
    commands = Commands(host, monkeypatch)
    await connected(host, options)
    (made,) = commands.of(hci.HCI_LE_Create_Connection_Command)
    assert made.connection_interval_min == made.connection_interval_max == units[0]
    assert (made.max_latency, made.supervision_timeout) == (0, units[1])


async def test_a_link_is_asked_for_long_packets_and_the_fast_phy(host: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, link = Commands(host, monkeypatch), await connected(host)
    await tune(host, link, LinkOptions())
    (length,) = commands.of(hci.HCI_LE_Set_Data_Length_Command)
    (phy,) = commands.of(hci.HCI_LE_Set_PHY_Command)
    assert (length.tx_octets, length.tx_time) == (251, 2120)
    assert (phy.tx_phys, phy.rx_phys) == (hci.PhyBit.LE_2M, hci.PhyBit.LE_2M)


async def test_who_wants_neither_is_given_neither(host: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, link = Commands(host, monkeypatch), await connected(host)
    await tune(host, link, SLOW)
    assert not commands.of(hci.HCI_LE_Set_Data_Length_Command)
    assert not commands.of(hci.HCI_LE_Set_PHY_Command)


async def test_a_controller_without_the_fast_phy_is_not_asked(host: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, link = Commands(host, monkeypatch), await connected(host)
    host.host.local_le_features &= ~hci.LeFeatureMask.LE_2M_PHY
    await tune(host, link, LinkOptions())
    assert not commands.of(hci.HCI_LE_Set_PHY_Command)


@pytest.mark.parametrize("answers", [True, False])
async def test_a_wish_that_is_refused_or_not_answered_is_logged_and_no_more(
    host: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answers: bool
) -> None:
    link = await connected(host)

    def refuse(command: hci.HCI_LE_Set_PHY_Command) -> None:
        if answers:
            controller_of(host)._send_hci_command_status(
                hci.HCI_ErrorCode.UNSUPPORTED_REMOTE_FEATURE_ERROR, command.op_code
            )

    monkeypatch.setattr(bumble_wishes, "WISH_S", 0.05)
    monkeypatch.setattr(controller_of(host), "on_hci_le_set_phy_command", refuse)
    caplog.set_level("INFO", "ble_ota.gatt")
    await tune(host, link, LinkOptions())
    assert "the link goes without the 2M PHY" in caplog.text
    assert (await host.get_connection_phy(link)).tx_phy == hci.Phy.LE_1M  # the next command has its answer


async def test_a_link_over_the_radio_has_its_wishes(host: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(host, monkeypatch)
    async with radio(host, "under test", SLOW) as made, made.connect(ADDRESS, within_s=PROMPT_S):
        (asked,) = commands.of(hci.HCI_LE_Create_Connection_Command)
    assert asked.connection_interval_max == 40
    assert not commands.of(hci.HCI_LE_Set_PHY_Command)


# ------------------------------------------------------------------ bonds


async def pairings(host: Device, device: Device, rounds: int = 1) -> list[bool]:
    """Connect and secure so many times; gives for each whether a pairing took place."""
    took_place: list[bool] = []
    for _ in range(rounds):
        link = await connected(host)
        paired: list[object] = []
        link.on(Connection.EVENT_PAIRING, paired.append)
        stored = asyncio.Event()
        host.once(Device.EVENT_KEY_STORE_UPDATE, stored.set)
        async with asyncio.timeout(PROMPT_S):
            await secure(host, link)
            assert link.is_encrypted
            if paired and not await bonded(host, link):  # keys are stored in the background
                await stored.wait()
            gone = asyncio.Event()
            (other,) = device.connections.values()
            other.on(Connection.EVENT_DISCONNECTION, partial(_set, gone))
            await link.disconnect()
            await gone.wait()
        took_place.append(bool(paired))
    return took_place


def _set(event: asyncio.Event, _reason: int) -> None:
    event.set()


async def test_a_device_is_paired_once_and_known_after(host: Device, device: Device) -> None:
    assert await pairings(host, device, 3) == [True, False, False]


async def test_a_bond_that_the_device_has_forgotten_is_made_anew_once(host: Device, device: Device) -> None:
    await pairings(host, device)
    device.keystore = MemoryKeyStore()
    assert await pairings(host, device, 2) == [True, False]


async def test_what_is_secure_is_left_alone(host: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    link = await connected(host)
    async with asyncio.timeout(PROMPT_S):
        await secure(host, link)
        commands = Commands(host, monkeypatch)
        await secure(host, link)
    assert commands.seen == []


async def test_a_device_that_will_not_pair_is_bleaks_error(host: Device, device: Device) -> None:
    class Refuses(PairingDelegate):
        async def accept(self) -> bool:
            return False

    device.pairing_config_factory = lambda _: PairingConfig(delegate=Refuses())
    link = await connected(host)
    with pytest.raises(BleakError):
        async with asyncio.timeout(PROMPT_S):
            await secure(host, link)


async def test_a_bonded_device_is_secure_from_the_start(host: Device, device: Device) -> None:
    await pairings(host, device)
    async with radio(host, "under test") as made, made.connect(ADDRESS, within_s=PROMPT_S):
        (link,) = host.connections.values()
        assert link.is_encrypted


async def test_a_device_without_a_bond_is_not_paired_unasked(host: Device) -> None:
    async with radio(host, "under test") as made, made.connect(ADDRESS, within_s=PROMPT_S):
        (link,) = host.connections.values()
        assert not link.is_encrypted


async def test_a_bond_that_the_device_has_forgotten_is_dropped_even_if_it_will_not_pair_again(
    host: Device, device: Device
) -> None:
    await pairings(host, device)
    device.keystore = MemoryKeyStore()

    class Refuses(PairingDelegate):
        async def accept(self) -> bool:
            return False

    device.pairing_config_factory = lambda _: PairingConfig(delegate=Refuses())
    link = await connected(host)
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(BleakError):
            await secure(host, link)
    assert not await bonded(host, link)

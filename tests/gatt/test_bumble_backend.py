from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDeviceNotFoundError
from bumble import hci
from bumble.device import Device
from bumble.host import Host

from ble_ota.errors import AdapterError, DeviceNotFoundError
from ble_ota.gatt import bleak_radio, bumble_backend
from ble_ota.gatt.bumble_backend import backends, open_radio, radio
from ble_ota.virtual.controller import AirWaves, device_on
from ble_ota.virtual.hci_server import HOST, controllers
from tests.gatt.contract import ADDRESS, HOST_ADDRESS, NOBODY, PROMPT_S, Subject, controller_of, switched_on


@pytest.fixture
async def waves() -> AsyncIterator[AirWaves]:
    async with switched_on(Subject(ADDRESS)) as made:
        yield made


@pytest.fixture
async def host(waves: AirWaves) -> Device:
    device = device_on(waves, "host", HOST_ADDRESS)
    await device.power_on()
    return device


def client_to(address: str, host: Device, timeout: float = 0.05) -> BleakClient:
    """A client to a device that was heard a moment ago."""
    _, client = backends(host)
    return BleakClient(BLEDevice(address, None, hci.Address(address)), backend=client, timeout=timeout)


def test_nothing_that_bleak_asks_of_a_backend_is_missing() -> None:
    scanner, client = backends(Device("nobody"))
    assert (scanner.__abstractmethods__, client.__abstractmethods__) == (frozenset(), frozenset())


async def test_a_device_that_was_heard_and_does_not_answer_is_not_found(host: Device) -> None:
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(BleakDeviceNotFoundError):
            await client_to(NOBODY, host).connect()


async def test_after_one_that_does_not_answer_the_next_connect_works(host: Device) -> None:
    with pytest.raises(BleakDeviceNotFoundError):
        await client_to(NOBODY, host).connect()
    async with client_to(ADDRESS, host, PROMPT_S) as client:
        assert client.is_connected


async def test_a_device_that_falls_silent_once_found_is_not_found(waves: AirWaves) -> None:
    host = device_on(waves, "host", HOST_ADDRESS)
    async with radio(host, "under test") as made:
        host.host.controller = Deaf(host)
        with pytest.raises(DeviceNotFoundError, match="does not answer"):
            async with made.connect(ADDRESS, within_s=0.1):
                pytest.fail("nobody was connected")


class Deaf:
    """A controller's front that lets no connection begin; it says nothing of that, as with a device gone away."""

    def __init__(self, host: Device) -> None:
        self._controller = controller_of(host)
        self._host: Host = host.host

    def set_packet_sink(self, _sink: Host) -> None:
        """The controller keeps the one it has."""

    def on_packet(self, packet: bytes) -> None:
        self._controller.on_packet(packet)
        if pending := self._controller.pending_le_connection:
            pending.peer_address = hci.Address(NOBODY)


async def under_way(host: Device, client: BleakClient) -> asyncio.Task[None]:
    """An attempt to connect that the controller has taken up."""
    attempt = asyncio.create_task(client.connect())
    await asyncio.wait((attempt,), timeout=0.02)
    assert controller_of(host).pending_le_connection is not None
    return attempt


async def test_whoever_gives_up_connecting_leaves_no_attempt_behind(host: Device) -> None:
    attempt = await under_way(host, client_to(NOBODY, host, 60))
    attempt.cancel()
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(asyncio.CancelledError):
            await attempt
    assert controller_of(host).pending_le_connection is None


async def test_after_one_gave_up_the_next_connect_works(host: Device) -> None:
    attempt = await under_way(host, client_to(NOBODY, host, 60))
    attempt.cancel()
    await asyncio.wait((attempt,))
    async with client_to(ADDRESS, host, PROMPT_S) as client:
        assert client.is_connected


async def test_whoever_gives_up_leaves_no_link_behind(host: Device) -> None:
    """Cancelled at any moment of a connect: the device is never left connected."""
    for rounds in range(60):
        client = client_to(ADDRESS, host, PROMPT_S)
        attempt = asyncio.create_task(client.connect())
        for _ in range(rounds * 3):
            await asyncio.sleep(0)
        attempt.cancel()
        async with asyncio.timeout(PROMPT_S):
            await asyncio.gather(attempt, return_exceptions=True)
            await client.disconnect()
        assert not host.connections


async def test_leaving_the_radio_ends_its_links(waves: AirWaves) -> None:
    host = device_on(waves, "host", HOST_ADDRESS)
    async with radio(host, "under test"):
        await host.connect(hci.Address(ADDRESS), timeout=PROMPT_S)
    assert not host.connections


async def test_a_controller_that_cannot_be_opened_is_said() -> None:
    async with controllers(1) as (port,):
        pass
    with pytest.raises(AdapterError, match=f"tcp-client:{HOST}:{port} cannot be opened"):
        async with open_radio(f"tcp-client:{HOST}:{port}"):
            pytest.fail("there was no controller")


@pytest.mark.parametrize("name", ["nothing-like-it:0", "tcp-client:", "tcp-client:nowhere"])
async def test_a_name_that_is_no_controller_is_said(name: str) -> None:
    with pytest.raises(AdapterError, match="cannot be opened"):
        async with open_radio(name):
            pytest.fail("there was no controller")


async def test_a_controller_that_says_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bumble_backend, "POWER_ON_S", 0.05)
    async with await silent_server() as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(AdapterError, match="does not answer"):
            async with open_radio(f"tcp-client:{HOST}:{port}"):
                pytest.fail("there was no controller")


async def silent_server() -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, 0)


async def test_a_radio_over_a_socket_finds_a_device() -> None:
    async with controllers(1) as (port,), open_radio(f"tcp-client:{HOST}:{port}") as made:
        assert [advert async for advert in made.scan(within_s=0.05)] == []


class Dead:
    """A controller that takes everything and answers nothing."""

    def set_packet_sink(self, _sink: Host) -> None:
        """It has nothing to say."""

    def on_packet(self, packet: bytes) -> None:
        """It does nothing."""


async def test_a_controller_that_dies_does_not_hold_us(waves: AirWaves, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bleak_radio, "DISCONNECT_S", 0.05)
    monkeypatch.setattr(bumble_backend, "GIVE_UP_S", 0.05)
    host = device_on(waves, "host", HOST_ADDRESS)
    async with (
        asyncio.timeout(PROMPT_S),
        radio(host, "under test") as made,
        made.connect(ADDRESS, within_s=PROMPT_S),
    ):
        host.host.controller = Dead()

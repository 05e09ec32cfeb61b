from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDeviceNotFoundError
from bumble import hci
from bumble.device import Device
from bumble.host import Host

from ble_ota.errors import AdapterError, DeviceNotFoundError
from ble_ota.gatt import bleak_radio, bumble_backend
from ble_ota.gatt.bumble_backend import backends, radio
from ble_ota.gatt.bumble_radio import open_radio
from ble_ota.virtual.bumble_host import BumbleHost
from ble_ota.virtual.controller import AirWaves, device_on
from ble_ota.virtual.hci_server import HOST, controllers
from tests.gatt.contract import (
    ADDRESS,
    HOST_ADDRESS,
    NOBODY,
    OTHER,
    PROMPT_S,
    TALK,
    Subject,
    controller_of,
    handle,
    switched_on,
)


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


async def test_links_that_have_ended_leave_nobody_behind_who_listens(host: Device) -> None:
    queue = host.host.le_acl_packet_queue
    assert queue is not None
    for _ in range(3):
        async with asyncio.timeout(PROMPT_S), client_to(ADDRESS, host, PROMPT_S) as client:
            assert len(queue.listeners("flow")) == 1
        assert not client.is_connected
    assert queue.listeners("flow") == []


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


# ------------------------------------------------------------------ no room


@pytest.mark.parametrize(
    "said",
    [
        hci.HCI_ErrorCode.CONNECTION_LIMIT_EXCEEDED_ERROR,
        hci.HCI_ErrorCode.MEMORY_CAPACITY_EXCEEDED_ERROR,
        hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR,
    ],
)
async def test_a_controller_that_is_full_is_said(
    waves: AirWaves, monkeypatch: pytest.MonkeyPatch, said: hci.HCI_ErrorCode
) -> None:
    async with AsyncExitStack() as powered:
        other = device_on(waves, OTHER, OTHER)
        await powered.enter_async_context(BumbleHost(other, Subject(OTHER)).on())
        host = device_on(waves, "host", HOST_ADDRESS)
        made = await powered.enter_async_context(radio(host, "under test"))
        await powered.enter_async_context(made.connect(ADDRESS, within_s=PROMPT_S))

        def full(command: hci.HCI_LE_Create_Connection_Command) -> None:
            controller_of(host)._send_hci_command_status(said, command.op_code)

        monkeypatch.setattr(controller_of(host), "on_hci_le_create_connection_command", full)
        with pytest.raises(AdapterError, match=r"as many links as it can .no connection slot beside 1") as caught:
            await powered.enter_async_context(made.connect(OTHER, within_s=PROMPT_S))
        assert "second adapter" in caught.value.hint


async def test_what_waited_for_the_buffers_of_a_lost_link_goes_on(waves: AirWaves) -> None:
    """Bumble frees them and looks no further: the next packet would have to be sent by somebody else."""
    async with AsyncExitStack() as powered:
        subject = Subject(OTHER)
        await powered.enter_async_context(BumbleHost(device_on(waves, OTHER, OTHER), subject).on())
        host = device_on(waves, "host", HOST_ADDRESS)
        made = await powered.enter_async_context(radio(host, "under test"))
        await powered.enter_async_context(made.connect(ADDRESS, within_s=PROMPT_S))
        kept = await powered.enter_async_context(made.connect(OTHER, within_s=PROMPT_S))
        queue = host.host.le_acl_packet_queue
        assert queue is not None
        (first, second) = host.connections
        queue.max_in_flight = 1
        queue._connection_state[first].in_flight = queue._in_flight = 1  # it holds the only buffer, and goes
        queue._queued += 1
        await kept.write(handle(kept, TALK), b"waited", ack=False)
        assert subject.written_values == []
        arrived = asyncio.Event()
        subject.on_written = lambda _: arrived.set()
        controller_of(host).drop(next(iter(controller_of(host).le_connections.values())))
        async with asyncio.timeout(PROMPT_S):
            await arrived.wait()
        assert second in host.connections


async def test_commands_wait_while_too_many_are_under_way(waves: AirWaves) -> None:
    host = device_on(waves, "host", HOST_ADDRESS)
    async with radio(host, "under test") as made, made.connect(ADDRESS, within_s=PROMPT_S) as link:
        queue = host.host.le_acl_packet_queue
        assert queue is not None
        room, queue.max_in_flight = queue.max_in_flight, 0  # the air is full

        async def flood() -> None:
            for _ in range(2 * bumble_backend.PENDING_MAX):
                await link.write(handle(link, TALK), b"x", ack=False)

        flooding = asyncio.create_task(flood())
        await asyncio.wait({flooding}, timeout=0.2)
        assert queue.pending == bumble_backend.PENDING_MAX + 1
        queue.max_in_flight = room
        queue.on_packets_completed(0, next(iter(host.connections)))
        async with asyncio.timeout(PROMPT_S):
            await flooding


async def test_a_controller_that_does_not_answer_whoever_gives_up_hangs(
    host: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bumble_backend, "GIVE_UP_S", 0.05)
    hangs: list[bool] = []
    _, client = backends(host, hangs=lambda: hangs.append(True))
    attempt = await under_way(
        host, BleakClient(BLEDevice(NOBODY, None, hci.Address(NOBODY)), backend=client, timeout=60)
    )
    host.host.controller = Dead()
    attempt.cancel()
    await asyncio.wait((attempt,), timeout=PROMPT_S)
    assert attempt.done()
    assert hangs == [True]

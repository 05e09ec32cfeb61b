from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from bumble.device import Device
from bumble.hci import Address
from bumble.transport import open_transport

from ble_ota.errors import AdapterError, LinkLostError
from ble_ota.gatt import bumble_radio
from ble_ota.link import Link
from ble_ota.virtual.bumble_host import BumbleHost
from ble_ota.virtual.hci_server import HOST, controllers
from tests.gatt.contract import ADDRESS, NEWS, PROMPT_S, TWIN, Subject, handle, heard


def where(port: int) -> str:
    return f"tcp-client:{HOST}:{port}"


@asynccontextmanager
async def switched_on(port: int, subject: Subject) -> AsyncGenerator[None, None]:
    """`subject` behind the controller at `port`."""
    async with await open_transport(where(port)) as opened:
        device = Device.with_hci("subject", Address(subject.address), opened.source, opened.sink)
        async with BumbleHost(device, subject).on():
            yield


@asynccontextmanager
async def linked(port: int) -> AsyncGenerator[Link, None]:
    """A link to the subject, from a host behind the controller at `port`."""
    async with bumble_radio.open_radio(where(port)) as radio, radio.connect(ADDRESS, within_s=PROMPT_S) as link:
        yield link


class Raw:
    """A host's bare socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> bytes:
        """What came until the server closed."""
        async with asyncio.timeout(PROMPT_S):
            try:
                return await self._reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def raw(port: int) -> AsyncGenerator[Raw, None]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_host_reaches_a_device_behind_another_port() -> None:
    subject = Subject(ADDRESS)
    async with controllers(2) as (first, second), switched_on(first, subject), linked(second) as link:
        assert await link.read(handle(link, TWIN)) == ADDRESS.encode()


async def test_the_device_hears_that_its_host_was_killed() -> None:
    subject = Subject(ADDRESS)
    async with controllers(2) as (first, second), switched_on(first, subject):
        await killed_while_linked(second)
        async with asyncio.timeout(PROMPT_S):
            await subject.down.wait()


async def test_after_a_host_was_killed_the_next_one_can_talk() -> None:
    subject = Subject(ADDRESS)
    async with controllers(2) as (first, second), switched_on(first, subject):
        await killed_while_linked(second)
        async with asyncio.timeout(PROMPT_S):
            await subject.down.wait()
        async with linked(second) as link:
            assert await link.read(handle(link, TWIN)) == ADDRESS.encode()


async def killed_while_linked(port: int) -> None:
    """Connect to the subject, and drop the host's socket as a killed process does."""
    async with await open_transport(where(port)) as opened:
        host = Device.with_hci("host", Address("F0:00:00:00:00:01"), opened.source, opened.sink)
        await host.power_on()
        await host.connect(Address(ADDRESS), timeout=PROMPT_S)


async def test_the_host_hears_that_the_device_was_killed() -> None:
    subject = Subject(ADDRESS)
    async with controllers(2) as (first, second), await open_transport(where(first)) as opened:
        device = Device.with_hci("subject", Address(ADDRESS), opened.source, opened.sink)
        carried = BumbleHost(device, subject).on()
        await carried.__aenter__()
        async with linked(second) as link:
            await link.subscribe(handle(link, NEWS))
            gone = asyncio.ensure_future(opened.close())
            with pytest.raises(LinkLostError):
                await heard(link, handle(link, NEWS))
            await gone
        await carried.__aexit__(None, None, None)


async def test_a_server_that_goes_is_a_lost_controller() -> None:
    subject = Subject(ADDRESS)
    serving = controllers(2)
    first, second = await serving.__aenter__()
    async with switched_on(first, subject), linked(second) as link:
        await link.subscribe(handle(link, NEWS))
        news = handle(link, NEWS)
        await serving.__aexit__(None, None, None)
        with pytest.raises(AdapterError, match="is gone"):
            await heard(link, news)


async def test_a_second_host_on_a_busy_port_is_turned_away() -> None:
    async with controllers(1) as (port,), raw(port), raw(port) as second:
        assert await second.end() == b""


async def test_a_host_that_was_turned_away_leaves_the_first_alone() -> None:
    subject = Subject(ADDRESS)
    async with controllers(2) as (first, second), switched_on(first, subject), linked(second) as link:
        async with raw(second) as late:
            await late.end()
        assert await link.read(handle(link, TWIN)) == ADDRESS.encode()


async def test_who_is_no_bluetooth_host_is_turned_away() -> None:
    async with controllers(1) as (port,), raw(port) as other:
        await other.say(b"GET / HTTP/1.1\r\n\r\n")
        assert await other.end() == b""


async def test_ports_are_those_that_are_bound() -> None:
    async with controllers(3) as ports:
        assert len(set(ports)) == 3
        for port in ports:
            async with raw(port):
                pass


async def test_ports_follow_the_first_one() -> None:
    async with controllers(1) as (free,):
        pass
    async with controllers(2, first_port=free) as ports:
        assert ports == [free, free + 1]


async def test_a_taken_port_is_an_os_error() -> None:
    async with controllers(1) as (taken,):
        with pytest.raises(OSError, match="address already in use"):
            async with controllers(2, first_port=taken - 1):
                pytest.fail("two servers on one port")


async def test_leaving_hangs_up_on_hosts() -> None:
    async with asyncio.timeout(PROMPT_S):
        serving = controllers(1)
        (port,) = await serving.__aenter__()
        async with raw(port) as host:
            await host.say(b"\x01\x03\x0c\x00")  # HCI_Reset: now it is known to be a host
            await serving.__aexit__(None, None, None)
            await host.end()


async def test_controllers_have_public_addresses_of_their_own() -> None:
    read = b"\x01\x09\x10\x00"  # HCI_Read_BD_ADDR; its answer ends in the six bytes
    answers: set[bytes] = set()
    async with controllers(2) as ports:
        for port in ports:
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(read)
            async with asyncio.timeout(PROMPT_S):
                answers.add((await reader.readexactly(13))[-6:])
            writer.close()
            await writer.wait_closed()
    assert len(answers) == 2

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bumble import core, hci
from bumble.device import Advertisement, Connection, Device, Peer

from ble_ota.virtual.controller import AirWaves, VirtualController, device_on

CENTRAL, FIRST, SECOND = "F0:00:00:00:00:01", "C0:00:00:00:00:01", "C0:00:00:00:00:02"
NOBODY = hci.Address("C0:00:00:00:00:99")
PROMPT_S = 5.0  # what takes milliseconds, on a machine that is busy
MAKER = core.AdvertisingData.Type.MANUFACTURER_SPECIFIC_DATA


def controller_of(device: Device) -> VirtualController:
    controller = device.host.controller
    assert isinstance(controller, VirtualController)
    return controller


async def powered(waves: AirWaves, address: str) -> Device:
    device = device_on(waves, address, address)
    await device.power_on()
    device.advertising_interval_min = device.advertising_interval_max = 20
    return device


@pytest.fixture
def waves() -> AirWaves:
    return AirWaves()  # type: ignore[no-untyped-call]


@pytest.fixture
async def central(waves: AirWaves) -> Device:
    return await powered(waves, CENTRAL)


@pytest.fixture
async def device(waves: AirWaves) -> AsyncIterator[Device]:
    made = await powered(waves, FIRST)
    await made.start_advertising()
    yield made
    controller_of(made).silence()  # no timers after the test


async def connected(central: Device, device: Device) -> Connection:
    async with asyncio.timeout(PROMPT_S):
        return await central.connect(device.random_address, timeout=PROMPT_S)


def ends(device: Device) -> asyncio.Future[int]:
    """The reason why the link of `device` ends, when it does."""
    (link,) = device.connections.values()
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    link.on(Connection.EVENT_DISCONNECTION, ended.set_result)
    return ended


async def test_nobody_at_the_address_is_said_in_time(central: Device) -> None:
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(core.TimeoutError):
            await central.connect(NOBODY, timeout=0.01)


async def test_after_a_cancelled_attempt_the_next_one_works(central: Device, device: Device) -> None:
    with pytest.raises(core.TimeoutError):
        await central.connect(NOBODY, timeout=0.01)
    assert (await connected(central, device)).peer_address == device.random_address


async def test_a_cancelled_attempt_makes_no_connection_later(waves: AirWaves, central: Device) -> None:
    late = await powered(waves, SECOND)
    with pytest.raises(core.TimeoutError):
        await central.connect(late.random_address, timeout=0.01)
    await late.start_advertising()
    heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    central.once(Device.EVENT_ADVERTISEMENT, heard.set_result)
    await central.start_scanning()
    async with asyncio.timeout(PROMPT_S):
        await heard  # an attempt that still stood would have met it now
    assert not controller_of(central).le_connections
    controller_of(late).silence()


async def test_with_nothing_under_way_a_cancel_is_disallowed(central: Device) -> None:
    with pytest.raises(hci.HCI_Error) as refused:
        await central.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
    assert refused.value.error_code == hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR


@pytest.mark.parametrize("whose", ["central", "device"])
async def test_silence_is_a_supervision_timeout_at_both_ends(central: Device, device: Device, whose: str) -> None:
    await connected(central, device)
    reasons = asyncio.gather(ends(central), ends(device))
    controller_of(central if whose == "central" else device).silence()
    async with asyncio.timeout(PROMPT_S):
        assert list(await reasons) == [0x08, 0x08]


async def test_after_silence_a_new_link_can_be_made(central: Device, device: Device) -> None:
    await connected(central, device)
    reasons = asyncio.gather(ends(central), ends(device))
    controller_of(central).silence()
    await reasons
    await device.start_advertising()
    assert (await connected(central, device)).peer_address == device.random_address


async def test_silence_ends_advertising(device: Device) -> None:
    controller_of(device).silence()
    assert not controller_of(device).advertising_sets


async def test_silence_ends_scanning(central: Device) -> None:
    await central.start_scanning()
    controller_of(central).silence()
    assert not controller_of(central).le_scan_enable


async def test_silence_ends_connecting(central: Device) -> None:
    attempt = asyncio.ensure_future(central.connect(NOBODY, timeout=PROMPT_S))
    await asyncio.wait((attempt,), timeout=0.05)
    assert controller_of(central).pending_le_connection is not None
    controller_of(central).silence()
    assert controller_of(central).pending_le_connection is None
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)


async def test_silence_with_the_other_end_gone_altogether_ends_the_link(
    waves: AirWaves, central: Device, device: Device
) -> None:
    await connected(central, device)
    waves.remove_controller(controller_of(device))
    controller_of(central).silence()
    assert not controller_of(central).le_connections


async def test_a_reset_forgets_links(central: Device, device: Device) -> None:
    await connected(central, device)
    ended = ends(device)
    await central.host.reset()
    async with asyncio.timeout(PROMPT_S):
        assert await ended == 0x08


async def test_a_reset_ends_advertising(device: Device) -> None:
    await device.host.reset()
    assert not controller_of(device).advertising_sets


async def told(central: Device, count: int) -> dict[str, Any]:
    """What the makers of `count` devices say, by address."""
    found: dict[str, Any] = {}
    enough = asyncio.Event()

    def hear(advertisement: Advertisement) -> None:
        if said := advertisement.data.get_all(MAKER):
            found[advertisement.address.to_string(with_type_qualifier=False)] = list(said)
        if len(found) == count:
            enough.set()

    central.on(Device.EVENT_ADVERTISEMENT, hear)
    await central.start_scanning()
    async with asyncio.timeout(PROMPT_S):
        await enough.wait()
    await central.stop_scanning()
    return found


def maker(number: int) -> bytes:
    return bytes(core.AdvertisingData([(MAKER, number.to_bytes(2, "little") + b"x")]))


async def test_a_scan_response_is_the_advertisers_own(waves: AirWaves, central: Device) -> None:
    devices = [await powered(waves, address) for address in (FIRST, SECOND)]
    for number, each in enumerate(devices, start=1):
        await each.start_advertising(advertising_data=b"", scan_response_data=maker(number))
    assert await told(central, 2) == {FIRST: [(1, b"x")], SECOND: [(2, b"x")]}
    for each in devices:
        controller_of(each).silence()


async def test_a_scan_response_of_a_legacy_advertiser_is_its_own(waves: AirWaves, central: Device) -> None:
    device = await powered(waves, FIRST)
    legacy = (
        hci.HCI_LE_Set_Advertising_Parameters_Command(
            advertising_interval_min=20,
            advertising_interval_max=20,
            advertising_type=hci.HCI_LE_Set_Advertising_Parameters_Command.AdvertisingType.ADV_IND,
            own_address_type=hci.OwnAddressType.RANDOM,
            peer_address_type=0,
            peer_address=hci.Address.ANY,
            advertising_channel_map=7,
            advertising_filter_policy=0,
        ),
        hci.HCI_LE_Set_Scan_Response_Data_Command(scan_response_data=maker(3)),
        hci.HCI_LE_Set_Advertising_Enable_Command(advertising_enable=1),
    )
    for command in legacy:
        await device.send_sync_command(command)
    assert await told(central, 1) == {FIRST: [(3, b"x")]}
    controller_of(device).silence()


async def test_an_advertisement_that_says_nothing_of_its_maker_gets_nothing_added(
    waves: AirWaves, central: Device
) -> None:
    device = await powered(waves, FIRST)
    await device.start_advertising(advertising_data=maker(1), scan_response_data=b"")
    assert await told(central, 1) == {FIRST: [(1, b"x")]}
    controller_of(device).silence()


async def test_a_host_that_connects_by_its_public_address_is_heard(central: Device, device: Device) -> None:
    controller_of(central).public_address = hci.Address("00:00:00:00:B1:01", hci.Address.PUBLIC_DEVICE_ADDRESS)
    async with asyncio.timeout(PROMPT_S):
        link = await central.connect(device.random_address, own_address_type=hci.OwnAddressType.PUBLIC)
        services = await Peer(link).discover_services()
    assert services


async def test_a_packet_may_be_as_long_as_the_link_layer_takes(central: Device) -> None:
    queue = central.host.le_acl_packet_queue
    assert queue is not None
    assert queue.max_packet_size == 251


@pytest.mark.parametrize(
    ("mask", "told"),
    [(0x1F, hci.HCI_LE_Connection_Complete_Event), (0x3FF, hci.HCI_LE_Enhanced_Connection_Complete_Event)],
)
async def test_a_connection_is_told_by_the_event_that_the_host_asked_for(
    central: Device, device: Device, monkeypatch: pytest.MonkeyPatch, mask: int, told: type[hci.HCI_LE_Meta_Event]
) -> None:
    """Linux asks for the enhanced one and waits for no other: it could not end a link it was not told of."""
    controller = controller_of(central)
    controller.le_event_mask = mask
    seen: list[hci.HCI_Packet] = []
    sink = controller.hci_sink
    assert sink is not None
    on_packet = sink.on_packet

    def note(packet: bytes) -> None:
        seen.append(hci.HCI_Packet.from_bytes(bytes(packet)))
        on_packet(packet)

    monkeypatch.setattr(sink, "on_packet", note)
    await connected(central, device)
    completes = (hci.HCI_LE_Connection_Complete_Event, hci.HCI_LE_Enhanced_Connection_Complete_Event)
    assert [type(p) for p in seen if isinstance(p, completes)] == [told]


async def test_the_fast_phy_is_taken_and_told(central: Device, device: Device) -> None:
    link = await connected(central, device)
    told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    link.on(Connection.EVENT_CONNECTION_PHY_UPDATE, told.set_result)
    async with asyncio.timeout(PROMPT_S):
        await link.set_phy([hci.Phy.LE_2M], [hci.Phy.LE_2M])
        phy = await told
    assert (phy.tx_phy, phy.rx_phy) == (hci.Phy.LE_2M, hci.Phy.LE_2M)


async def test_longer_packets_are_taken(central: Device, device: Device) -> None:
    link = await connected(central, device)
    async with asyncio.timeout(PROMPT_S):
        await link.set_data_length(251, 2120)


async def test_a_link_that_does_not_stand_has_no_phy_and_no_packets(central: Device, device: Device) -> None:
    link = await connected(central, device)
    link.handle = 0x0EEE
    async with asyncio.timeout(PROMPT_S):
        for asking in (link.set_phy([hci.Phy.LE_2M], [hci.Phy.LE_2M]), link.set_data_length(251, 2120)):
            with pytest.raises(hci.HCI_Error) as refused:
                await asking
            assert refused.value.error_code == hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR

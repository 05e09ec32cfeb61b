from __future__ import annotations

import asyncio

import pytest
from bumble import att, core, hci
from bumble.device import Advertisement as Heard
from bumble.device import Device, Peer

from ble_ota.gatt import bleak_radio, bumble_backend
from ble_ota.link import uuid16
from ble_ota.virtual.bumble_host import ADVERTISEMENT_MAX, BumbleHost, packets
from ble_ota.virtual.controller import AirWaves, device_on
from ble_ota.virtual.peripheral import Advertisement
from tests.gatt.contract import (
    ADDRESS,
    FIRST,
    HOST_ADDRESS,
    NEWS,
    PROMPT_S,
    TALK,
    TWIN,
    Subject,
    controller_of,
    handle,
    heard,
    switched_on,
)
from tests.gatt.test_pairing import Shy


def waves() -> AirWaves:
    return AirWaves()  # type: ignore[no-untyped-call]


async def hears(host: Device, name: str) -> None:
    """Wait until `host` hears something of this name."""
    found = asyncio.Event()

    def hear(advertisement: Heard) -> None:
        if advertisement.data.get(core.AdvertisingData.Type.COMPLETE_LOCAL_NAME) == name:
            found.set()

    host.on(Device.EVENT_ADVERTISEMENT, hear)
    await host.start_scanning()
    async with asyncio.timeout(PROMPT_S):
        await found.wait()
    await host.stop_scanning()
    host.remove_listener(Device.EVENT_ADVERTISEMENT, hear)


# ---------------------------------------------------------------- what is advertised


def test_both_packets_of_a_full_advertisement_fit() -> None:
    first, second = packets(Advertisement("n" * 22, (FIRST,), {0x5551: bytes(27)}))
    assert (len(first), len(second)) == (ADVERTISEMENT_MAX, ADVERTISEMENT_MAX)


@pytest.mark.parametrize(
    "too_much", [Advertisement("n" * 23, (FIRST,)), Advertisement("n", (), {0x5551: bytes(28)})], ids=["name", "maker"]
)
def test_an_advertisement_that_does_not_fit_is_refused(too_much: Advertisement) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        packets(too_much)


def test_a_service_of_128_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="128 bits"):
        packets(Advertisement("n", ("8d53dc1d-1db7-4cd3-868b-8a527460aa84",)))


def test_services_are_their_numbers() -> None:
    first, _ = packets(Advertisement("", (uuid16(0x180A),)))
    assert first.endswith(b"\x0a\x18")


async def test_whoever_advertises_too_much_is_told_at_once() -> None:
    subject = Subject(ADDRESS)
    async with switched_on(subject):
        with pytest.raises(ValueError, match="does not fit"):
            subject.carrier.advertise(Advertisement("n" * 40))


async def test_another_advertisement_takes_the_place_of_the_first() -> None:
    subject = Subject(ADDRESS)
    async with switched_on(subject) as air:
        host = device_on(air, "host", HOST_ADDRESS)
        await host.power_on()
        await hears(host, "subject")
        subject.carrier.advertise(Advertisement("other"))
        await hears(host, "other")


async def test_a_device_that_goes_silent_is_off_the_air() -> None:
    subject = Subject(ADDRESS)
    async with switched_on(subject) as air:
        host = device_on(air, "host", HOST_ADDRESS)
        async with bumble_backend.radio(host, "under test") as radio:
            async with radio.connect(ADDRESS, within_s=PROMPT_S):
                subject.carrier.advertise(None)
            async with asyncio.timeout(PROMPT_S):
                await subject.down.wait()
            assert [a async for a in radio.scan(within_s=0.1)] == []


async def test_an_advertisement_set_while_connected_comes_after_the_link() -> None:
    subject = Subject(ADDRESS)
    async with switched_on(subject) as air:
        host = device_on(air, "host", HOST_ADDRESS)
        async with bumble_backend.radio(host, "under test") as radio:
            async with radio.connect(ADDRESS, within_s=PROMPT_S):
                subject.carrier.advertise(Advertisement("later"))
            await hears(host, "later")


# ---------------------------------------------------------------- links


async def test_without_a_link_a_value_has_the_smallest_size() -> None:
    subject = Subject(ADDRESS)
    async with switched_on(subject):
        assert subject.carrier.max_value == 20


async def test_without_a_link_words_are_lost() -> None:
    subject = Subject(ADDRESS)
    async with switched_on(subject) as air:
        subject.carrier.send(NEWS, b"to nobody")
        subject.carrier.disconnect()
        host = device_on(air, "host", HOST_ADDRESS)
        async with bumble_backend.radio(host, "") as radio, radio.connect(ADDRESS, within_s=PROMPT_S) as link:
            await link.subscribe(handle(link, NEWS))
            subject.carrier.send(NEWS, b"to you")
            assert (await heard(link, handle(link, NEWS))).data == b"to you"


async def test_indications_of_a_lost_link_do_not_hold_up_the_next() -> None:
    """Bumble would wait 30 s for the confirmation of the first."""
    subject = Subject(ADDRESS)
    async with switched_on(subject) as air:
        host = device_on(air, "host", HOST_ADDRESS)
        async with bumble_backend.radio(host, "") as radio:
            async with radio.connect(ADDRESS, within_s=PROMPT_S) as link:
                await link.subscribe(handle(link, TALK))
                for _ in range(5):
                    subject.carrier.send(TALK, b"old")
                for left in tuple(controller_of(host).le_connections.values()):
                    controller_of(host).drop(left)
                async with asyncio.timeout(PROMPT_S):
                    await subject.down.wait()
            async with radio.connect(ADDRESS, within_s=PROMPT_S) as link:
                await link.subscribe(handle(link, TALK))
                subject.carrier.send(TALK, b"new")
                assert (await heard(link, handle(link, TALK))).data == b"new"


# ---------------------------------------------------------------- power


async def test_leaving_takes_it_off_the_air() -> None:
    device = device_on(waves(), "subject", ADDRESS)
    async with BumbleHost(device, Subject(ADDRESS)).on():
        observer = device_on(controller_of(device).link, "host", HOST_ADDRESS)  # type: ignore[arg-type]
        await observer.power_on()
        await hears(observer, "subject")
    assert not any(s.enabled for s in controller_of(device).advertising_sets.values())


async def test_leaving_ends_its_link() -> None:
    air, subject = waves(), Subject(ADDRESS)
    device, host = device_on(air, "subject", ADDRESS), device_on(air, "host", HOST_ADDRESS)
    async with bumble_backend.radio(host, "") as radio:
        async with BumbleHost(device, subject).on():
            standing = radio.connect(ADDRESS, within_s=PROMPT_S)
            await standing.__aenter__()
        assert subject.links == ["up", "down"]
        await standing.__aexit__(None, None, None)


async def test_leaving_in_the_middle_of_an_indication_leaves_no_task_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bleak_radio, "DISCONNECT_S", 0.05)  # the host of this test is deaf when it wants to leave
    monkeypatch.setattr(bumble_backend, "GIVE_UP_S", 0.05)
    air, subject = waves(), Subject(ADDRESS)
    device, host = device_on(air, "subject", ADDRESS), device_on(air, "host", HOST_ADDRESS)
    async with bumble_backend.radio(host, "") as radio:
        before = asyncio.all_tasks()
        async with BumbleHost(device, subject).on():
            standing = radio.connect(ADDRESS, within_s=PROMPT_S)
            link = await standing.__aenter__()
            await link.subscribe(handle(link, TALK))
            controller_of(host).host = None  # a host that hangs confirms nothing
            subject.carrier.send(TALK, b"unconfirmed")
            await asyncio.wait(asyncio.all_tasks() - before, timeout=0.05)  # it is under way
        left = asyncio.all_tasks() - before
        controller_of(host).host = host.host
        await standing.__aexit__(None, None, None)
    assert left == set()


# ---------------------------------------------------------------- what is sealed


async def test_a_sealed_characteristic_is_refused_over_a_plain_link_and_read_over_an_encrypted_one() -> None:
    async with switched_on(Shy(ADDRESS)) as place, asyncio.timeout(PROMPT_S):
        host = device_on(place, "host", HOST_ADDRESS)
        await host.power_on()
        link = await host.connect(hci.Address(ADDRESS))
        peer = Peer(link)
        await peer.discover_all()  # type: ignore[no-untyped-call]
        (twin,) = peer.get_characteristics_by_uuid(core.UUID(TWIN))
        for doing in (twin.read_value(), twin.write_value(b"x", with_response=True)):
            with pytest.raises(att.ATT_Error) as refused:
                await doing
            assert refused.value.error_code == att.ErrorCode.INSUFFICIENT_ENCRYPTION
        await link.pair()
        assert await twin.read_value() == ADDRESS.encode()

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any

import pytest
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)

from ble_ota.errors import AdapterError, AttRefusedError, BleOtaError, DeviceError, DeviceNotFoundError, LinkLostError
from ble_ota.gatt import bleak_radio, bleak_systems
from ble_ota.gatt.bleak_dial import GRACE_S, TRIES
from ble_ota.gatt.bleak_errors import Kind
from ble_ota.gatt.bleak_systems import OWN, System
from tests.gatt.scripted import ADDRESS, CANCEL, CHAR, CONNECT_S, DROP, HANG, INTERVAL_S, OTHER, Stage

BLUEZ = replace(bleak_systems.BLUEZ, service="")  # there is no bus in virtual time
pytestmark = pytest.mark.looptime


def failed(said: str) -> BleakError:
    return BleakDBusError("org.bluez.Error.Failed", [said])


OFF = BleakBluetoothNotAvailableError("off", BleakBluetoothNotAvailableReason.POWERED_OFF)
DENIED = BleakBluetoothNotAvailableError("no", BleakBluetoothNotAvailableReason.DENIED_BY_USER)
ABORTED, BUSY = failed("le-connection-abort-by-local"), BleakDBusError("org.bluez.Error.InProgress", ["x"])
FULL, ABSENT = failed("le-connection-concurrent-connection-limit"), BleakDeviceNotFoundError(ADDRESS)
AGAIN: dict[Kind, tuple[BleakError, type[BleOtaError]]] = {
    Kind.ABORTED: (ABORTED, LinkLostError),
    Kind.BUSY: (BUSY, AdapterError),
    Kind.FULL: (FULL, AdapterError),
    Kind.ABSENT: (ABSENT, DeviceNotFoundError),
    Kind.OFF: (OFF, AdapterError),
}
AT_ONCE: list[tuple[Any, type[BleOtaError]]] = [
    (DENIED, AdapterError),
    (BleakGATTProtocolError(3), AttRefusedError),
    (BleakGATTProtocolError(5), DeviceError),
    (failed("le-connection-key-missing"), DeviceError),
    (TimeoutError(), LinkLostError),
]


def now() -> float:
    return asyncio.get_running_loop().time()


async def connect(stage: Stage, system: System = OWN, *, address: str = ADDRESS, within_s: float = 60) -> None:
    async with stage.radio(system).connect(address, within_s=within_s):
        pass


# ---------------------------------------------------------------- again, and how often


def test_what_is_tried_again_is_in_the_tests() -> None:
    assert set(AGAIN) == set(TRIES)


@pytest.mark.parametrize("kind", AGAIN, ids=lambda kind: kind.name)
async def test_what_may_pass_is_tried_again(kind: Kind) -> None:
    error, _ = AGAIN[kind]
    stage = Stage().will("connect", error)
    await connect(stage)
    assert stage.calls.count("connect") == 2


@pytest.mark.parametrize("kind", AGAIN, ids=lambda kind: kind.name)
async def test_what_does_not_pass_is_given_up(kind: Kind) -> None:
    error, cls = AGAIN[kind]
    stage = Stage().will("connect", *[error] * 100)
    with pytest.raises(cls):
        await connect(stage)
    assert stage.calls.count("connect") == TRIES[kind].tries


@pytest.mark.parametrize(("error", "cls"), AT_ONCE)
async def test_what_does_not_pass_by_itself_is_told_at_once(error: Exception, cls: type[BleOtaError]) -> None:
    stage = Stage().will("connect", error)
    with pytest.raises(cls, match=f"connecting to {ADDRESS}"):
        await connect(stage)
    assert stage.calls.count("connect") == 1


async def test_the_pause_is_doubled() -> None:
    stage = Stage().will("connect", BUSY, BUSY, BUSY)
    await connect(stage)
    pauses = 0.25 + 0.5 + 1
    assert now() == pytest.approx(4 * CONNECT_S + pauses, abs=0.01)


async def test_each_kind_is_counted_for_itself() -> None:
    stage = Stage().will("connect", ABORTED, BUSY, ABORTED, BUSY)
    await connect(stage)
    assert stage.calls.count("connect") == 5


async def test_the_last_cause_is_told_of_a_connect_that_failed_in_several_ways() -> None:
    with pytest.raises(AdapterError, match="does not let us use Bluetooth") as last:
        await connect(Stage().will("connect", ABORTED, BUSY, DENIED))
    assert last.value.hint != ""
    stage = Stage().will("connect", BUSY)
    asyncio.get_running_loop().call_later(CONNECT_S, stage.devices.clear)
    with pytest.raises(DeviceNotFoundError, match="was not heard"):
        await connect(stage, within_s=10)


async def test_nothing_is_tried_again_beyond_the_time_there_is() -> None:
    stage = Stage().will("connect", *[FULL] * 10)
    with pytest.raises(AdapterError):
        await connect(stage, within_s=5)
    assert now() < 6


async def test_the_device_is_looked_for_anew_before_every_attempt() -> None:
    stage = Stage().will("connect", ABSENT)
    await connect(stage)
    assert stage.calls[:6] == ["start", "stop", "connect", "disconnect", "start", "stop"]


# ---------------------------------------------------------------- how it goes wrong


async def test_nobody_at_the_address_is_said_in_time() -> None:
    with pytest.raises(DeviceNotFoundError, match="C0:00:00:00:00:99 was not heard within 7 s"):
        await connect(Stage(), address="C0:00:00:00:00:99", within_s=7)
    assert now() == pytest.approx(7)


async def test_an_address_is_found_however_it_is_written() -> None:
    await connect(Stage(), address=ADDRESS.lower().replace(":", "-"))


async def test_a_connect_without_an_answer_is_given_up_in_time() -> None:
    with pytest.raises(LinkLostError, match=f"connecting to {ADDRESS}: no answer in time"):
        await connect(Stage().will("connect", HANG), within_s=10)
    assert now() == pytest.approx(10 + GRACE_S)


@pytest.mark.parametrize("act", [DROP, CANCEL])
async def test_a_device_that_goes_while_connecting_is_seen_at_once(act: str) -> None:
    stage = Stage().will("connect", *[act] * 3)
    with pytest.raises(LinkLostError, match="the connection dropped while connecting"):
        await connect(stage)
    assert now() == pytest.approx(3 * CONNECT_S + 0.75, abs=0.01)


async def test_every_client_that_was_made_is_let_go() -> None:
    stage = Stage().will("connect", ABORTED, ABORTED)
    await connect(stage)
    assert stage.calls.count("disconnect") == 3


async def test_who_is_cancelled_while_connecting_leaves_nothing_behind() -> None:
    stage = Stage().will("connect", HANG)
    task = asyncio.ensure_future(connect(stage))
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stage.calls[-1] == "disconnect"
    assert stage.at_once == 0


async def test_services_that_cannot_be_read_are_a_lost_link() -> None:
    stage = Stage().will("is_connected", *[OSError(5, "odd")] * 10)
    with pytest.raises(LinkLostError, match="odd"):
        await connect(stage, System("late", sizes_come_late=True))
    assert stage.calls.count("disconnect") == stage.calls.count("connect")


async def test_a_client_that_cannot_be_made_is_the_adapters_fault() -> None:
    stage = Stage()
    radio = stage.radio()
    radio._client = type("Broken", (), {})
    with pytest.raises(AdapterError, match="Bluetooth cannot be used"):
        async with radio.connect(ADDRESS, within_s=5):
            pytest.fail("there was no client")


@pytest.mark.parametrize("act", [HANG, OSError(5, "x"), AssertionError(), AttributeError("x"), TimeoutError()])
async def test_a_disconnect_that_goes_wrong_does_not_hold_us(act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bleak_radio, "DISCONNECT_S", 2.0)
    await connect(Stage().will("disconnect", act))
    assert now() <= CONNECT_S + INTERVAL_S + 2


async def test_a_system_whose_bluetooth_is_not_there_is_told_without_a_second_try() -> None:
    stage = Stage().will("start", FileNotFoundError(2, "No such file or directory"))
    with pytest.raises(AdapterError):
        await connect(stage)
    assert (stage.calls, now()) == (["start"], 0)


# ---------------------------------------------------------------- one at a time


async def test_devices_are_connected_one_at_a_time_and_never_beside_a_scan() -> None:
    addresses = [f"C0:00:00:00:00:{number:02X}" for number in range(10)]
    stage = Stage(devices=addresses)
    radio = stage.radio()

    async def one(address: str) -> None:
        async with radio.connect(address, within_s=2):
            pass

    await asyncio.gather(*map(one, addresses))
    assert stage.most_at_once == 1
    assert now() > 9 * CONNECT_S  # longer than any of them may look: waiting for one's turn does not count


async def test_transfers_run_side_by_side() -> None:
    stage = Stage(devices=[ADDRESS, OTHER])
    radio = stage.radio()
    async with AsyncExitStack() as links:
        both = [await links.enter_async_context(radio.connect(a, within_s=5)) for a in (ADDRESS, OTHER)]
        stage.will("write", HANG)
        hanging = asyncio.ensure_future(both[0].write(CHAR, b"first", ack=True))
        await asyncio.sleep(1)
        await both[1].write(CHAR, b"second", ack=True)
        assert not hanging.done()
        hanging.cancel()
    assert stage.clients[1].said == [b"second"]


async def test_a_device_that_appears_while_others_connect_is_heard() -> None:
    stage = Stage(devices=[OTHER]).will("connect", HANG)
    radio = stage.radio()
    slow = asyncio.ensure_future(connect_by(radio, OTHER, 10))
    asyncio.get_running_loop().call_later(9, stage.devices.append, ADDRESS)
    await asyncio.sleep(1)
    await connect_by(radio, ADDRESS, 5)
    with pytest.raises(LinkLostError):
        await slow


async def test_who_could_not_listen_still_has_time_to_connect() -> None:
    """While another connects the air cannot be heard; that is added to the time for the connect, too."""
    stage = Stage(devices=[OTHER]).will("connect", HANG, HANG)
    radio = stage.radio()
    slow = asyncio.ensure_future(connect_by(radio, OTHER, 10))
    asyncio.get_running_loop().call_later(9, stage.devices.append, ADDRESS)
    await asyncio.sleep(1)
    with pytest.raises(LinkLostError, match=f"connecting to {ADDRESS}"):
        await connect_by(radio, ADDRESS, 5)
    await asyncio.wait([slow])
    assert now() - (10 + GRACE_S) > 3 + GRACE_S  # of the five seconds


async def test_who_waits_for_a_turn_still_has_all_its_time_to_connect() -> None:
    stage = Stage(devices=[ADDRESS, OTHER]).will("connect", HANG, HANG)
    radio = stage.radio()
    async with aclosing(radio.scan(within_s=60)) as adverts:
        await anext(adverts)  # so that both are heard at the same time
        ends = await asyncio.gather(connect_by(radio, ADDRESS, 10), connect_by(radio, OTHER, 5), return_exceptions=True)
    assert [type(end) for end in ends] == [LinkLostError] * 2
    assert now() == pytest.approx(10 + 5 + 2 * GRACE_S, abs=0.2)


async def connect_by(radio: Any, address: str, within_s: float) -> None:
    async with radio.connect(address, within_s=within_s):
        pass


# ---------------------------------------------------------------- what a system keeps


@pytest.mark.parametrize(
    ("system", "properties", "forgotten"),
    [
        (BLUEZ, {"Address": ADDRESS}, True),
        (BLUEZ, {"Paired": False, "Trusted": False, "Bonded": False, "Address": ADDRESS}, True),
        (BLUEZ, {"Paired": True}, False),
        (BLUEZ, {"Bonded": True}, False),
        (BLUEZ, {"Trusted": True}, False),
        (OWN, {"Address": ADDRESS}, False),
    ],
)
async def test_a_stranger_is_forgotten_so_that_its_services_are_read_anew(
    system: System, properties: dict[str, Any], forgotten: bool
) -> None:
    stage = Stage(details={"path": "/x", "props": properties})
    await connect(stage, system)
    assert (stage.calls[-1] == "unpair") is forgotten
    assert "disconnect" in stage.calls


async def test_a_device_that_was_paired_on_this_link_is_not_forgotten() -> None:
    stage = Stage(details={"path": "/x", "props": {"Address": ADDRESS}}).will("read", BleakGATTProtocolError(5))
    async with stage.radio(BLUEZ).connect(ADDRESS, within_s=5) as link:
        await link.read(CHAR)
    assert "pair" in stage.calls
    assert "unpair" not in stage.calls


async def test_a_device_that_was_never_connected_is_not_forgotten() -> None:
    stage = Stage(details={"path": "/x", "props": {"Address": ADDRESS}}).will("connect", DENIED)
    with pytest.raises(AdapterError):
        await connect(stage, BLUEZ)
    assert "unpair" not in stage.calls


@pytest.mark.parametrize("act", [HANG, BleakDBusError("org.bluez.Error.DoesNotExist", ["x"]), AssertionError()])
async def test_a_system_that_cannot_forget_harms_nobody(act: Any) -> None:
    stage = Stage(details={"path": "/x", "props": {"Address": ADDRESS}}).will("unpair", act)
    await connect(stage, BLUEZ)


async def test_services_are_never_taken_from_a_cache() -> None:
    stage = Stage()
    await connect(stage)
    given = dict(stage.kwargs)
    assert given["connect"] == {"pair": False}  # bleak's own cache is asked for by name, or not at all
    assert given["client"]["winrt"] == {"use_cached_services": False}

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import looptime
import pytest
from bleak import exc
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.errors import AdapterError, BleOtaError, LinkLostError, UsageError
from ble_ota.gatt import bleak_link, bleak_radio, bleak_systems
from ble_ota.gatt.bleak_radio import BleakRadio
from ble_ota.gatt.bleak_systems import CORE_BLUETOOTH, OWN, System
from ble_ota.gatt.bumble_backend import BumbleClient, backends
from ble_ota.link import Advert
from ble_ota.virtual.controller import device_on
from tests.gatt import contract
from tests.gatt.contract import HOST_ADDRESS, NEWS, PROMPT_S, Rig, Subject, handle, over_bumble, switched_on
from tests.gatt.scripted import ADDRESS, CANCEL, CHAR, DROP, HANG, SERVICE, Stage

BLUEZ = replace(bleak_systems.BLUEZ, service="")  # there is no bus in virtual time
EVERYTHING = System("all of it", names_adapters=True, sizes_come_late=True, keeps_services=True)

# ---------------------------------------------------------------- what it hands over


@pytest.mark.looptime
async def test_a_sighting_is_told_in_our_form() -> None:
    details = {"props": {"AddressType": "random", "Bonded": True}}
    (advert, *_) = [a async for a in Stage(details=details).radio().scan(within_s=0.05)]
    assert advert == Advert(
        ADDRESS, f"name of {ADDRESS}", -50, (SERVICE,), {0x5551: b"x"}, address_type="random", bonded=True
    )


def test_whether_it_takes_connections_is_told_where_the_system_does() -> None:
    data = AdvertisementData(None, {}, {}, [], None, -50, (SimpleNamespace(is_connectable=True),))
    assert bleak_radio._advert(BLEDevice(ADDRESS, None, None), data).connectable is True


@pytest.mark.looptime
@pytest.mark.parametrize(("rssi", "told"), [(-127, None), (-126, -126), (0, 0)])
async def test_a_strength_that_nobody_measured_is_none(rssi: int, told: int | None) -> None:
    device = BLEDevice(ADDRESS, None, None)
    data = AdvertisementData(None, {}, {}, [], None, rssi, ())
    assert bleak_radio._advert(device, data).rssi_dbm == told  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("advertised", "remembered", "told"), [("new", "old", "new"), (None, "old", "old"), (None, None, "")]
)
def test_the_name_that_is_advertised_goes_before_the_one_that_the_system_remembers(
    advertised: str | None, remembered: str | None, told: str
) -> None:
    data = AdvertisementData(advertised, {}, {}, [], None, -50, ())
    assert bleak_radio._advert(BLEDevice(ADDRESS, remembered, None), data).name == told


@pytest.mark.looptime
async def test_a_link_whose_block_fails_is_ended_and_the_device_can_be_called_again() -> None:
    stage = Stage()
    radio = stage.radio()

    async def fails() -> None:
        async with radio.connect(ADDRESS, within_s=5):
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await fails()
        assert stage.calls[-1] == "disconnect"
    assert [client.connected for client in stage.clients] == [False, False]


@pytest.mark.looptime
async def test_an_adapter_is_named_to_scanner_and_client() -> None:
    stage = Stage()
    async with stage.radio(BLUEZ, adapter="hci1").connect(ADDRESS, within_s=5):
        pass
    assert [given["bluez"] for who, given in stage.kwargs if who != "connect"] == [{"adapter": "hci1"}] * 2


@pytest.mark.looptime
async def test_without_a_name_the_system_chooses_the_adapter() -> None:
    stage = Stage()
    async with stage.radio(BLUEZ).connect(ADDRESS, within_s=5):
        pass
    assert [given["bluez"] for who, given in stage.kwargs if who != "connect"] == [{}] * 2


@pytest.mark.parametrize("system", [CORE_BLUETOOTH, OWN])
def test_an_adapter_that_cannot_be_chosen_is_said_before_anything_is_done(system: System) -> None:
    with pytest.raises(UsageError, match="does not let an adapter be chosen"):
        BleakRadio(adapter="hci1", system=system)


# ---------------------------------------------------------------- nothing of bleak's gets out

ERRORS: list[BaseException] = [
    exc.BleakError("any"),
    exc.BleakBluetoothNotAvailableError("off", exc.BleakBluetoothNotAvailableReason.POWERED_OFF),
    exc.BleakBluetoothNotAvailableError("no", exc.BleakBluetoothNotAvailableReason.DENIED_BY_USER),
    exc.BleakCharacteristicNotFoundError(7),
    exc.BleakDeviceNotFoundError(ADDRESS),
    exc.BleakDBusError("org.bluez.Error.Failed", ["le-connection-abort-by-local"]),
    exc.BleakDBusError("org.bluez.Error.InProgress", []),
    exc.BleakDBusError("org.bluez.Error.Failed", [7]),
    exc.BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", ["x"]),
    exc.BleakGATTProtocolError(0x05),
    exc.BleakGATTProtocolError(0x13),
    TimeoutError(),
    OSError(104, "Connection reset by peer"),
    FileNotFoundError(2, "No such file or directory"),
    PermissionError(13, "Permission denied"),
    BrokenPipeError(),
    EOFError(),
    AttributeError("'NoneType' object has no attribute 'call'"),
    AssertionError(),
    KeyError("/org/bluez/hci0"),
    ValueError("Characteristic notifications already started"),
    TypeError("odd"),
    RuntimeError("odd"),
    NotImplementedError("Pairing is not available in Core Bluetooth."),
    asyncio.InvalidStateError(),
    asyncio.QueueEmpty(),
    ImportError("no backend"),
    asyncio.CancelledError(),
]
CALLS = ["start", "stop", "connect", "notify", "read", "write", "pair", "disconnect", "unpair", "is_connected"]
ACTS: st.SearchStrategy[Any] = st.sampled_from([None, HANG, DROP, CANCEL, *ERRORS])
PLANS = st.dictionaries(st.sampled_from(CALLS), st.lists(ACTS, max_size=4), max_size=4)
LONGEST_S = 200.0  # of virtual time: what the calls below may take in all, each with its own limit


async def everything(radio: BleakRadio, stage: Stage) -> None:
    """A session that uses all there is, each call with an end."""
    async with aclosing(radio.scan(within_s=1)) as adverts:
        async for _ in adverts:
            break
    async with radio.connect(ADDRESS, within_s=20) as link:
        assert link.facts.address == ADDRESS
        for call in (lambda: link.subscribe(CHAR), lambda: link.read(CHAR), lambda: link.write(CHAR, b"x", ack=True)):
            try:
                await asyncio.wait_for(call(), 60)  # as a script's own limit; a device may keep silent
            except TimeoutError:
                stage.clients[-1].drop()
        await link.read(CHAR)


def comes_to(plan: dict[str, list[Any]], system: System) -> BleOtaError | None:
    """What a session comes to while calls go wrong as planned; no other exception is let through."""

    async def session() -> BleOtaError | None:
        stage = Stage(details={"props": {"Address": ADDRESS}})
        for call, acts in plan.items():
            stage.will(call, *acts)
        complaints: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, said: complaints.append(said))
        came: BleOtaError | None = None
        try:
            await everything(stage.radio(system), stage)
        except BleOtaError as error:
            came = error
        await asyncio.sleep(10)  # whatever was let go has ended
        assert complaints == []
        assert stage.at_once == 0
        assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
        assert loop.time() < LONGEST_S
        return came

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(session())


def sentence(error: BleOtaError) -> None:
    """What reaches a user is one line, bounded, with a hint, and names no class of bleak's."""
    assert str(error).isprintable()
    assert len(str(error)) < 400
    assert not re.search(r"Bleak|\w+Error\b|\(\)|\(\d+, ", str(error))
    assert error.hint


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "act", [HANG, DROP, CANCEL, *ERRORS], ids=lambda act: act if isinstance(act, str) else repr(act)[:40]
)
def test_whatever_goes_wrong_in_one_call_for_good_is_a_sentence(call: str, act: Any) -> None:
    error = comes_to({call: [act] * 20}, EVERYTHING)
    if call in {"start", "connect"} and act != DROP:
        assert error is not None
    if error is not None:
        sentence(error)


@given(PLANS, st.sampled_from([EVERYTHING, OWN, CORE_BLUETOOTH]))
def test_whatever_goes_wrong_anywhere_nothing_of_bleaks_gets_out(plan: dict[str, list[Any]], system: System) -> None:
    error = comes_to(plan, system)
    if error is not None:
        sentence(error)


def test_a_session_in_which_nothing_goes_wrong_is_good() -> None:
    assert comes_to({}, EVERYTHING) is None


@pytest.mark.looptime
async def test_a_bug_of_ours_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Stage().radio().connect(ADDRESS, within_s=5):
            raise ZeroDivisionError


# ---------------------------------------------------------------- the system's Bluetooth


@pytest.fixture(params=["unix:path=/nonexistent", "nonsense"])
def no_bluetooth(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Linux without the bus over which BlueZ is spoken to."""
    if sys.platform != "linux":
        pytest.skip("only BlueZ is reached over D-Bus")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", request.param)


@pytest.mark.usefixtures("no_bluetooth")
async def test_a_system_without_bluetooth_is_said_by_a_scan() -> None:
    async with asyncio.timeout(PROMPT_S), aclosing(BleakRadio().scan(within_s=1)) as adverts:
        with pytest.raises(AdapterError, match="Bluetooth cannot be used"):
            await anext(adverts)


@pytest.mark.usefixtures("no_bluetooth")
async def test_a_system_without_bluetooth_is_said_by_a_connect() -> None:
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(AdapterError, match="Bluetooth cannot be used"):
            async with BleakRadio().connect(ADDRESS, within_s=1):
                pytest.fail("there was no Bluetooth")


async def test_a_scan_from_the_command_line_says_it_in_one_sentence(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only BlueZ is reached over D-Bus")
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")}
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ble_ota",
        "scan",
        env=os.environ | homes | {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await run.communicate()
    assert (run.returncode, out) == (34, b"")
    assert err.startswith(b"error: Bluetooth cannot be used: ")
    assert b"Traceback" not in err


# ---------------------------------------------------------------- over real packets


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with over_bumble(247) as made:
        yield made


async def test_a_flood_of_notifications_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bleak_link, "INBOX_MAX", 50)
    async with rig.radio.connect(contract.ADDRESS, within_s=PROMPT_S) as link:
        await link.subscribe(handle(link, NEWS))
        news = handle(link, NEWS)
        for number in range(200):
            rig.subject.carrier.send(NEWS, bytes((number,)))
        rig.subject.carrier.disconnect()  # comes after them
        async with asyncio.timeout(PROMPT_S):
            await rig.subject.down.wait()
        words = await all_words(link, news)
    assert words == [bytes((number,)) for number in range(50)]


async def all_words(link: Any, char: int) -> list[bytes]:
    words: list[bytes] = []
    try:
        while True:
            words.append((await link.notification((char,))).data)
    except LinkLostError:
        return words


async def test_a_disconnect_that_is_never_confirmed_does_not_hold_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bleak_radio, "DISCONNECT_S", 0.05)

    async with switched_on(Subject(contract.ADDRESS)) as waves:
        host = device_on(waves, "host", HOST_ADDRESS)
        await host.power_on()
        scanner, client = backends(host)

        class Stubborn(client):  # type: ignore[misc, valid-type]
            async def disconnect(self) -> None:
                await asyncio.Event().wait()

        assert issubclass(Stubborn, BumbleClient)
        assert issubclass(Stubborn, BaseBleakClient)
        async with asyncio.timeout(PROMPT_S):
            async with BleakRadio(scanner=scanner, client=Stubborn).connect(contract.ADDRESS, within_s=PROMPT_S):
                pass

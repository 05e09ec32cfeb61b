from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ble_ota.errors import AdapterError, LinkLostError
from ble_ota.gatt.bleak_bus import AGENT, AGENT_PATH, BUS, CAPABILITY, MEMBER, Bus, answer, ended
from ble_ota.gatt.bleak_call import Lost
from ble_ota.gatt.bleak_systems import System
from tests.gatt.contract import PROMPT_S
from tests.gatt.scripted import ADDRESS, CHAR, HANG, ScriptedClient, Stage

if sys.platform != "linux":
    pytest.skip("bleak brings dbus-fast on Linux only", allow_module_level=True)

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

SERVICE, DEVICE = "org.bluez", "/org/bluez/hci0/dev_C0"
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"""


def signal(*body: str, member: str = MEMBER, sender: str = BUS) -> Message:
    made = Message(
        None, "/org/freedesktop/DBus", BUS, member, MessageType.SIGNAL, signature="s" * len(body), body=[*body]
    )
    made.sender = sender
    return made


@pytest.mark.parametrize(
    ("message", "over"),
    [
        (signal(SERVICE, ":1.5", ""), True),
        (signal(SERVICE, "", ":1.6"), False),  # it came
        (signal(SERVICE, ":1.5", ":1.6"), False),  # it was replaced; its links are told by the old one
        (signal("org.other", ":1.5", ""), False),
        (signal(SERVICE, ":1.5", "", member="NameLost"), False),
        (signal(SERVICE, ":1.5", "", sender=":1.9"), False),  # anybody can send anything
        (signal(SERVICE), False),
    ],
)
def test_a_service_has_ended_when_the_bus_says_that_nobody_owns_its_name(message: Message, over: bool) -> None:
    assert ended(message, SERVICE) is over


def call(member: str, *body: str, interface: str = AGENT, kind: MessageType = MessageType.METHOD_CALL) -> Message:
    given = "o" if len(body) == 1 else "ou"
    made = Message(None, AGENT_PATH, interface, member, kind, signature=given if body else "", body=[*body])
    made.sender, made.serial = ":1.5", 7
    return made


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (call("RequestAuthorization", DEVICE), MessageType.METHOD_RETURN),
        (call("RequestConfirmation", DEVICE, 123456), MessageType.METHOD_RETURN),  # type: ignore[arg-type]
        (call("RequestAuthorization", "/org/bluez/hci0/dev_D0"), MessageType.ERROR),  # whoever it is, it is not ours
        (call("RequestAuthorization"), MessageType.ERROR),
        (call("RequestPasskey", DEVICE), MessageType.ERROR),  # a number that somebody would have to read
        (call("RequestPinCode", DEVICE), MessageType.ERROR),
        (call("AuthorizeService", DEVICE), MessageType.ERROR),
        (call("Release"), MessageType.METHOD_RETURN),
        (call("Cancel"), MessageType.METHOD_RETURN),
        (call("RequestAuthorization", DEVICE, interface="org.bluez.Other1"), None),
        (call("RequestAuthorization", DEVICE, kind=MessageType.SIGNAL), None),
    ],
)
def test_an_agent_agrees_for_the_devices_of_our_links_alone(message: Message, says: MessageType | None) -> None:
    said = answer(message, {DEVICE})
    assert (said.message_type if said is not None else None) is says


def lost() -> Lost:
    return asyncio.get_running_loop().create_future()


async def test_a_system_without_a_bus_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    with pytest.raises(FileNotFoundError):
        await Bus(SERVICE, DEVICE, lost()).begin()


@pytest.fixture
async def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A system bus of our own."""
    daemon = shutil.which("dbus-daemon")
    if daemon is None:
        pytest.skip("there is no dbus-daemon here")
    config = tmp_path / "bus.conf"
    config.write_text(CONFIG.format(path=tmp_path / "bus"))
    run = await asyncio.create_subprocess_exec(
        daemon, f"--config-file={config}", "--nofork", "--print-address=1", stdout=asyncio.subprocess.PIPE
    )
    assert run.stdout is not None
    await run.stdout.readline()  # it listens
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'bus'}")
    yield
    run.terminate()
    await run.communicate()


class Daemon:
    """What BlueZ is to us: it takes agents, knows a device, and asks the first agent when one wants to pair."""

    def __init__(self) -> None:
        self.agents: list[tuple[str, str, str]] = []
        self.properties = {"Paired": False}

    async def start(self) -> Daemon:
        self.bus: Any = await MessageBus(bus_type=BusType.SYSTEM).connect()
        self.bus.add_message_handler(self._asked)
        await self.bus.request_name(SERVICE)
        return self

    def die(self) -> None:
        self.bus.disconnect()

    def _asked(self, message: Message) -> Message | None:
        if message.member == "RegisterAgent":
            self.agents.append((message.sender or "", *message.body))
            return Message.new_method_return(message)
        if message.member == "GetAll" and message.path == DEVICE:
            said = {name: Variant("b", value) for name, value in self.properties.items()}
            return Message.new_method_return(message, "a{sv}", [said])
        return None

    async def wants_to_pair(self, device: str) -> bool:
        """Ask the agent that came first; whether it agrees."""
        sender, path, _ = self.agents[0]
        said = await self.bus.call(Message(sender, path, AGENT, "RequestAuthorization", signature="o", body=[device]))
        return said.message_type is MessageType.METHOD_RETURN


@pytest.mark.usefixtures("bus")
async def test_a_service_that_dies_is_seen_at_once() -> None:
    service, gone = await Daemon().start(), lost()
    ours = Bus(SERVICE, DEVICE, gone)
    await ours.begin()
    assert not gone.done()
    service.die()
    async with asyncio.timeout(PROMPT_S):
        await gone
    ours.end()


@pytest.mark.usefixtures("bus")
async def test_who_has_left_the_bus_is_told_nothing() -> None:
    service, gone, witness = await Daemon().start(), lost(), lost()
    left, there = Bus(SERVICE, DEVICE, gone), Bus(SERVICE, DEVICE, witness)
    await left.begin()
    left.end()
    await there.begin()
    service.die()
    async with asyncio.timeout(PROMPT_S):
        await witness
    assert not gone.done()
    there.end()


@pytest.mark.usefixtures("bus")
async def test_the_device_of_a_link_may_pair_while_the_link_stands_and_nobody_else() -> None:
    service = await Daemon().start()
    first, second = Bus(SERVICE, DEVICE, lost()), Bus(SERVICE, f"{DEVICE}_2", lost())
    await first.begin()
    await second.begin()
    assert [agent[1:] for agent in service.agents] == [(AGENT_PATH, CAPABILITY)] * 2
    assert await service.wants_to_pair(DEVICE)
    assert await service.wants_to_pair(f"{DEVICE}_2")  # the first agent is asked for the second's device, too
    assert not await service.wants_to_pair("/org/bluez/hci0/dev_D0")
    second.end()
    assert not await service.wants_to_pair(f"{DEVICE}_2")
    first.end()


@pytest.mark.usefixtures("bus")
async def test_what_the_service_says_of_a_device_now_is_told() -> None:
    service, ours = await Daemon().start(), Bus(SERVICE, DEVICE, lost())
    await ours.begin()
    service.properties["Paired"] = True
    assert await ours.properties() == {"Paired": True}
    ours.end()


@pytest.mark.usefixtures("bus")
async def test_of_a_device_that_the_service_does_not_know_nothing_is_told() -> None:
    ours = Bus(SERVICE, DEVICE, lost())
    await ours.begin()  # nobody is there to be asked
    assert await ours.properties() == {}
    ours.end()


# ---------------------------------------------------------------- as a link uses it

ON_BUS = System("on a bus", service=SERVICE, keeps_services=True)
STRANGER = {"path": DEVICE, "props": {"Paired": False}}


@pytest.mark.usefixtures("bus")
async def test_a_link_whose_service_dies_is_lost_at_once() -> None:
    service = await Daemon().start()
    async with Stage().radio(ON_BUS).connect(ADDRESS, within_s=5) as link:
        waiting = asyncio.ensure_future(link.notification((CHAR,)))
        service.die()
        async with asyncio.timeout(PROMPT_S):
            with pytest.raises(LinkLostError, match="while waiting for the device"):
                await waiting


@pytest.mark.usefixtures("bus")
async def test_a_device_may_pair_as_soon_as_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    service, agreed = await Daemon().start(), list[bool]()
    whole = ScriptedClient.connect

    async def connect(self: ScriptedClient, pair: bool, **given: Any) -> None:
        agreed.append(await service.wants_to_pair(DEVICE))
        await whole(self, pair, **given)

    monkeypatch.setattr(ScriptedClient, "connect", connect)
    async with Stage(details=STRANGER).radio(ON_BUS).connect(ADDRESS, within_s=5):
        pass
    assert agreed == [True]


@pytest.mark.usefixtures("bus")
@pytest.mark.parametrize("paired", [True, False])
async def test_a_device_that_the_system_has_paired_meanwhile_is_not_forgotten(paired: bool) -> None:
    service, stage = await Daemon().start(), Stage(details=STRANGER)
    async with stage.radio(ON_BUS).connect(ADDRESS, within_s=5):
        service.properties["Paired"] = paired
    assert ("unpair" in stage.calls) is not paired


@pytest.mark.usefixtures("bus")
async def test_a_link_that_was_left_is_off_the_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[str] = []
    monkeypatch.setattr(MessageBus, "disconnect", _counting(MessageBus.disconnect, ends))
    async with Stage().radio(ON_BUS).connect(ADDRESS, within_s=5):
        assert ends == []
    assert ends == ["end"]


@pytest.mark.usefixtures("bus")
async def test_who_is_cancelled_while_leaving_is_off_the_bus_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[str] = []
    monkeypatch.setattr(MessageBus, "disconnect", _counting(MessageBus.disconnect, ends))
    stage = Stage().will("disconnect", HANG)

    async def leave() -> None:
        async with stage.radio(ON_BUS).connect(ADDRESS, within_s=5):
            pass

    leaving = asyncio.ensure_future(leave())
    async with asyncio.timeout(PROMPT_S):
        while "disconnect" not in stage.calls:
            await asyncio.wait({leaving}, timeout=0.01)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert ends == ["end"]


@pytest.mark.usefixtures("bus")
async def test_a_connect_that_fails_is_off_the_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[str] = []
    monkeypatch.setattr(MessageBus, "disconnect", _counting(MessageBus.disconnect, ends))
    stage = Stage().will("connect", PermissionError(13, "no"))
    with pytest.raises(AdapterError):
        async with stage.radio(ON_BUS).connect(ADDRESS, within_s=5):
            pytest.fail("nobody was connected")
    assert ends == ["end"]


def _counting(whole: Any, ends: list[str]) -> Any:
    def disconnect(bus: MessageBus) -> None:
        ends.append("end")
        whole(bus)

    return disconnect


async def test_without_a_bus_the_link_stands_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    async with Stage().radio(ON_BUS).connect(ADDRESS, within_s=5) as link:
        assert await link.read(CHAR) == b"read"

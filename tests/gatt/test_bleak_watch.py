from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ble_ota.errors import LinkLostError
from ble_ota.gatt.bleak_systems import System
from ble_ota.gatt.bleak_watch import BUS, MEMBER, ended, watch
from tests.gatt.contract import PROMPT_S
from tests.gatt.scripted import ADDRESS, CHAR, Stage

if sys.platform != "linux":
    pytest.skip("bleak brings dbus-fast on Linux only", allow_module_level=True)

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

SERVICE = "org.bluez"
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


async def test_a_system_without_a_bus_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    with pytest.raises(FileNotFoundError):
        await watch(SERVICE, asyncio.get_running_loop().create_future())


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


async def owner() -> Any:
    made = await MessageBus(bus_type=BusType.SYSTEM).connect()
    await made.request_name(SERVICE)
    return made


@pytest.mark.usefixtures("bus")
async def test_a_service_that_dies_is_seen_at_once() -> None:
    service, lost = await owner(), asyncio.get_running_loop().create_future()
    end = await watch(SERVICE, lost)
    assert not lost.done()
    service.disconnect()
    async with asyncio.timeout(PROMPT_S):
        await lost
    end()


@pytest.mark.usefixtures("bus")
async def test_who_has_ended_the_watch_is_told_nothing() -> None:
    service, lost = await owner(), asyncio.get_running_loop().create_future()
    (await watch(SERVICE, lost))()
    witness = asyncio.get_running_loop().create_future()
    end = await watch(SERVICE, witness)
    service.disconnect()
    async with asyncio.timeout(PROMPT_S):
        await witness
    assert not lost.done()
    end()


# ---------------------------------------------------------------- as a link uses it

WATCHED = System("watched", service=SERVICE)


@pytest.mark.usefixtures("bus")
async def test_a_link_whose_service_dies_is_lost_at_once() -> None:
    service = await owner()
    async with Stage().radio(WATCHED).connect(ADDRESS, within_s=5) as link:
        waiting = asyncio.ensure_future(link.notification((CHAR,)))
        service.disconnect()
        async with asyncio.timeout(PROMPT_S):
            with pytest.raises(LinkLostError, match="while waiting for the device"):
                await waiting


@pytest.mark.usefixtures("bus")
async def test_a_link_that_was_left_watches_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[str] = []
    monkeypatch.setattr(MessageBus, "disconnect", _counting(MessageBus.disconnect, ends))
    async with Stage().radio(WATCHED).connect(ADDRESS, within_s=5):
        assert ends == []
    assert ends == ["end"]


def _counting(whole: Any, ends: list[str]) -> Any:
    def disconnect(bus: MessageBus) -> None:
        ends.append("end")
        whole(bus)

    return disconnect


async def test_without_a_bus_to_watch_the_link_stands_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    async with Stage().radio(WATCHED).connect(ADDRESS, within_s=5) as link:
        assert await link.read(CHAR) == b"read"

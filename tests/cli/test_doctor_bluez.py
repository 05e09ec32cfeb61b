"""Over a real, private D-Bus where there is a dbus-daemon; BlueZ is played."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli.doctor_bluez import ADAPTERS_MAX, INTERFACE, adapters_at, read
from ble_ota.cli.doctor_system import Adapter, Trouble

dbus_fast = pytest.importorskip("dbus_fast", reason="dbus-fast is there on Linux only")

from dbus_fast import Message, Variant  # noqa: E402
from dbus_fast.aio import MessageBus  # noqa: E402

DAEMON = shutil.which("dbus-daemon")
needs_daemon = pytest.mark.skipif(DAEMON is None, reason="SKIPPED: there is no dbus-daemon on this machine")
FORBIDDEN = '<deny send_destination="org.bluez"/>'
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path={socket}</listen><auth>EXTERNAL</auth><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>{rule}</policy></busconfig>
"""
HCI0 = {
    INTERFACE: {
        "Address": Variant("s", "00:1A:7D:DA:71:13"),
        "Powered": Variant("b", True),
        "Discovering": Variant("b", False),
        "Roles": Variant("as", ["central", "peripheral"]),
    }
}


@asynccontextmanager
async def bus(folder: Path, *, rule: str = "") -> AsyncGenerator[str, None]:
    """A D-Bus of one's own; gives its address."""
    file, socket = folder / "bus.conf", folder / "bus.socket"
    file.write_text(CONFIGURATION.format(socket=socket, rule=rule))
    process = await asyncio.create_subprocess_exec(
        str(DAEMON), f"--config-file={file}", "--nofork", "--print-address", stdout=PIPE, stderr=DEVNULL
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(10):
            yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def bluez(address: str, objects: dict[str, Any] | None, *, refuses: str = "") -> AsyncGenerator[None, None]:
    """Who is called org.bluez there, and has these objects; None: who says nothing."""
    service = await MessageBus(bus_address=address).connect()

    def answer(asked: Message) -> Message | bool | None:
        if asked.member != "GetManagedObjects":
            return None
        if refuses:
            return Message.new_error(asked, refuses, "no")
        return True if objects is None else Message.new_method_return(asked, "a{oa{sa{sv}}}", [objects])

    service.add_message_handler(answer)
    await service.request_name("org.bluez")
    try:
        yield
    finally:
        service.disconnect()
        await service.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast's


@needs_daemon
async def test_an_adapter_is_read(tmp_path: Path) -> None:
    async with bus(tmp_path) as address, bluez(address, {"/org/bluez/hci0": HCI0, "/org/bluez": {}}):
        assert await adapters_at(address) == (Adapter("hci0", "00:1A:7D:DA:71:13", powered=True),)


@needs_daemon
async def test_nobody_called_bluez_is_no_service(tmp_path: Path) -> None:
    async with bus(tmp_path) as address:
        assert await adapters_at(address) is Trouble.NO_SERVICE


@needs_daemon
async def test_a_policy_that_forbids_it_is_told(tmp_path: Path) -> None:
    async with bus(tmp_path, rule=FORBIDDEN) as address, bluez(address, {}):
        assert await adapters_at(address) is Trouble.DENIED


@needs_daemon
async def test_a_bluetoothd_that_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor_bluez.ASK_S", 0.2)
    async with bus(tmp_path) as address, bluez(address, None):
        assert await adapters_at(address) is Trouble.SILENT


@needs_daemon
@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("org.freedesktop.DBus.Error.AccessDenied", Trouble.DENIED),
        ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", Trouble.DENIED),
        ("org.freedesktop.PolicyKit1.Error.NotAuthorized", Trouble.DENIED),
        ("org.freedesktop.DBus.Error.Spawn.ChildExited", Trouble.NO_SERVICE),
        ("org.freedesktop.systemd1.LoadFailed", Trouble.ODD),
    ],
)
async def test_a_refusal_is_told_by_its_name(tmp_path: Path, name: str, trouble: Trouble) -> None:
    async with bus(tmp_path) as address, bluez(address, {}, refuses=name):
        assert await adapters_at(address) is trouble


async def test_no_socket_is_no_bus(tmp_path: Path) -> None:
    assert await adapters_at(f"unix:path={tmp_path}/nobody") is Trouble.NO_BUS


@pytest.mark.parametrize("address", ["", "nonsense", "tcp:host=127.0.0.1,port=x"])
async def test_an_address_that_is_none_is_a_trouble(address: str) -> None:
    assert await adapters_at(address) in (Trouble.NO_BUS, Trouble.ODD)


@asynccontextmanager
async def something_else(path: Path, says: bytes | None) -> AsyncGenerator[str, None]:
    """A socket behind which no D-Bus is."""
    over = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if says is None:
            await over.wait()
        else:
            writer.write(says)
            await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield f"unix:path={path}"
        over.set()


@pytest.mark.parametrize("says", [b"", b"REJECTED EXTERNAL\r\n", b"\xff\xfe\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_what_is_no_bus_is_a_trouble(tmp_path: Path, says: bytes) -> None:
    async with something_else(tmp_path / "s", says) as address:
        assert isinstance(await adapters_at(address), Trouble)


async def test_a_socket_behind_which_nobody_speaks_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor_bluez.ASK_S", 0.1)
    async with something_else(tmp_path / "s", None) as address:
        assert await adapters_at(address) is Trouble.SILENT


@needs_daemon
async def test_the_way_to_the_bus_is_not_left_open(tmp_path: Path) -> None:
    question = Message(
        destination="org.freedesktop.DBus", path="/", interface="org.freedesktop.DBus", member="ListNames"
    )
    async with bus(tmp_path) as address, bluez(address, {}):
        await adapters_at(address)
        asker = await MessageBus(bus_address=address).connect()
        left = 3
        async with asyncio.timeout(5):
            while left != 2:  # BlueZ, and who asks; the daemon may see the end of the third a moment later
                answer = await asker.call(question)
                left = sum(name.startswith(":") for name in answer.body[0])
        asker.disconnect()
        await asker.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast's


# ------------------------------------------------------------------ what is read


def said(**properties: object) -> tuple[Adapter, ...] | Trouble:
    return read({"/org/bluez/hci0": {INTERFACE: properties}})


def test_an_adapter_without_roles_is_taken_to_have_them() -> None:
    assert said() == (Adapter("hci0", central=True),)


def test_an_adapter_without_the_role_of_a_central_is_told() -> None:
    assert said(Roles=["peripheral"]) == (Adapter("hci0", central=False),)


def test_who_scans_is_told() -> None:
    assert said(Discovering=True) == (Adapter("hci0", discovering=True),)


def test_what_is_no_adapter_is_left_out() -> None:
    assert read({"/org/bluez/hci0/dev_1": {"org.bluez.Device1": {}}, "/x": None, "/y": {INTERFACE: 7}}) == ()


def test_an_answer_that_is_no_table_makes_no_sense() -> None:
    assert read(["hci0"]) is Trouble.ODD


def test_text_of_an_adapter_is_bounded_and_clean() -> None:
    (found,) = read({"/org/bluez/" + "h" * 99: {INTERFACE: {"Address": "\x1b[31m" + "0" * 99}}})  # type: ignore[misc]
    assert isinstance(found, Adapter)
    assert (len(found.name), len(found.address), "\x1b" in found.address) == (16, 16, False)


def test_a_hundred_adapters_are_not_all_told() -> None:
    found = read({f"/org/bluez/hci{n}": {INTERFACE: {"Powered": True}} for n in range(100)})
    assert isinstance(found, tuple)
    assert len(found) == ADAPTERS_MAX

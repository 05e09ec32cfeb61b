"""Asking BlueZ over D-Bus what adapters there are. dbus-fast comes with bleak, on Linux only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from ble_ota.cli.doctor_system import Adapter, Trouble
from ble_ota.text import clean

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus

ASK_S = 5.0  # our choice: systemd starts bluetoothd when it is asked for, and that takes a moment
ADAPTERS_MAX = 16  # shown; HCI knows no bound, a machine has one or two
INTERFACE = "org.bluez.Adapter1"

# D-Bus Specification, "Standard D-Bus errors", and what polkit answers.
_DENIED = ("AccessDenied", "AuthFailed", "InteractiveAuthorizationRequired", "NotAuthorized")
_NO_SERVICE = ("ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected")


async def adapters_at(bus: str) -> tuple[Adapter, ...] | Trouble:
    """Ask `org.bluez` on the bus at D-Bus address `bus`; takes `ASK_S` at the most, and raises nothing of D-Bus's."""
    try:
        from dbus_fast import AuthError
        from dbus_fast.aio import MessageBus
        from dbus_fast.errors import DBusFastError
    except ImportError:
        return Trouble.NO_BUS
    opened: MessageBus | None = None
    try:
        opened = MessageBus(bus_address=bus)
        async with asyncio.timeout(ASK_S):
            await opened.connect()
            return await _asked(opened)
    except TimeoutError:
        return Trouble.SILENT
    except (AuthError, PermissionError):
        return Trouble.DENIED
    except (OSError, EOFError):
        return Trouble.NO_BUS
    except (DBusFastError, ValueError):  # an address, or a line, that is none
        return Trouble.ODD
    finally:
        if opened is not None:
            opened.disconnect()


async def _asked(bus: MessageBus) -> tuple[Adapter, ...] | Trouble:
    from dbus_fast import Message, MessageType

    question = Message(
        destination="org.bluez",
        path="/",
        interface="org.freedesktop.DBus.ObjectManager",
        member="GetManagedObjects",
    )
    answer = await bus.call(question)
    if answer.message_type is MessageType.ERROR:
        return _refused(str(answer.error_name))
    return read(answer.body[0] if answer.body else None)


def _refused(name: str) -> Trouble:
    last = name.rpartition(".")[2]
    if last in _DENIED:
        return Trouble.DENIED
    return Trouble.NO_SERVICE if last in _NO_SERVICE or "Spawn" in name else Trouble.ODD


def read(objects: object) -> tuple[Adapter, ...] | Trouble:
    """Read what `GetManagedObjects` gave: paths to interfaces to properties."""
    if not isinstance(objects, Mapping):
        return Trouble.ODD
    found: list[Adapter] = []
    for path, interfaces in sorted(cast("Mapping[str, Any]", objects).items()):
        with suppress(AttributeError, KeyError, TypeError):  # whatever else there is, is no adapter
            plain = {str(k): getattr(v, "value", v) for k, v in interfaces[INTERFACE].items()}
            found.append(_adapter(path, plain))
    return tuple(found[:ADAPTERS_MAX])


def _adapter(path: str, said: Mapping[str, Any]) -> Adapter:
    roles = said.get("Roles")
    return Adapter(
        clean(path.rpartition("/")[2], most=16),
        clean(str(said.get("Address", "")), most=17),
        said.get("Powered") is True,
        said.get("Discovering") is True,
        not isinstance(roles, list) or "central" in roles,
    )

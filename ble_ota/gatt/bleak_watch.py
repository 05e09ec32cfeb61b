"""Seeing at once that the system's Bluetooth service has died, and every link with it.

BlueZ tells of a link's end by a signal of its own, and bleak waits for that; a bluetoothd that was killed sends none.
The bus knows: a name that loses its owner is announced by the bus itself (D-Bus specification, `NameOwnerChanged`).
dbus-fast comes with bleak where there is BlueZ, and is loaded nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ble_ota.gatt.bleak_call import Lost

if TYPE_CHECKING:
    from dbus_fast import Message

BUS, MEMBER = "org.freedesktop.DBus", "NameOwnerChanged"


async def watch(service: str, lost: Lost) -> Callable[[], None]:
    """Set `lost` once nobody owns the name `service` on the system's bus any more; call what is given back to end it.

    Raises:
        Exception: Whatever dbus-fast raises where there is no such bus.
    """
    from dbus_fast import BusType, Message
    from dbus_fast.aio import MessageBus

    def hear(message: Message) -> None:
        if ended(message, service) and not lost.done():
            lost.set_result(None)

    bus = MessageBus(bus_type=BusType.SYSTEM)
    try:
        await bus.connect()
        bus.add_message_handler(hear)
        rule = f"type='signal',sender='{BUS}',interface='{BUS}',member='{MEMBER}',arg0='{service}'"
        await bus.call(Message(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", signature="s", body=[rule]))
    except BaseException:
        bus.disconnect()
        raise

    def end() -> None:
        with suppress(OSError, EOFError):
            bus.disconnect()

    return end


def ended(message: Message, service: str) -> bool:
    """Whether the bus says that nobody owns the name `service` any more: name, old owner, new owner."""
    if (message.interface, message.member, message.sender) != (BUS, MEMBER, BUS):
        return False
    return [*message.body[:1], *message.body[2:]] == [service, ""]

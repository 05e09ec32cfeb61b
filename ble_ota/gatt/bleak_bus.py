"""What bleak leaves out between us and the system's Bluetooth service, over a bus connection of a link's own.

Whether the service lives: BlueZ tells of a link's end by a signal, and bleak waits for that; a bluetoothd that was
killed sends none. The bus knows: it announces itself when a name loses its owner (D-Bus, `NameOwnerChanged`).

Who agrees to a pairing: BlueZ pairs by itself when a device wants it, but asks an *agent* first; without one it says
no, and what the device was asked hangs for 30 s. Desktops have an agent, with a dialog; a station, or a session over
SSH, has none. So each link brings one. BlueZ takes it only where there is no other, since it does not ask to be the
default; and it agrees for the devices of this program's links alone: nobody else is to pair with this computer
meanwhile.

Whether the system remembers a device *now*: what a scan told is from before the link, and a link may have paired.

dbus-fast comes with bleak where there is BlueZ, and is loaded nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ble_ota.gatt.bleak_call import Lost

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

BUS, MEMBER = "org.freedesktop.DBus", "NameOwnerChanged"
AGENT, AGENT_PATH = "org.bluez.Agent1", "/ble_ota/agent"
CAPABILITY = "NoInputNoOutput"  # BlueZ doc/org.bluez.AgentManager.rst: what can be agreed to without a person
AGREES = frozenset({"RequestAuthorization", "RequestConfirmation"})
"""Calls of `org.bluez.Agent1` that want a yes; what wants a number from a person is refused."""

_ours: set[str] = set()
"""Object paths of the devices of all links of this program: BlueZ asks its first agent, whosever link it is about."""


class Bus:
    """One link's connection to the system's bus.

    Args:
        service: Who holds the links, by name.
        device: Object path of the link's device there.
        lost: Done by this once nobody owns the name any more.
    """

    def __init__(self, service: str, device: str, lost: Lost) -> None:
        self._service = service
        self._device = device
        self._lost = lost
        self._bus: MessageBus | None = None

    async def begin(self) -> None:
        """Watch, and be an agent.

        Raises:
            Exception: Whatever dbus-fast raises where there is no such bus.
        """
        from dbus_fast import BusType
        from dbus_fast.aio import MessageBus

        self._bus = MessageBus(bus_type=BusType.SYSTEM)
        _ours.add(self._device)
        try:
            await self._bus.connect()
            self._bus.add_message_handler(self._hear)
            rule = f"type='signal',sender='{BUS}',interface='{BUS}',member='{MEMBER}',arg0='{self._service}'"
            await self._call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", "s", rule)
            given = "os", AGENT_PATH, CAPABILITY
            await self._call(self._service, "/org/bluez", "org.bluez.AgentManager1", "RegisterAgent", *given)
        except BaseException:
            self.end()
            raise

    async def properties(self) -> Mapping[str, Any]:
        """What the service says of the device at this moment; nothing where it does not know it.

        Raises:
            Exception: Whatever dbus-fast raises when the bus has gone.
        """
        given = "s", "org.bluez.Device1"
        said = await self._call(self._service, self._device, "org.freedesktop.DBus.Properties", "GetAll", *given)
        return {name: value.value for name, value in said.body[0].items()} if said is not None else {}

    def end(self) -> None:
        """Watch no more, and be no agent."""
        _ours.discard(self._device)
        if self._bus is not None:
            with suppress(OSError, EOFError):
                self._bus.disconnect()

    async def _call(
        self, to: str, path: str, interface: str, member: str, signature: str, *body: str
    ) -> Message | None:
        """Ask somebody on the bus; None if it is an error that comes back."""
        from dbus_fast import Message, MessageType

        assert self._bus is not None  # noqa: S101 -- `begin` has come first
        said = await self._bus.call(Message(to, path, interface, member, signature=signature, body=[*body]))
        return said if said.message_type is MessageType.METHOD_RETURN else None

    def _hear(self, message: Message) -> Message | None:
        if ended(message, self._service) and not self._lost.done():
            self._lost.set_result(None)
        return answer(message, _ours)


def ended(message: Message, service: str) -> bool:
    """Whether the bus says that nobody owns the name `service` any more: name, old owner, new owner."""
    if (message.interface, message.member, message.sender) != (BUS, MEMBER, BUS):
        return False
    return [*message.body[:1], *message.body[2:]] == [service, ""]


def answer(message: Message, ours: Collection[str]) -> Message | None:
    """What an agent says to `message`: yes for `ours`, no to everybody else; None where it is not asked."""
    from dbus_fast import Message, MessageType

    if message.message_type is not MessageType.METHOD_CALL or message.interface != AGENT:
        return None
    if message.member in ("Release", "Cancel"):  # told, not asked
        return Message.new_method_return(message)
    if message.member in AGREES and message.body[:1] and message.body[0] in ours:
        return Message.new_method_return(message)
    return Message.new_error(message, "org.bluez.Error.Rejected", "not by this program")

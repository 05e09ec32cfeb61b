"""A peer that stands in a QuecThing device's place and does not have its key: it says what needs none."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ble_ota.virtual.peripheral import Carrier, VirtualService
from ble_ota.virtual.peripherals.quecthing import advert, login, ttlv, words
from ble_ota.virtual.peripherals.quecthing.frame import Decoder, Frame, pack
from ble_ota.virtual.peripherals.quecthing.habits import Habits
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields
from ble_ota.virtual.world import World, WorldDevice

Answer: TypeAlias = Literal["silent", "empty", "clear", "garbled"]
"""How it answers where the device would encrypt: not at all, with no payload, in clear, or with 16 bytes of noise."""

HABITS = Habits(firmware_revision=True)
RANDOM = b"A" * 16


class Impostor:
    """Advertises as the device does, takes any login, and claims a version."""

    def __init__(
        self,
        world: World,
        device: WorldDevice,
        *,
        claims: str,
        answers: Answer = "empty",
        refuses: int | None = None,
        address: str = "",
    ) -> None:
        """Make it, switched off.

        Args:
            world: Of the device that it stands in for.
            device: That device.
            claims: The version that it tells by 0x2A26, and by 0x7041 where it answers that in clear.
            answers: How it answers 0x7040 and the announcement of a file.
            refuses: Action of its answer to an announcement in clear: 1 decline, 5 cancel, 7 failure.
            address: Its own Bluetooth address; "" for that of the device.
        """
        self.heard: list[int] = []
        """Commands that came, in order."""
        self._world = world
        self._device = device
        self._claims = claims
        self._answers = answers
        self._refuses = refuses
        self._address = address or device.address
        self._decoder = Decoder()
        self._carrier: Carrier | None = None

    @property
    def address(self) -> str:
        """Return its Bluetooth address."""
        return self._address

    @property
    def services(self) -> tuple[VirtualService, ...]:
        """Return its GATT table."""
        return advert.services(HABITS)

    def attach(self, carrier: Carrier) -> None:
        """Power on."""
        self._carrier = carrier
        carrier.advertise(advert.advertisement(self._world, self._device, HABITS))

    def power_off(self) -> None:
        """Go off the air; the link drops."""
        if self._carrier is not None:
            self._carrier.advertise(None)
            self._carrier.disconnect()

    def connected(self) -> None:
        """Begin a link."""
        self._decoder.reset()

    def disconnected(self) -> None:
        """End a link."""

    def read(self, _uuid: str) -> bytes:
        """Return the version that it claims."""
        return self._claims.encode()

    def written(self, uuid: str, value: bytes) -> None:
        """Answer each frame."""
        for frame in self._decoder.feed(value) if uuid == advert.PROTOCOL else ():
            self.heard.append(frame.command)
            match frame.command:
                case login.ASK_RANDOM:
                    self._say(Frame(frame.packet_id, login.TELL_RANDOM, ttlv.pack({login.RANDOM: RANDOM})))
                case login.ASK_LOGIN:
                    self._say(Frame(frame.packet_id, login.TELL_LOGIN, ttlv.pack({login.RESULT: login.WELCOME})))
                case words.ASK_VERSION:
                    self._answer(frame.packet_id, words.TELL_VERSION, {words.VERSION: self._claims.encode()})
                case words.NOTIFICATION:
                    self._announced()
                case _:
                    pass

    def _announced(self) -> None:
        if self._refuses is not None:
            self._say(Frame(1, words.CONTROL, ttlv.pack({words.ACTION: self._refuses})))
        else:
            self._answer(1, words.CONTROL, {words.ACTION: words.RECEIVE, words.CHUNK: 200})

    def _answer(self, packet_id: int, command: int, fields: Fields) -> None:
        payload = {"empty": b"", "clear": ttlv.pack(fields), "garbled": bytes(16)}.get(self._answers)
        if payload is not None:
            self._say(Frame(packet_id, command, payload))

    def _say(self, frame: Frame) -> None:
        if self._carrier is not None:
            data, room = pack(frame), self._carrier.max_value
            for at in range(0, len(data), room):
                self._carrier.send(advert.PROTOCOL, data[at : at + room])

"""The QuecThing peripheral: what listens on 0x9C40, and reboots."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from ble_ota.virtual.peripheral import Carrier, VirtualService
from ble_ota.virtual.peripherals.quecthing import advert, login, ttlv
from ble_ota.virtual.peripherals.quecthing.body import Stats
from ble_ota.virtual.peripherals.quecthing.boot import Boot
from ble_ota.virtual.peripherals.quecthing.flash import Flash, PowerCutError
from ble_ota.virtual.peripherals.quecthing.frame import Decoder, Frame, pack
from ble_ota.virtual.peripherals.quecthing.habits import Habits
from ble_ota.virtual.peripherals.quecthing.login import Login
from ble_ota.virtual.peripherals.quecthing.offer import main
from ble_ota.virtual.peripherals.quecthing.receive import TRANSFER, Receiver
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields
from ble_ota.virtual.world import World, WorldDevice

ASK_VERSION, TELL_VERSION = 0x7040, 0x7041  # by name only in third-party sources
PACKET_ID_MAX = 0xFFFE
HABITS = Habits()


class QuecThing:
    """A virtual device; what it keeps lies in the world's folder, and a new object there is the same device."""

    _carrier: Carrier

    def __init__(self, world: World, device: WorldDevice, habits: Habits = HABITS) -> None:
        """Make it, switched off; `attach` switches it on, after `power_off` again."""
        self.world = world
        self.habits = habits
        """May be exchanged at any time; the GATT table and the advertisement follow at the next power-on."""
        self.stats = Stats()
        self.flash = Flash(world.home(device))
        self._device = device
        self._boot = Boot(world, self.flash)
        self._login = Login(device.binding_code, random.Random(device.device_key))
        self._decoder = Decoder()
        self._receiver = Receiver(self)
        self._awake = False  # only something that is attached is ever awake
        self._silent = False
        self._packet_id = 0
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ for tests: what is inside

    @property
    def boot(self) -> Boot:
        """Its memory: versions, staged files."""
        return self._boot

    def version(self, component_no: str) -> str:
        """The version that runs. Raises `KeyError`."""
        return self._boot.versions[component_no]

    def running(self, component_no: str) -> bytes:
        """The image that runs, all its files together; nothing before the first update. Raises `KeyError`."""
        return b"".join(self._boot.image(component_no))

    def power_off(self) -> None:
        """Take its power away: the link drops, what is not in flash is gone."""
        self._sleep()
        self.no_alarm()

    # ------------------------------------------------------------------ Peripheral

    @property
    def address(self) -> str:
        """Its Bluetooth address."""
        return self._device.address

    @property
    def services(self) -> tuple[VirtualService, ...]:
        """Its GATT table."""
        return advert.services(self.habits)

    def attach(self, carrier: Carrier) -> None:
        """Power on."""
        self._carrier = carrier
        self._boot = Boot(self.world, self.flash)
        self._guarded(self._start)

    def connected(self) -> None:
        """A link stands."""
        self._silent = False

    def disconnected(self) -> None:
        """The link is gone, and with it the login."""
        self._login.forget()
        self._decoder.reset()
        if self._awake:
            self._guarded(self._receiver.link_lost)

    def written(self, uuid: str, value: bytes) -> None:
        """Bytes of frames, cut anywhere; anything is taken."""
        if uuid == advert.PROTOCOL:
            self._guarded(lambda: self._listen(value))

    def read(self, uuid: str) -> bytes:
        """The firmware revision; nothing else can be read."""
        return self.version(main(self.world)).encode() if uuid == advert.FIRMWARE_REVISION else b""

    # ------------------------------------------------------------------ Body

    def say(self, command: int, fields: Fields, *, reply_to: int | None = None) -> int:
        """Send a frame over as many indications as it takes; returns its packet id."""
        packet_id = self._next_id() if reply_to is None else reply_to
        data = ttlv.pack(fields)
        if self._sealed(command) and (data or self.habits.pads_empty):
            data = self._login.seal(data)
        raw, room = pack(Frame(packet_id, command, data)), self._carrier.max_value
        for at in range(0, len(raw), room):
            self._carrier.send(advert.PROTOCOL, raw[at : at + room])
        return packet_id

    def log(self, text: str) -> None:
        """Say something on the log characteristic, cut to one notification."""
        self._carrier.send(advert.LOG, text.encode()[: self._carrier.max_value])

    def alarm(self, after_s: float, action: Callable[[], None]) -> None:
        """Call `action` later, in the place of what was to be called before."""
        self.no_alarm()
        self._timer = asyncio.get_running_loop().call_later(after_s, self._guarded, action)

    def no_alarm(self) -> None:
        """Call nothing later."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def fall_silent(self) -> None:
        """Neither speak nor listen on this link any more."""
        self._silent = True
        self.no_alarm()

    def restart(self) -> None:
        """Reboot: off the air, and back with what is installed by then."""
        self._sleep()
        self.alarm(self.habits.boot_s, self._start)

    # ------------------------------------------------------------------ inside

    def _start(self) -> None:
        if self.habits.boots_old:
            self._boot.drop(lambda s: s.accepted)
        else:
            self._boot.reboot()
        if not self.habits.keeps_session_over_disconnect:
            self._boot.drop(lambda s: not s.accepted)
        self._receiver = Receiver(self)
        self._awake = True
        self._carrier.advertise(advert.advertisement(self.world, self._device, self.habits))

    def _sleep(self) -> None:
        if self._awake:
            self._awake = False
            self._carrier.advertise(None)
            self._carrier.disconnect()

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do `action`, unless power fails in it."""
        try:
            action()
        except PowerCutError:
            self.power_off()

    def _listen(self, value: bytes) -> None:
        bad = self._decoder.bad
        for frame in self._decoder.feed(value):
            if self._awake and not self._silent:
                self._hear(frame)
        self.stats.frames_bad += self._decoder.bad - bad

    def _hear(self, frame: Frame) -> None:
        try:
            sealed = self._sealed(frame.command) and frame.data
            fields = ttlv.unpack(self._login.open(frame.data) if sealed else frame.data)
        except ValueError:  # wrong padding, not whole blocks, or no TTLV
            self.stats.frames_bad += 1
            return
        self.stats.frames_good += 1
        if frame.command in (login.ASK_RANDOM, login.ASK_LOGIN):
            self._admit(frame, fields)
        elif self._login.done or not self.habits.login_required:
            if frame.command == ASK_VERSION and self.habits.answers_version:
                self._tell_versions(frame)
            self._receiver.take(frame, fields)

    def _admit(self, frame: Frame, fields: Fields) -> None:
        if frame.command == login.ASK_RANDOM:
            self.say(login.TELL_RANDOM, {login.RANDOM: self._login.challenge()}, reply_to=frame.packet_id)
        else:
            proof = ttlv.binary(fields, login.PROOF) or b""
            self.say(login.TELL_LOGIN, {login.RESULT: self._login.attempt(proof)}, reply_to=frame.packet_id)

    def _tell_versions(self, frame: Frame) -> None:
        told = {c.version_id: self.version(c.no).encode() for c in self.world.components}
        self.say(TELL_VERSION, told, reply_to=frame.packet_id)

    def _sealed(self, command: int) -> bool:
        """Whether payloads of `command` are encrypted now."""
        plain = range(login.ASK_RANDOM, login.TELL_LOGIN + 1)
        if not self._login.done or command in plain:
            return False
        return self.habits.encrypt_transfer or command not in TRANSFER

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % PACKET_ID_MAX + 1
        return self._packet_id

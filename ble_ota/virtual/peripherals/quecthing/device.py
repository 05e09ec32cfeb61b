"""The QuecThing peripheral: what listens on 0x9C40, and reboots."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

from ble_ota.virtual.peripheral import Carrier, VirtualService
from ble_ota.virtual.peripherals.quecthing import advert, login, ttlv, words
from ble_ota.virtual.peripherals.quecthing.alarms import Alarms
from ble_ota.virtual.peripherals.quecthing.body import Stats
from ble_ota.virtual.peripherals.quecthing.boot import Boot
from ble_ota.virtual.peripherals.quecthing.flash import Flash, PowerCutError
from ble_ota.virtual.peripherals.quecthing.frame import Frame
from ble_ota.virtual.peripherals.quecthing.habits import Habits
from ble_ota.virtual.peripherals.quecthing.login import Login
from ble_ota.virtual.peripherals.quecthing.offer import main
from ble_ota.virtual.peripherals.quecthing.receive import Receiver
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields
from ble_ota.virtual.peripherals.quecthing.voice import Voice
from ble_ota.virtual.world import World, WorldDevice

HABITS = Habits()


class QuecThing:
    """A virtual device; what it keeps lies in the world's folder, and a new object there is the same device."""

    _powered: ClassVar[WeakValueDictionary[Path, QuecThing]] = WeakValueDictionary()
    """Which object is the device in a folder: one at a time, or two would write to one flash."""
    _carrier: Carrier

    def __init__(self, world: World, device: WorldDevice, habits: Habits = HABITS) -> None:
        """Make it, switched off; `attach` switches it on, after `power_off` or a power cut again."""
        self.world = world
        self.habits = habits
        """May be exchanged at any time; the GATT table and the advertisement follow at the next power-on."""
        self.stats = Stats()
        self.chance = random.Random(f"junk of {device.device_key}")
        self._home = world.home(device).resolve()
        self.flash = Flash(self._home)
        self._device = device
        self._boot = Boot(world, self.flash)
        self._login = Login(device.binding_code, random.Random(device.device_key))
        self._voice = Voice(self._login, self.stats)
        self._receiver = Receiver(self)
        self._alarms = Alarms(self._guarded)
        self._awake = False  # only something that is attached is ever awake
        self._linked = False
        self._silent = False

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

    def give_way(self) -> None:
        """Be the device no more: another object is. Its carrier is not told; that may be of a loop long closed."""
        self._awake = False
        self._sleep()

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
        """Power on; whatever it was about is cut off, and so is another object that was this device."""
        self._sleep()
        before = self._powered.get(self._home)
        if before is not None and before is not self:
            before.give_way()
        self._powered[self._home] = self
        self._carrier = carrier
        self._boot = Boot(self.world, self.flash)
        self._guarded(self._start)

    def connected(self) -> None:
        """A link stands."""
        self._hang_up()
        self._linked = True

    def disconnected(self) -> None:
        """The link is gone, and with it the login."""
        if self._linked:  # else it went to sleep before, and another life may have begun
            self._hang_up()
            self._guarded(self._receiver.link_lost)

    def written(self, uuid: str, value: bytes) -> None:
        """Bytes of frames, cut anywhere; anything is taken."""
        if uuid == advert.PROTOCOL and self._awake:
            self._guarded(lambda: self._listen(value))

    def read(self, uuid: str) -> bytes:
        """The firmware revision; nothing else can be read."""
        return self._told(main(self.world)) if uuid == advert.FIRMWARE_REVISION else b""

    # ------------------------------------------------------------------ Body

    @property
    def room(self) -> int:
        """Bytes one indication may carry."""
        return self._carrier.max_value

    def say(self, command: int, fields: Fields, *, reply_to: int | None = None) -> int:
        """Send a frame, if there is someone who may hear it; returns its packet id."""
        packet_id = self._voice.next_id() if reply_to is None else reply_to
        if self._voice.may_say(command, self.habits):
            self.mutter(self.frame(command, ttlv.pack(fields), packet_id))
        return packet_id

    def frame(self, command: int, payload: bytes, packet_id: int) -> bytes:
        """A frame as it would go over the present link, sealed as agreed."""
        return self._voice.frame(command, payload, packet_id, self.habits)

    def mutter(self, value: bytes) -> None:
        """Send bytes as they are, over as many indications as it takes."""
        if self._linked and not self._silent:
            for at in range(0, len(value), self.room):
                self._carrier.send(advert.PROTOCOL, value[at : at + self.room])

    def log(self, text: str) -> None:
        """Say something on the log characteristic, cut to one notification."""
        if self._linked and not self._silent:
            self._carrier.send(advert.LOG, text.encode()[: self.room])

    def alarm(self, after_s: float, action: Callable[[], None], *, of: str = "transfer") -> None:
        """Call `action` later, in the place of what was to be called before under the same name."""
        self._alarms.set(of, after_s, action)

    def no_alarm(self) -> None:
        """Call nothing later for the transfer."""
        self._alarms.stop("transfer")

    def fall_silent(self) -> None:
        """Neither speak nor listen on this link any more."""
        self._silent = True

    def restart(self) -> None:
        """Reboot: off the air, and back with what is installed by then."""
        self._sleep()
        if not self.habits.never_returns:
            self.alarm(self.habits.boot_s, self._start, of="boot")

    # ------------------------------------------------------------------ power

    def _start(self) -> None:
        habits = self.habits
        self._boot.reboot(installs=not habits.boots_old, keeps_old=habits.reverts_after_s is not None)
        if not habits.keeps_session_over_power:
            self._boot.drop(lambda s: not s.accepted)
        self._receiver = Receiver(self)
        self._awake = True
        self._receiver.wake()
        if habits.reverts_after_s is not None and self._boot.provisional:
            self.alarm(habits.reverts_after_s, self._fall_back, of="fall back")
        self._carrier.advertise(advert.advertisement(self.world, self._device, habits))

    def _fall_back(self) -> None:
        self._boot.revert()
        self.restart()

    def _sleep(self) -> None:
        self._alarms.stop_all()
        self._hang_up()
        if self._awake:
            self._awake = False
            self._carrier.advertise(None)
            self._carrier.disconnect()

    def _hang_up(self) -> None:
        """Forget all that belongs to a link."""
        self._linked = self._silent = False
        self._login.forget()
        self._voice.reset()

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do `action`, unless power fails in it."""
        try:
            action()
        except PowerCutError:
            self.power_off()

    # ------------------------------------------------------------------ what it hears

    def _listen(self, value: bytes) -> None:
        for frame, fields in self._voice.hear(value, self.habits):
            if self._awake and not self._silent:
                self._hear(frame, fields)

    def _hear(self, frame: Frame, fields: Fields) -> None:
        if frame.command in (login.ASK_RANDOM, login.ASK_LOGIN):
            self._admit(frame, fields)
        elif self._login.done or not self.habits.login_required:
            if frame.command == words.ASK_VERSION and self.habits.answers_version:
                moved = self.habits.moves_version_id if self.stats.successes else 0
                told = {c.version_id + moved: self._told(c.no) for c in self.world.components}
                self.say(words.TELL_VERSION, told, reply_to=frame.packet_id)
            self._receiver.take(frame, fields)

    def _admit(self, frame: Frame, fields: Fields) -> None:
        if frame.command == login.ASK_RANDOM:
            self.say(login.TELL_RANDOM, {login.RANDOM: self._login.challenge()}, reply_to=frame.packet_id)
        else:
            proof = ttlv.binary(fields, login.PROOF) or b""
            self.say(login.TELL_LOGIN, {login.RESULT: self._login.attempt(proof)}, reply_to=frame.packet_id)

    def _told(self, component_no: str) -> bytes:
        """The version it tells, true or not."""
        since = {"always": True, "announcement": self.stats.announced, "success": self.stats.successes}
        claimed = self.habits.claims_version if since[self.habits.claims_version_after] else None
        return (self.version(component_no) if claimed is None else claimed).encode()

"""Read-back: find a device again after its reboot, ask what it runs, and judge what that proves.

There are three ends. *Proven*: the device tells the target version. *Denied*: it tells another one, twice. All else,
from a lost adapter to a garbled answer, is neither (`UnprovenError`), and is tried again until the time is over. Only a
peer that has shown the device's key proves or denies, by a proof that is not weaker than the one before the update.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace

from ble_ota.errors import BleOtaError, DeviceNotFoundError, DeviceSilentError, NotVerifiedError, UnprovenError
from ble_ota.events import Emit
from ble_ota.link import Radio
from ble_ota.model import Component, Installed, Secret
from ble_ota.proof import Versions, denies, proves
from ble_ota.tape import Recorder
from ble_ota.target import Target, look

LOOK_MAX_S = 120.0  # our choice: connect, log in, ask, and have the key shown take 65 s at most if each is slow


@dataclass(frozen=True, slots=True)
class Patience:
    """How often, and how long, before giving up."""

    links: int = 20
    """Links one component may take, 1 or more."""
    stuck_links: int = 3
    """Of these, in a row, without a byte further."""
    run_links: int = 60
    """Links all components of a run may take."""
    backoff_s: float = 1.0
    """Before the second link; doubled before each further one that brought nothing, at most `install.BACKOFF_MAX_S`."""
    stall_s: float = 120.0
    """In any such time `floor_bytes` must be acknowledged, beside what the device asks for."""
    floor_bytes: int = 1200
    """See `stall_s`; 10 bytes per second is below any honest link, which carries 20 per 100 ms at least."""
    reboot_s: float = 120.0
    """From the end of the transfer until the device must have been heard again: swapping a bank takes a while."""
    look_again_s: float = 10.0
    """Between looks at a device that still says its old version: it may not have rebooted yet."""
    dwell_s: float = 0.0
    """After the proof: how long until a second look, for a device that may fall back. 0 is no second look."""


@dataclass(slots=True)
class Verifier:
    """Looks at one device after its reboot, as often as it takes."""

    target: Target
    """As it was last heard."""
    radio: Radio
    secret: Secret | None
    emit: Emit
    patience: Patience
    recorder: Recorder | None = None

    async def verify(self, component: Component, before: Versions, *, rebooted: bool) -> Installed:
        """Look until the device tells the target version, for `reboot_s` at most.

        Args:
            component: With the target version.
            before: The device's word before the transfer.
            rebooted: Whether the device dropped the link to reboot. If not, it gets the whole time: it may reboot yet.

        Raises:
            NotVerifiedError: It tells another version, again after `look_again_s`, or until the end if not `rebooted`.
            UnprovenError: Neither the target nor another version was told in a way that counts.
        """
        if not rebooted and before.running(component) == component.target_version:
            msg = "the device ran this version before and was not seen to reboot, so nothing proves the new image"
            raise UnprovenError(msg)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.patience.reboot_s
        denied_s: float | None = None
        while True:
            now = await self._look(until_s - loop.time())
            late = loop.time() >= until_s
            if isinstance(now, Versions):
                if proves(now, before, component):
                    return Installed(component, before.running(component), component.target_version, now.proof)
                if denies(now, before, component):
                    denied_s = denied_s or loop.time()
                    settled = rebooted and loop.time() - denied_s >= self.patience.look_again_s
                    if settled or late:
                        raise NotVerifiedError(_denial(now, component))
            if late:
                raise self.unproven(now, before, component)
            again_s = self.patience.look_again_s if isinstance(now, Versions) else self.patience.backoff_s
            await asyncio.sleep(again_s)

    async def _look(self, within_s: float) -> Versions | BleOtaError:
        try:
            return await self.look(within_s)
        except BleOtaError as error:
            return error

    async def runs(self, component: Component, before: Versions) -> bool:
        """Return True if the device is seen to run the target now, at the second look at the latest.

        False too where it ran the target before, or where it cannot be asked.
        """
        if before.running(component) == component.target_version:
            return False
        for pause_s in (self.patience.look_again_s, 0.0):
            try:
                if proves(await self.look(self.patience.reboot_s), before, component):
                    return True
            except BleOtaError:
                return False
            await asyncio.sleep(pause_s)
        return False

    async def look(self, within_s: float) -> Versions:
        """Find the device within `within_s` seconds and ask it once what it runs.

        Raises:
            BleOtaError: It was not heard, or the link did not bring an answer.
        """
        target = await self.find(within_s)
        emit, recorder = self.emit, self.recorder
        try:
            async with asyncio.timeout(LOOK_MAX_S):
                return await look(target, self.radio, self.secret, emit=emit, purpose="verify", recorder=recorder)
        except TimeoutError:
            msg = f"the device did not say within {LOOK_MAX_S:g} s what it runs"
            raise DeviceSilentError(msg) from None

    async def find(self, within_s: float) -> Target:
        """Wait for the device on the air; return it as it is heard now.

        Raises:
            DeviceNotFoundError: It was not heard within `within_s` seconds.
            AdapterError: Bluetooth cannot be used.
        """
        async with aclosing(self.radio.scan(within_s=max(within_s, self.patience.backoff_s))) as adverts:
            async for advert in adverts:
                if self.target.driver.same(self.target.advert, advert):
                    return replace(self.target, advert=advert)
        msg = f"{self.target} is not on the air"
        raise DeviceNotFoundError(msg)

    def unproven(self, now: Versions | BleOtaError, before: Versions, component: Component) -> UnprovenError:
        """Say why the last look proves nothing."""
        not_proven = f"all was sent, and it is not proven that the device runs {component.target_version}"
        if isinstance(now, BleOtaError):
            why = f"{not_proven}: for {self.patience.reboot_s:g} s it could not be asked: {now}"
            return UnprovenError(why, hint=f"{now.hint}. {UnprovenError.hint}" if now.hint else None)
        told = now.running(component)
        if told is None:
            texts = "".join(f"; id {at} tells {text}" for at, text in now.texts.items())
            why = f"{not_proven}: it tells no version of {_named(component)}{texts}"
            return UnprovenError(why, hint=self._setting(now, before, component))
        if not now.key_shown:
            return UnprovenError(f"{not_proven}: the peer that tells {told} has not shown the device's key")
        weaker = f"it tells {told} by {now.proof}, a weaker proof than the {before.proof} of before"
        return UnprovenError(f"{not_proven}: {weaker}")

    def _setting(self, now: Versions, before: Versions, component: Component) -> str | None:
        """Return a hint that names the setting for the id that tells the target now and did not before."""
        line = self.target.driver.version_setting
        for at, text in now.texts.items():
            if line and text == component.target_version and before.texts.get(at) != text:
                setting = line("" if component.sole_module else component.no, at)
                return (
                    f"Id {at} seems to tell the version: write `{setting}` into the settings, then run the same again"
                )
        return None


def _named(component: Component) -> str:
    return f"component {component.no}" if component.no else "the firmware"


def _denial(now: Versions, component: Component) -> str:
    return f"after its reboot the device runs {now.running(component)} where {component.target_version} was installed"

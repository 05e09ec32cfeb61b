"""One component onto one device: upload, reboot, proof; across links, with a finite number of them.

Success is what the device says after its reboot. Until then a link that breaks is a link to be made again, only a
break while the device reboots is what was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from ble_ota.errors import BleOtaError, DeviceNotFoundError, LinkError, NotVerifiedError
from ble_ota.events import (
    DeviceRebooting,
    DeviceVerified,
    Emit,
    LinkConnected,
    LinkLost,
    TransferDone,
    TransferProgress,
    TransferStarted,
)
from ble_ota.link import Radio
from ble_ota.model import Component, DeviceInfo, Installed, Secret, VerifiedImage
from ble_ota.perform import perform
from ble_ota.protocols.driver import Versions
from ble_ota.script import Progress
from ble_ota.target import CONNECT_S, Target, look


@dataclass(frozen=True, slots=True)
class Patience:
    """How often, and how long, before giving up."""

    links: int = 3
    """Links one component may take, 1 or more."""
    backoff_s: float = 1.0
    """Before the second link; doubled before each further one."""
    reboot_s: float = 120.0
    """From the end of the transfer until the device must have been heard again: swapping a bank takes a while."""
    look_again_s: float = 10.0
    """Between looks at a device that still says its old version: it may not have rebooted yet."""


VersionElsewhere = Callable[[Component], Awaitable[str | None]]
"""Who else knows what a device runs (the Developer Center), where the device itself does not say."""


async def nobody_else(_component: Component) -> str | None:
    """Nobody else knows."""
    return None


@dataclass(slots=True)
class Installer:
    """What it takes to bring components onto one device."""

    target: Target
    device: DeviceInfo
    radio: Radio
    secret: Secret | None
    emit: Emit
    patience: Patience = field(default_factory=Patience)
    elsewhere: VersionElsewhere = nobody_else

    async def install(self, component: Component, images: Sequence[VerifiedImage]) -> Installed:
        """Send `images` in order, let the device reboot, and read back what it runs.

        Raises:
            LinkError: It broke more often than `patience` allows; the same again carries on.
            DeviceError: The device said no.
            NotVerifiedError: After the reboot it does not run the target, or nobody says what it runs.
        """
        delivery = _Delivery(component, tuple(images), self.emit)
        rebooted = await self._deliver(delivery)
        self.emit(DeviceRebooting(component.no, "disconnected" if rebooted else "none"))
        if not rebooted and self.device.running(component) == component.target_version:
            msg = "the device ran this version before and was not seen to reboot, so nothing proves the new image"
            raise NotVerifiedError(msg)
        return await self._verify(component, rebooted=rebooted)

    async def _deliver(self, delivery: _Delivery) -> bool:
        """Bring the whole component over; True if the device dropped the link to reboot."""
        for attempt in range(1, self.patience.links + 1):
            try:
                return await self._over_one_link(delivery)
            except (LinkError, DeviceNotFoundError) as error:
                if isinstance(error, DeviceNotFoundError) and attempt == 1:
                    raise
                lost = error
            self.emit(LinkLost(str(lost), attempt, self.patience.links))
            await asyncio.sleep(self.patience.backoff_s * 2 ** (attempt - 1))
            if delivery.may_be_whole and await self._runs(delivery.component):
                return True  # what was lost was the last word before the reboot
            if attempt == self.patience.links:
                raise lost
        raise AssertionError  # the last attempt returns or raises

    async def _over_one_link(self, delivery: _Delivery) -> bool:
        driver, address = self.target.driver, self.target.advert.address
        async with self.radio.connect(address, within_s=CONNECT_S) as link:
            self.emit(LinkConnected(address, "transfer"))
            session = await perform(driver.open(link.facts, self.secret), link)
            delivery.start()
            for image in delivery.images:
                await perform(driver.upload(session, delivery.component, image), link, watch=delivery.progress)
                delivery.next_image(image)
            self.emit(TransferDone(delivery.component.no, delivery.total))
            return await perform(driver.activate(session), link)

    async def _runs(self, component: Component) -> bool:
        """Whether the target runs after all, now or once the device has rebooted; False too when nobody can say."""
        for pause_s in (self.patience.look_again_s, 0.0):
            try:
                version, _ = await self._read_back(component)
            except BleOtaError:
                return False
            if version == component.target_version:
                return True
            await asyncio.sleep(pause_s)
        return False

    async def _verify(self, component: Component, *, rebooted: bool) -> Installed:
        """Look until the target runs; a device that did not drop the link gets longer, it may reboot yet."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + (self.patience.look_again_s if rebooted else self.patience.reboot_s)
        while True:
            version, proof = await self._read_back(component)
            if version is None:
                msg = f"nobody says which version of component {component.no} the device runs"
                raise NotVerifiedError(msg, hint="Set where the version is read: `quecthing.version_ids`")
            if version == component.target_version:
                self.emit(DeviceVerified(component.no, version, proof))
                return Installed(component, self.device.running(component), version, proof)
            if loop.time() >= until_s:
                msg = f"after its reboot the device runs {version} where {component.target_version} was installed"
                raise NotVerifiedError(msg)
            await asyncio.sleep(self.patience.look_again_s)

    async def _read_back(self, component: Component) -> tuple[str | None, str]:
        versions = await self._found_again()
        said = DeviceInfo("", "", "", "", versions.by_component).running(component)
        return (said, versions.proof) if said else (await self.elsewhere(component), "developer-center")

    async def _found_again(self) -> Versions:
        """Find the device on the air again and ask it, as often as it takes within `reboot_s`."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.patience.reboot_s
        while True:
            try:
                target = await self._heard_again(until_s - loop.time())
                return await look(target, self.radio, self.secret, emit=self.emit, purpose="verify")
            except (LinkError, DeviceNotFoundError) as error:
                if loop.time() >= until_s:
                    msg = f"the device did not come back within {self.patience.reboot_s:g} s: {error}"
                    raise NotVerifiedError(msg) from error
            await asyncio.sleep(self.patience.backoff_s)

    async def _heard_again(self, within_s: float) -> Target:
        async with aclosing(self.radio.scan(within_s=max(within_s, self.patience.backoff_s))) as adverts:
            async for advert in adverts:
                if self.target.driver.same(self.target.advert, advert):
                    return replace(self.target, advert=advert)
        msg = f"{self.target} is not on the air"
        raise DeviceNotFoundError(msg)


@dataclass(slots=True)
class _Delivery:
    """How far a component has come, over all its links."""

    component: Component
    images: tuple[VerifiedImage, ...]
    emit: Emit
    may_be_whole: bool = False
    """On some link all was acknowledged but, at most, the packet in flight: the device may have every byte."""
    _packet: int = 0  # bytes of the largest so far
    _done: int = 0  # bytes, on this link
    _before: int = 0  # bytes of the files that are over, on this link
    _began_s: float = 0.0

    @property
    def total(self) -> int:
        return sum(len(i.content) for i in self.images)

    def start(self) -> None:
        self._before = self._done = 0
        self._began_s = asyncio.get_running_loop().time()
        self.emit(TransferStarted(self.component.no, self.total))

    def progress(self, step: Progress) -> None:
        done = self._before + step.done
        self._packet = max(self._packet, done - self._done)
        self._done = done
        self.may_be_whole = self.may_be_whole or done + self._packet >= self.total
        seconds = asyncio.get_running_loop().time() - self._began_s
        rate = round(done / seconds) if seconds > 0 else 0
        self.emit(TransferProgress(self.component.no, done, self.total, rate, step.resent))

    def next_image(self, image: VerifiedImage) -> None:
        self._before += len(image.content)

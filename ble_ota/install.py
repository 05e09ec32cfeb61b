"""One component onto one device: upload, reboot, proof; across links, with a finite number of them.

Success is what the device says after its reboot. Until then a link that breaks is a link to be made again, only a
break while the device reboots is what was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

from ble_ota.delivery import Delivery, Marks, NoMarks
from ble_ota.errors import BleOtaError, DeviceNotFoundError, NotVerifiedError, Retry
from ble_ota.events import (
    DeviceRebooting,
    DeviceVerified,
    Emit,
    Event,
    LinkLost,
    Record,
    TransferDone,
    TransferStarted,
    recording,
)
from ble_ota.link import Radio
from ble_ota.model import Component, DeviceInfo, Installed, Secret, VerifiedImage
from ble_ota.protocols.driver import Versions
from ble_ota.tape import Recorder
from ble_ota.target import CONNECT_S, Talk, Target, look, talking


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
    """Before the second link; doubled before each further one that brought nothing, at most `BACKOFF_MAX_S`."""
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


BACKOFF_MAX_S = 8.0  # our choice: several tries fit into the 15 s for which a device may keep its session

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
    marks: Marks = field(default_factory=NoMarks)
    record: Record | None = None
    """Writes down what is about to be done; left out, it is told and kept nowhere."""
    recorder: Recorder | None = None
    """Writes a transcript."""
    _links: int = 0  # taken so far by all components

    async def install(self, component: Component, images: Sequence[VerifiedImage]) -> Installed:
        """Send `images` in order, let the device reboot, and read back what it runs.

        Raises:
            LinkError: It broke more often than `patience` allows; the same again carries on.
            DeviceError: The device said no.
            NotVerifiedError: After the reboot it does not run the target, or nobody says what it runs.
            StorageError: What is about to be done cannot be written down.
        """
        delivery = Delivery(component, tuple(images), self.emit, self.marks)
        await delivery.recall()
        if self.recorder is not None:
            self.recorder.part(component, images, self.device.versions, delivery.mark)
        rebooted = await self._deliver(delivery)
        await self._record(DeviceRebooting(component.no, "disconnected" if rebooted else "none"))
        if not rebooted and self._ran_before(component):
            msg = "the device ran this version before and was not seen to reboot, so nothing proves the new image"
            raise NotVerifiedError(msg)
        installed = await self._verify(component, rebooted=rebooted)
        if self.patience.dwell_s:
            await asyncio.sleep(self.patience.dwell_s)
            installed = await self._verify(component, rebooted=True)
        await self._record(DeviceVerified(component.no, installed.version, installed.proof))
        return installed

    async def _record(self, event: Event) -> None:
        await (self.record or recording(self.emit))(event)

    async def _deliver(self, delivery: Delivery) -> bool:
        """Bring the whole component over; True if the device dropped the link to reboot."""
        stuck = attempt = 0
        while True:
            attempt += 1
            self._links += 1
            before = delivery.furthest
            try:
                return await self._over_one_link(delivery, again=attempt > 1)
            except BleOtaError as error:
                if error.retry is Retry.NEVER or (isinstance(error, DeviceNotFoundError) and attempt == 1):
                    raise
                lost = error
            self.emit(LinkLost(str(lost), attempt, self.patience.links))
            stuck = 0 if delivery.furthest > before else stuck + 1
            await asyncio.sleep(min(self.patience.backoff_s * 2**stuck, BACKOFF_MAX_S))
            why = self._exhausted(attempt, stuck)
            if why and delivery.may_be_whole and await self._runs(delivery.component):
                return True  # what was lost was the last word before the reboot
            if why:
                at = f"at byte {delivery.furthest} of {delivery.total}"
                raise type(lost)(f"{lost} (given up {at} after {why})", hint=lost.hint) from lost

    def _exhausted(self, attempt: int, stuck: int) -> str:
        """Which budget is used up, if one is."""
        if attempt >= self.patience.links:
            return f"{attempt} link{'s' if attempt > 1 else ''} for this component"
        if stuck >= self.patience.stuck_links:
            return f"{stuck} links in a row without progress"
        return f"{self._links} links in this run" if self._links >= self.patience.run_links else ""

    async def _over_one_link(self, delivery: Delivery, *, again: bool) -> bool:
        if again:
            self.target = await self._heard_again(CONNECT_S)
        to, emit, recorder = self.target, self.emit, self.recorder
        async with talking(to, self.radio, self.secret, emit=emit, purpose="transfer", recorder=recorder) as talk:
            if again and delivery.may_be_whole and await self._runs_already(talk, delivery.component):
                return True
            return await self._upload(talk, delivery)

    async def _runs_already(self, talk: Talk, component: Component) -> bool:
        """Whether the target runs, where that proves that it has come."""
        if self._ran_before(component):
            return False
        said = await talk.do(self.target.driver.identify(talk.session))
        return _running(said, component) == component.target_version

    async def _upload(self, talk: Talk, delivery: Delivery) -> bool:
        driver, component = self.target.driver, delivery.component
        await self._record(TransferStarted(component.no, delivery.total))
        delivery.start()
        async with delivery.paced(self.patience.stall_s, self.patience.floor_bytes):
            for file, image in enumerate(delivery.images):
                script = driver.upload(talk.session, component, image, delivery.hint(file))
                await talk.do(script, watch=partial(delivery.progress, file))
                delivery.next_image(file)
        await self._record(TransferDone(component.no, delivery.total))
        return await talk.do(driver.activate(talk.session))

    async def _runs(self, component: Component) -> bool:
        """Whether the target runs after all, now or once the device has rebooted; False too when nobody can say."""
        if self._ran_before(component):
            return False
        for pause_s in (self.patience.look_again_s, 0.0):
            try:
                version, _ = await self._read_back(component, rebooted=True)
            except BleOtaError:
                return False
            if version == component.target_version:
                return True
            await asyncio.sleep(pause_s)
        return False

    def _ran_before(self, component: Component) -> bool:
        """Whether the device ran the target already, so that its version proves nothing."""
        return self.device.running(component) == component.target_version

    async def _verify(self, component: Component, *, rebooted: bool) -> Installed:
        """Look until the target runs; a device that did not drop the link gets longer, it may reboot yet."""
        loop, before = asyncio.get_running_loop(), self.device.running(component)
        until_s = loop.time() + (self.patience.look_again_s if rebooted else self.patience.reboot_s)
        while True:
            version, proof = await self._read_back(component, rebooted=rebooted)
            if version is not None and version == component.target_version:
                return Installed(component, before, version, proof)
            late = loop.time() >= until_s
            if version is None and (late or before is None):  # what has answered before may answer again
                msg = f"nobody says which version of component {component.no} the device runs"
                raise NotVerifiedError(msg, hint="Set where the version is read: `quecthing.version_ids`")
            if late:
                msg = f"after its reboot the device runs {version} where {component.target_version} was installed"
                raise NotVerifiedError(msg)
            await asyncio.sleep(self.patience.look_again_s)

    async def _read_back(self, component: Component, *, rebooted: bool) -> tuple[str | None, str]:
        """What runs, by the device's word; by another's where the device reboots and does not say.

        Who said nothing before may have said the same all along, and proves nothing.
        """
        versions = await self._found_again()
        said = _running(versions, component)
        if said:
            return said, versions.proof
        if not rebooted or self.device.running(component) is None:
            return None, "nobody"
        elsewhere = await self.elsewhere(component)
        if self.recorder is not None:
            self.recorder.elsewhere(elsewhere)
        return elsewhere, "developer-center"

    async def _found_again(self) -> Versions:
        """Find the device on the air again and ask it, as often as it takes within `reboot_s`."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.patience.reboot_s
        while True:
            try:
                target = await self._heard_again(until_s - loop.time())
                emit, recorder = self.emit, self.recorder
                return await look(target, self.radio, self.secret, emit=emit, purpose="verify", recorder=recorder)
            except BleOtaError as error:
                if error.retry is Retry.NEVER:
                    raise
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


def _running(said: Versions, component: Component) -> str | None:
    return DeviceInfo("", "", "", "", said.by_component).running(component)

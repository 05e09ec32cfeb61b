"""One component onto one device: upload, reboot, proof; across links, with a finite number of them.

Success is what the device says after its reboot (`verify.py`). Until then a link that breaks is a link to be made
again, only a break while the device reboots is what was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ble_ota.delivery import Delivery, Marks, NoMarks
from ble_ota.errors import BleOtaError, DeviceError, DeviceNotFoundError, RefusedByDeviceError, Retry
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
from ble_ota.proof import PROOFS, Unverified, Versions, proves
from ble_ota.tape import Recorder
from ble_ota.target import CONNECT_S, Talk, Target, talking
from ble_ota.verify import Patience, Verifier

__all__ = ["BACKOFF_MAX_S", "Installer", "Patience"]

BACKOFF_MAX_S = 8.0  # our choice: several tries fit into the 15 s for which a device may keep its session


@dataclass(slots=True)
class Installer:
    """What it takes to bring components onto one device."""

    target: Target
    device: DeviceInfo
    radio: Radio
    secret: Secret | None
    emit: Emit
    patience: Patience = field(default_factory=Patience)
    marks: Marks = field(default_factory=NoMarks)
    record: Record | None = None
    """Writes down what is about to be done; left out, it is told and kept nowhere."""
    recorder: Recorder | None = None
    """Writes a transcript."""
    verifier: Verifier = field(init=False)
    before: Versions = field(init=False)
    """The device's word before the present component was sent."""
    _links: int = 0  # taken so far by all components

    def __post_init__(self) -> None:
        self.before = Versions(self.device.versions, self.device.proof, self.device.key_shown)
        self.verifier = Verifier(self.target, self.radio, self.secret, self.emit, self.patience, self.recorder)

    async def install(self, component: Component, images: Sequence[VerifiedImage]) -> Installed:
        """Send `images` in order, let the device reboot, and read back what it runs.

        Raises:
            LinkError: It broke more often than `patience` allows; the same again carries on.
            RefusedByDeviceError: The device said no.
            DeviceError: It does not take the secret, refused with an ATT error, or spoke outside its protocol.
            NotVerifiedError: After the reboot it says itself that it runs another version.
            UnprovenError: All was sent, and what the device runs is not proven either way.
            StorageError: What is about to be done cannot be written down.
        """
        delivery = Delivery(component, tuple(images), self.emit, self.marks)
        await delivery.recall()
        if self.recorder is not None:
            self.recorder.part(component, images, self.device.versions, delivery.mark)
        rebooted = await self._deliver(delivery)
        await self._record(DeviceRebooting(component.no, "disconnected" if rebooted else "none"))
        installed = await self.verifier.verify(component, self.before, rebooted=rebooted)
        if self.patience.dwell_s:
            await asyncio.sleep(self.patience.dwell_s)
            installed = await self.verifier.verify(component, self.before, rebooted=True)
        await self._record(DeviceVerified(component.no, installed.version, installed.proof))
        return installed

    async def prove(self, sent: Unverified) -> Installed | None:
        """Return the proof that what an earlier run began to send runs now; None where the version tells nothing of it.

        Raises:
            UnprovenError: The device tells the target version in a way that does not count.
            BleOtaError: It tells the target version, and could not be asked to show its key.
        """
        component = sent.component
        before = _word(component, sent.version_before, sent.proof_before)
        now = Versions(self.device.versions, self.device.proof, self.device.key_shown)
        if now.running(component) != component.target_version or sent.version_before == component.target_version:
            return None
        if sent.version_before is None and not sent.rebooted:  # it may have run another image of this version all along
            return None
        if not now.key_shown:
            now = await self.verifier.look(self.patience.reboot_s)
        if not proves(now, before, component):
            raise self.verifier.unproven(now, before, component)
        await self._record(DeviceVerified(component.no, component.target_version, now.proof))
        return Installed(component, sent.version_before, component.target_version, now.proof)

    async def key_shown(self) -> bool:
        """Return True if the device tells the same versions as before, and shows that it has its key.

        Raises:
            BleOtaError: It could not be asked.
        """
        now = await self.verifier.look(self.patience.reboot_s)
        return now.key_shown and now.by_component == self.device.versions

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
            if why and delivery.may_be_whole and await self.verifier.runs(delivery.component, self.before):
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
        verifier, component = self.verifier, delivery.component
        if again:
            verifier.target = await verifier.find(CONNECT_S)
        to, emit, recorder = verifier.target, self.emit, self.recorder
        async with talking(to, self.radio, self.secret, emit=emit, purpose="transfer", recorder=recorder) as talk:
            if not again or delivery.may_be_whole:
                now = await talk.do(to.driver.identify(talk.session))
                if again and self._came_true(now, component):
                    return True
                if not again:
                    self._ask_anew(now)
            return await self._upload(talk, delivery)

    def _ask_anew(self, now: Versions) -> None:
        """Take `now` for the word before this component, unless the device has nothing to say at the moment.

        The proof is never weaker than it was: a device that was slow to answer by its own protocol can do it again.
        """
        if now.by_component:
            proof = max(now.proof, self.before.proof, key=PROOFS.index) if self.before.by_component else now.proof
            self.before = replace(now, proof=proof)
        else:
            self.before = replace(self.before, texts=now.texts)

    def _came_true(self, now: Versions, component: Component) -> bool:
        """Return True if the target runs, and did not before: an earlier link brought all of it."""
        return self.before.running(component) != component.target_version and proves(now, self.before, component)

    async def _upload(self, talk: Talk, delivery: Delivery) -> bool:
        driver, component = self.target.driver, delivery.component
        await self._record(TransferStarted(component.no, delivery.total))
        delivery.start()
        async with delivery.paced(self.patience.stall_s, self.patience.floor_bytes):
            for file, image in enumerate(delivery.images):
                await self._send(talk, delivery, file, image)
                delivery.next_image(file)
        await self._record(TransferDone(component.no, delivery.total))
        try:
            return await talk.do(driver.activate(talk.session))
        except DeviceError:  # the device has it all: a stumble now is no verdict, the read-back is
            return False

    async def _send(self, talk: Talk, delivery: Delivery, file: int, image: VerifiedImage) -> None:
        script = self.target.driver.upload(talk.session, delivery.component, image, delivery.hint(file))
        try:
            await talk.do(script, watch=partial(delivery.progress, file))
        except RefusedByDeviceError:
            delivery.refused()
            raise


def _word(component: Component, version: str | None, proof: str) -> Versions:
    return Versions({} if version is None else {component.no: version}, proof)

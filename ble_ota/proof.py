"""A device's word about its versions, and what it proves. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ble_ota.model import Component, DeviceInfo, running_version

PROOFS = ("", "developer-center", "device-information", "device")
"""Sources of a version, the weakest first: none, the Developer Center's word, 0x2A26, the device's own protocol."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions that a device told over one link."""

    by_component: Mapping[str, str] = field(default_factory=dict[str, str])
    """As `DeviceInfo.versions`; empty when the device tells none."""
    proof: str = "device"
    """One of `PROOFS`: how the device told them."""
    key_shown: bool = True
    """Whether the peer has shown on this link that it has the key of the login; True on a link without a key."""
    texts: Mapping[int, str] = field(default_factory=dict[int, str])
    """All texts of the answer by their id, clean: one may be a version that the settings do not look for."""

    def running(self, component: Component) -> str | None:
        """Return the version of `component`, or None where it is not told."""
        return running_version(self.by_component, component)


@dataclass(frozen=True, slots=True)
class Unverified:
    """One component that an earlier run began to send and did not see running."""

    component: Component
    version_before: str | None
    """As the device told it before that run sent anything."""
    proof_before: str
    """One of `PROOFS`: how the device told it."""
    rebooted: bool = True
    """Whether the device was seen to reboot once it had been sent whole."""


def proves(now: Versions, before: Versions, component: Component) -> bool:
    """Return True if `now` shows that the device runs the target of `component`."""
    return now.running(component) == component.target_version and _counts(now, before, component)


def denies(now: Versions, before: Versions, component: Component) -> bool:
    """Return True if `now` shows that the device runs something else than the target of `component`."""
    return now.running(component) not in (None, component.target_version) and _counts(now, before, component)


def _counts(now: Versions, before: Versions, component: Component) -> bool:
    weaker = before.running(component) is not None and PROOFS.index(now.proof) < PROOFS.index(before.proof)
    return now.key_shown and not weaker


def caveat(device: DeviceInfo) -> str:
    """Return the end of a sentence that rests on a device's word; "" where the peer has shown the key."""
    rests = not device.key_shown and device.versions.keys() - device.filled_in
    return ", by the word of a peer that has not shown the device's key" if rests else ""

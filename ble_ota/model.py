"""What the pipeline speaks about. Frozen; a type that took a check to make is a proof that it was made."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Self, TypeAlias

from ble_ota.errors import TrustError

IMAGE_MAX_BYTES = 100_000_000  # the Developer Center takes files up to 100 MB (its OTA page 01)


@dataclass(frozen=True, slots=True)
class Secret:
    """Something that must not be shown: only `reveal` gives it."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """The secret itself, for the one line that needs it."""
        return self._text

    def __str__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device as it says it is; None where its protocol has no way to ask."""

    address: str
    name: str
    product_key: str
    device_key: str
    versions: Mapping[str, str]
    """Component number to running version; "" is the module's own firmware where no number is known."""
    rssi_dbm: int | None = None
    battery_percent: int | None = None
    free_bytes: int | None = None
    proof: str = "device"
    """One of `proof.PROOFS`: how the device told its versions."""
    key_shown: bool = True
    """As `proof.Versions.key_shown`."""
    filled_in: frozenset[str] = frozenset()
    """Keys of `versions` that the Developer Center told and the device did not."""

    def running(self, component: Component) -> str | None:
        """Return the version of `component` that runs now, or None where it is not known."""
        return running_version(self.versions, component)

    def proof_of(self, component: Component) -> str:
        """Return which of `proof.PROOFS` the version of `component` rests on."""
        if self.running(component) is None:
            return ""
        key = component.no if component.no in self.versions else ""
        return "developer-center" if key in self.filled_in else self.proof

    @property
    def caveat(self) -> str:
        """Return the end of a sentence that rests on the device's word; "" where the peer has shown the key."""
        rests = not self.key_shown and self.versions.keys() - self.filled_in
        return ", by the word of a peer that has not shown the device's key" if rests else ""


def running_version(versions: Mapping[str, str], component: Component) -> str | None:
    """Return the version of `component` in `versions`: its own, or the unnamed one if it is its plan's only module."""
    if component.no in versions:
        return versions[component.no]
    return versions.get("") if component.sole_module else None


class Algorithm(Enum):
    """Digests a plan may carry, in the order of trust."""

    SHA256 = "sha256"
    MD5 = "md5"
    CRC32 = "crc32"

    def hex(self, content: bytes) -> str:
        """The digest of `content`, lower-case hexadecimal."""
        if self is Algorithm.CRC32:
            return f"{zlib.crc32(content):08x}"
        return hashlib.new(self.value, content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file's content must hash to."""

    algorithm: Algorithm
    hex: str  # lower case

    def __str__(self) -> str:
        return f"{self.algorithm.value}:{self.hex}"


class ComponentKind(Enum):
    """Where a component lives (`componentType`, `comType`)."""

    MODULE = 0
    MCU = 1


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of a plan."""

    url: str = field(repr=False)  # may be signed, and is a secret then
    size_bytes: int
    digests: tuple[Digest, ...]
    sort: int = 0
    name: str = ""
    """What the server calls it: for people only, never a path."""

    def digest(self, algorithm: Algorithm) -> Digest | None:
        """The digest by `algorithm`, where the plan has it."""
        return next((d for d in self.digests if d.algorithm is algorithm), None)


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a device that has a version of its own."""

    no: str
    kind: ComponentKind
    target_version: str
    source_version: str
    files: tuple[PlannedFile, ...]
    """In the order they are sent."""
    delta: bool = False
    notes: str = ""
    sort: int = 0
    one_of_modules: bool = False
    """Whether its plan has other modules too; `FetchPlan` sets it."""

    @property
    def sole_module(self) -> bool:
        """Whether a version without a component's number is this component's: it is the only module of its plan."""
        return self.kind is ComponentKind.MODULE and not self.one_of_modules

    @property
    def size_bytes(self) -> int:
        """All its files together."""
        return sum(f.size_bytes for f in self.files)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the device must have before it may be updated; None where the plan asks for nothing."""

    battery_percent: int | None = None
    rssi_dbm: int | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """An upgrade plan as the Developer Center (or `flash`) gave it, not yet decided on."""

    id: str
    product_key: str
    device_key: str
    components: tuple[Component, ...]
    """In the order they are installed."""
    conditions: Conditions = field(default_factory=Conditions)
    ends_at_s: float | None = None
    """Unix time after which the plan is over, where it says so."""

    def __post_init__(self) -> None:
        several = sum(c.kind is ComponentKind.MODULE for c in self.components) > 1
        components = tuple(replace(c, one_of_modules=several) for c in self.components)
        object.__setattr__(self, "components", components)  # frozen: the one way to complete a field

    @property
    def fingerprint(self) -> str:
        """What is agreed to, as a SHA-256: id, device, versions, sizes and digests; links and notes may change."""
        parts = [self.id, self.product_key, self.device_key]
        for c in self.components:
            parts += ["component", c.no, c.kind.name, c.source_version, c.target_version, str(c.delta)]
            for f in c.files:
                parts += ["file", str(f.size_bytes), *map(str, f.digests)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done; `planning.decide` makes it."""

    device: DeviceInfo
    fetched: FetchPlan
    components: tuple[Component, ...]
    """Those to install, in order."""
    doubts: tuple[str, ...] = ()
    """What a person should know before agreeing."""


@dataclass(frozen=True, slots=True)
class UpToDate:
    """Nothing to do, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """Policy forbids it, and why."""

    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The user said no."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Approved:
    """Someone agreed to `plan`. Made by a consent, and by nothing else."""

    plan: Plan
    by: str


Consent: TypeAlias = Callable[[Plan], Awaitable[Approved | None]]
"""Shows a plan and gives the word: Approved, or None for no."""


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """Bytes known to be `file`; only `check` makes one. What was hashed is what is sent."""

    file: PlannedFile
    content: bytes = field(repr=False)
    sha256: str

    @classmethod
    def check(cls, file: PlannedFile, content: bytes) -> Self:
        """Compare size and every digest the plan carries.

        Raises:
            TrustError: One of them differs, or there is none to compare with.
        """
        if len(content) != file.size_bytes:
            msg = f"the file has {len(content)} bytes where the plan says {file.size_bytes}"
            raise TrustError(msg)
        if not file.digests:
            msg = "the plan has no digest for this file, so nothing proves what it is"
            raise TrustError(msg)
        for digest in file.digests:
            if (found := digest.algorithm.hex(content)) != digest.hex:
                msg = f"the file is {digest.algorithm.value}:{found} where the plan says {digest}"
                raise TrustError(msg)
        return cls(file, content, Algorithm.SHA256.hex(content))


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file had come, by the device's own word; kept so that another link or process may carry on."""

    component: str
    file: int
    """Its place among the component's files, from 0."""
    sha256: str
    """Of the image: another one is never carried on."""
    offset: int  # bytes acknowledged
    learned: str
    """As `script.Progress.learned`."""
    age_s: float = 0.0
    """Seconds since the device acknowledged, at the moment this object was made."""


@dataclass(frozen=True, slots=True)
class Installed:
    """One component, proven to run after the device's reboot."""

    component: Component
    version_before: str | None
    version: str
    proof: str
    """One of `proof.PROOFS`: "device" or "device-information"."""


@dataclass(frozen=True, slots=True)
class Done:
    """Every component that was to be installed runs."""

    installed: tuple[Installed, ...]


Outcome: TypeAlias = Done | Declined | UpToDate | Blocked

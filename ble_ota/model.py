"""What the pipeline speaks about. Frozen; a type that took a check to make is a proof that it was made."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Self, TypeAlias

from ble_ota.content import Content, digesting
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
    proof: str = "device"  # one of `proof.PROOFS`: how the device told its versions
    key_shown: bool = True  # as `proof.Versions.key_shown`
    filled_in: frozenset[str] = frozenset()  # keys of `versions` that the Developer Center told, and not the device

    def running(self, component: Component) -> str | None:
        """Return the version of `component` that runs now, or None where it is not known."""
        return running_version(self.versions, component)

    def proof_of(self, component: Component) -> str:
        """Return which of `proof.PROOFS` the version of `component` rests on."""
        if self.running(component) is None:
            return ""
        key = component.no if component.no in self.versions else ""
        return "developer-center" if key in self.filled_in else self.proof


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
        running = digesting(self.value)
        running.update(content)
        return running.hexdigest()


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
    one_of_modules: bool = False  # whether its plan has other modules too; `FetchPlan` sets it

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
    """A firmware file known to be `file`; only `of` and `check` make one.

    What was hashed is what is sent: the content is read again block by block while it is sent, and each block is
    compared with what was hashed (`content.Content.block`).
    """

    file: PlannedFile
    content: Content

    @classmethod
    def of(cls, file: PlannedFile, content: Content) -> Self:
        """Compare size and every digest the plan carries.

        Raises:
            TrustError: One of them differs, or there is none to compare with.
        """
        if content.size_bytes != file.size_bytes:
            msg = f"the file has {content.size_bytes} bytes where the plan says {file.size_bytes}"
            raise TrustError(msg)
        if not file.digests:
            msg = "the plan has no digest for this file, so nothing proves what it is"
            raise TrustError(msg)
        for digest in file.digests:
            if (found := content.summary.digests[digest.algorithm.value]) != digest.hex:
                msg = f"the file is {digest.algorithm.value}:{found} where the plan says {digest}"
                raise TrustError(msg)
        return cls(file, content)

    @classmethod
    def check(cls, file: PlannedFile, content: bytes) -> Self:
        """Make one of bytes in memory. Raises as `of`."""
        return cls.of(file, Content.of(content))

    @property
    def size_bytes(self) -> int:
        """Bytes in all."""
        return self.content.size_bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 of the whole, also where the plan has another digest."""
        return self.content.summary.sha256


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file had come, by the device's own word; kept so that another link or process may carry on."""

    component: str
    file: int  # its place among the component's files, from 0
    sha256: str  # of the image: another one is never carried on
    offset: int  # bytes acknowledged
    learned: str  # as `script.Progress.learned`
    age_s: float = 0.0  # seconds since the device acknowledged, at the moment this object was made


@dataclass(frozen=True, slots=True)
class Installed:
    """One component, proven to run after the device's reboot."""

    component: Component
    version_before: str | None
    version: str
    proof: str  # of `proof.PROOFS`: "device" or "device-information"


@dataclass(frozen=True, slots=True)
class Done:
    """Every component that was to be installed runs."""

    installed: tuple[Installed, ...]


Outcome: TypeAlias = Done | Declined | UpToDate | Blocked

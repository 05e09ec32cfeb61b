"""The form every protocol fills.

A driver is a frozen set of functions and facts; a new vendor is one module and one line of the table in
`protocols/__init__.py`. The module's docstring fills this form too: *Source of truth · Recognised by ·
Conversation · Resume · Activation · Read-back · What can go wrong · Pacing and quirks*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ble_ota.link import Advert, LinkFacts
from ble_ota.model import Component, Secret, VerifiedImage
from ble_ota.script import Script
from ble_ota.transcript import Redaction

S = TypeVar("S")
"""A driver's session: what the scripts of one link share."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What an advertisement says, read by the driver that knows its format. A hint, not a proof."""

    protocol: str
    product_key: str = ""
    device_key: str = ""


@dataclass(frozen=True, slots=True)
class Versions:
    """What a device says it runs."""

    by_component: Mapping[str, str] = field(default_factory=dict[str, str])
    """As `DeviceInfo.versions`; empty when the device says nothing."""
    proof: str = "device"
    """As `Installed.proof`."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Where another link, or another process, left a file. A hint: the device is the truth."""

    offset: int
    """Bytes of the file that the device had acknowledged."""
    age_s: float
    """Seconds since it did."""
    learned: str = ""
    """The last `Progress.learned`; it comes from a file, and may be anything."""


@dataclass(frozen=True, slots=True)
class Driver(Generic[S]):
    """How one protocol is spoken."""

    name: str
    recognise: Callable[[Advert], Sighting | None]
    """Read an advertisement; None if it is not of this protocol."""
    open: Callable[[LinkFacts, Secret | None], Script[S]]
    """Log in. Raises `MalformedError` on a link that lacks the protocol's characteristics, `LoginFailedError`."""
    identify: Callable[[S], Script[Versions]]
    """Ask what runs."""
    upload: Callable[[S, Component, VerifiedImage, Hint | None], Script[None]]
    """Send one file; returns when the device says it has it all and finds it good. With a hint its first `Progress`
    is the offset it carries on at, 0 when it starts over."""
    activate: Callable[[S], Script[bool]]
    """Let the device reboot; True when it dropped the link, which is the reboot itself. `LinkLostError` out of it
    is a link that went before the device could begin."""
    same: Callable[[Advert, Advert], bool]
    """Whether the second sighting, after a reboot, is the device of the first."""
    redact: Callable[[], Redaction[S]] | None = None
    """Makes, for one link, what takes the secrets out of its transcript; without it nothing but kinds and times is
    kept."""

"""The form every protocol fills.

A driver is a frozen set of functions and facts; a new vendor is one module and one line of the table in
`protocols/__init__.py`. The module's docstring fills this form too: *Source of truth · Recognised by ·
Conversation · Resume · Activation · Read-back · What can go wrong · Pacing and quirks*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ble_ota.link import Advert, LinkFacts
from ble_ota.model import Component, Secret, VerifiedImage
from ble_ota.proof import Versions
from ble_ota.script import Script
from ble_ota.transcript import Redaction

__all__ = ["Driver", "Hint", "Sighting", "Versions"]

S = TypeVar("S")
"""A driver's session: what the scripts of one link share."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What an advertisement says, read by the driver that knows its format. A hint, not a proof."""

    protocol: str
    product_key: str = ""
    device_key: str = ""


@dataclass(frozen=True, slots=True)
class Hint:
    """Where another link, or another process, left a file. A hint: the device is the truth."""

    offset: int
    """Bytes of the file that the device had acknowledged."""
    age_s: float
    """Seconds since it did."""
    learned: str = ""
    """The last `Progress.learned`; it comes from a file, and may be anything."""
    product: str = ""
    """The last `Progress.product`, from any device of this product; it comes from a file, and may be anything."""


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
    show_key: Callable[[S], Script[bool]] | None = None
    """Have the peer show that it has the key, by an exchange that changes nothing on the device; True if it has. Asked
    only after the reboot, where `identify` gave versions that do not show it. None: there is no such exchange."""
    version_setting: Callable[[str, int], str] | None = None
    """Return the line of the settings that reads the version of a component from an id of `Versions.texts`."""
    redact: Callable[[], Redaction[S]] | None = None
    """Makes, for one link, what takes the secrets out of its transcript; without it nothing but kinds and times is
    kept."""

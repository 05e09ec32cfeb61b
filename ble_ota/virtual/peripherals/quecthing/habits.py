"""What public sources leave open about a QuecThing device, and what a troubled one may do: one value each.

The defaults are a device that keeps to the documentation. Offsets are bytes of the file in transfer; what happens
"at" an offset happens when the packet that carries this byte is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause the device makes in the middle of a transfer."""

    at: int
    """Offset at which it pauses."""
    delay_s: int = 5
    """What it announces as id 8, in seconds."""
    lasts_s: float | None = 2.0
    """When it proceeds, in seconds; None: never."""
    answer: Literal["first", "then", "held"] = "first"
    """The answer to the packet in flight comes before the pause, right after it, or after the proceed."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How one virtual device behaves."""

    # What it dictates and how it reads the documents

    chunk_bytes: int = 200
    """Maximum packet length, told as id 11 with "receive"."""
    packet_bound: Literal["data", "frame"] = "data"
    """What `chunk_bytes` bounds: the data of id 10, or the whole frame before stuffing; larger packets are ignored."""
    id9: Literal["echo", "next"] = "echo"
    """What id 9 of an answer is: the packet's own start, or where the next one starts."""
    check_code: Literal["raw", "hex"] = "raw"
    """How id 5 is written: the digest's bytes, or their hexadecimal text."""
    gap: Literal["tells", "ignores", "cancels"] = "tells"
    """On a packet that starts beyond what it has: answers with the offset it wants, stays silent, or cancels."""
    keeps_session_over_disconnect: bool = False
    """Whether an unfinished file outlives the link (and the power): a new notification of the same file carries on."""
    patience_s: float = 15.0
    """Seconds without a correct frame after which it cancels (documented)."""

    # Security

    login_required: bool = True
    """Whether it leaves whoever is not logged in without an answer."""
    encrypt_transfer: bool = True
    """Whether payloads of 0x7020 to 0x7026 are encrypted once someone is logged in."""
    pads_empty: bool = False
    """Whether an empty payload is encrypted (to 16 bytes of padding) or stays empty. Either is understood."""

    # What it tells

    advert_format: Literal["2022", "new"] = "new"
    """Manufacturer data: MAC and product key (2022), or the company 0x5551 format."""
    bound: bool = True
    """Whether it advertises as bound to an account."""
    firmware_revision: bool = False
    """Whether 0x2A26 is there to read."""
    answers_version: bool = True
    """Whether 0x7040 is answered."""

    # Flash and boot

    flash_bytes: int = 100_000_000
    """Room for images in transfer; a file that does not fit is declined."""
    settle_s: float = 2.0
    """After a good file: how long it waits for a further one before it reboots."""
    boot_s: float = 3.0
    """How long a reboot takes; it is silent meanwhile."""
    reboots_without_ack: bool = False
    """Whether it installs a file whose "received, success" was never answered with 0x7024."""

    # Trouble

    declines: bool = False
    """Declines every file."""
    pauses: tuple[Pause, ...] = ()
    """Pauses it makes."""
    drops_while_paused: bool = False
    """Whether a packet that was in flight when it paused is lost; else it is answered after the proceed."""
    cancel_at: int | None = None
    """Cancels at this offset."""
    silent_after: int | None = None
    """From this offset on it says nothing more on this link, and does not listen."""
    wrong_offset_at: int | None = None
    """At this offset the answer names an offset that is not ours: one more than it should."""
    fail_at_end: bool = False
    """Says "received, failure" however good the file is."""
    boots_old: bool = False
    """Accepts and reboots, into what it ran before."""

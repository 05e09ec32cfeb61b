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
    stray_packet: Literal["ignores", "cancels", "declines"] = "ignores"
    """On a packet of a file that it does not receive: stays silent, cancels, or declines."""

    # How long an unfinished file lives

    patience_s: float = 15.0
    """Seconds without a correct frame after which it cancels and forgets the file (documented)."""
    keeps_session_over_disconnect: bool = False
    """Whether it stays as it is when the link goes, `patience_s` running on; else the file is forgotten."""
    keeps_session_over_power: bool = False
    """Whether it comes back from a power cut waiting for the rest, for `patience_s`; else the file is forgotten."""
    page_bytes: int = 4096
    """What a power cut leaves of an unfinished file: whole pages of so many bytes."""
    on_new_offer: Literal["restarts", "continues", "declines"] = "restarts"
    """On a notification while it keeps a file of a lost link: forgets that, keeps it if it is the same, or declines."""

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
    moves_version_id: int = 0
    """By so much the id of its version in 0x7041 is higher once it has said "success": newer firmware may differ."""

    # Flash and boot

    flash_bytes: int = 100_000_000
    """Room for images in transfer; a file that does not fit is declined."""
    erase_s: float = 0.0
    """How long it erases flash between a notification and its "receive"; it is silent meanwhile."""
    settle_s: float = 2.0
    """After a good file: how long it waits for a further one before it reboots."""
    boot_s: float = 3.0
    """How long a reboot takes; it is silent meanwhile."""
    reboots_without_ack: bool = False
    """Whether it installs a file whose "received, success" was never answered with 0x7024."""

    # Trouble: it says no

    declines: bool = False
    """Declines every file."""
    busy_times: int = 0
    """Declines so many times, then takes the file."""
    cancel_at: int | None = None
    """Cancels at this offset."""
    fail_at_end: bool = False
    """Says "received, failure" however good the file is."""

    # Trouble: it takes its time

    pauses: tuple[Pause, ...] = ()
    """Pauses it makes."""
    endless_pauses: bool = False
    """Pauses again right after each proceed, from the first of `pauses` on, or from the first packet."""
    drops_while_paused: bool = False
    """Whether a packet that was in flight when it paused is lost; else it is answered after the proceed."""
    slow_answer_s: float = 0.0
    """How late it deals with each packet, and answers it; one more may wait meanwhile."""
    silent_after: int | None = None
    """From this offset on it says nothing more on this link, and does not listen."""

    # Trouble: what it says is wrong

    wrong_offset_at: int | None = None
    """At this offset the answer names an offset that is not ours: one more than it should."""
    answers_offset: Literal["ahead", "behind", "beyond"] | None = None
    """At `answers_offset_at` its answer is two packets ahead, two behind (at least 0), or beyond the file's end."""
    answers_offset_at: int = 0
    """See `answers_offset`."""
    floods: int = 0
    """How many frames and values of junk it says unasked while it receives a file."""

    # Trouble: it is not what it says it is

    accepts_without_bytes: bool = False
    """Answers a notification with "receive" and at once with "success"; the reboot that follows changes nothing."""
    claims_version: str | None = None
    """What it tells as the version of everything, whatever it runs."""
    claims_version_after: Literal["always", "announcement", "success"] = "always"
    """From when it claims that: ever, once a file was announced, or once it has said "success"."""
    boots_old: bool = False
    """Accepts and reboots, into what it ran before."""
    reverts_after_s: float | None = None
    """How long it runs a new image before it falls back, by a reboot, to the one before; a power cut begins it anew."""
    never_returns: bool = False
    """Does not come back from a reboot until its power is taken and given again."""

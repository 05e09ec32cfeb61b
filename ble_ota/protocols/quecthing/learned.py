"""What a transfer learns about a device, in the words that are kept for another link: `200 next`, `64 echo`.

The number is the bytes of data per packet. *echo*: id 9 of an answer is the offset that was sent; *next*: the one
wanted next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ble_ota.protocols.driver import Hint
from ble_ota.protocols.quecthing.vocabulary import CHUNK_MAX

NO_QUESTION = "no question"
"""As `Progress.product`: a device of this product did not answer the packet that asks, but the next request."""
PATIENCE_S = 15.0  # documented: after so many seconds without a good packet the device has cancelled
_FORM = re.compile(r"([1-9][0-9]{0,4}) (echo|next)")


@dataclass(frozen=True, slots=True)
class Learned:
    """How a device takes a file."""

    chunk: int
    """Bytes of data per packet, 1 to `CHUNK_MAX`."""
    next_wanted: bool
    """Whether an answer names the next offset rather than the one sent."""

    def __str__(self) -> str:
        """The words that are kept; `learned` reads them."""
        return f"{self.chunk} {'next' if self.next_wanted else 'echo'}"


@dataclass(frozen=True, slots=True)
class Start:
    """Where a file may be carried on."""

    offset: int
    """Bytes that the device had acknowledged: above 0, at most the file's size, and the end of a packet."""
    packet: int
    """Where the packet begins that asks whether the device still knows: the next one, or the last once more."""
    learned: Learned


def learned(text: str) -> Learned | None:
    """Read what was kept; None if it cannot have been written by `Learned`."""
    found = _FORM.fullmatch(text)
    if found is None or int(found[1]) > CHUNK_MAX:
        return None
    return Learned(int(found[1]), found[2] == "next")


def start(hint: Hint | None, size: int) -> Start | None:
    """Where a file of `size` bytes may be carried on; None when it has to begin at its start."""
    known = learned(hint.learned) if hint is not None and hint.product != NO_QUESTION else None
    if hint is None or known is None or not 0 <= hint.age_s < PATIENCE_S or not 0 < hint.offset <= size:
        return None
    if hint.offset == size:
        return Start(size, (size - 1) // known.chunk * known.chunk, known)
    return None if hint.offset % known.chunk else Start(hint.offset, hint.offset, known)

"""How a device lies: which ways there are, how often, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Lie(Enum):
    """What becomes of a frame that the device means to say."""

    DROP = "it is not said"
    DUPLICATE = "it is said twice"
    DELAY = "it is said later, whatever comes in between"
    REORDER = "it is said after the next one"
    GARBLE = "one of its bytes is another"
    WRONG_ID = "it carries another packet id"
    TRUNCATE = "its end is missing"
    NOISE = "random bytes, in its place or before it"
    MESSAGE = "another command with random fields, sealed as agreed, in its place or before it"
    BAD_FIELDS = "the same, with fields that are cut short"
    OVERSIZED = "a frame of thousands of bytes, in its place or before it"


UNASKED = (Lie.NOISE, Lie.MESSAGE, Lie.BAD_FIELDS, Lie.OVERSIZED)  # what can be said without an occasion


@dataclass(frozen=True, slots=True)
class Lies:
    """A way of lying; the same one tells the same lies on the same occasions."""

    seed: int
    rate: float = 0.2
    """How often a frame is lied about, 0 to 1."""
    most: int | None = None
    """After so many lies it is honest; None: never."""
    kinds: tuple[Lie, ...] = tuple(Lie)
    """The ways it chooses from; a kind named twice is chosen twice as often."""
    unasked_every_s: float | None = None
    """While a link stands: how often, on average, it says a lie without an occasion; None: never."""
    delay_max_s: float = 8.0
    """The longest delay."""
    versions: tuple[str, ...] = ("", "0.0.0", "1.0.0-no", "\u202e0.1", "9" * 64)
    """What it claims to run; name what it should run here only where nobody's proof rests on that."""

"""Whether a failed attempt is worth another one, and when. stamina does the waiting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom

from firmware_cache.errors import DownloadError
from firmware_cache.limits import Limits

_chance = SystemRandom()


class Patience:
    """The judge of failed attempts of one download, for `stamina.retry_context`.

    Only attempts in a row that brought nothing count, for giving up and for the pause: a server that is down twenty
    times, and gives a little each time it is up, is waited for until the deadline. `kept` says how many bytes would not
    have to come again.
    """

    def __init__(self, limits: Limits, kept: Callable[[], int]) -> None:
        self._limits = limits
        self._kept = kept
        self._most = kept()
        self._left = limits.attempts

    def __call__(self, error: Exception) -> bool | float:
        """Return False to give up, or the seconds to wait before the next attempt."""
        if not isinstance(error, DownloadError) or not error.transient:
            return False
        kept = self._kept()
        moved = kept > self._most
        self._most = max(self._most, kept)
        self._left = self._limits.attempts if moved else self._left - 1
        if self._left <= 0:
            return False
        if error.retry_after_s is not None:
            return self._pause(error.retry_after_s)
        # stamina's own pause grows with every attempt, also with those that brought something.
        return self._pause(self._limits.pause_s * 2 ** max(0, self._limits.attempts - self._left - 1))

    def _pause(self, wished_s: float) -> float:
        """Bounded, and a little later by chance: so that a whole line does not come back at once."""
        return min(wished_s, self._limits.pause_max_s) + _chance.uniform(0, self._limits.pause_s)


def retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, at least 0; None without one that can be read (RFC 9110 10.2.3)."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])  # more digits are decades, and bounded later
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year or a zone of twenty digits is the latter
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())

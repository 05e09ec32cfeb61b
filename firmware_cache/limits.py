"""How slow, how long and how often a download may be. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How slow, how long and how often. All times are in seconds and above 0."""

    min_bytes_per_s: int = 1024
    """Average over a window below which a download is given up: 1 MB would take a quarter of an hour."""
    window_s: float = 20.0
    """How long the speed is watched before it is judged, and the longest silence."""
    deadline_s: float = 3600.0
    """For everything, attempts and pauses included."""
    connect_s: float = 10.0
    """For one connection, TLS included."""
    allow_http: bool = False
    """Plain http to other hosts than this machine."""
    allow_hosts: frozenset[str] = frozenset()
    """Hosts that a redirect may lead to although they are on this machine or in a private network; lower case."""
    attempts: int = 3
    """In a row that bring nothing, for what may pass: unreachable, 5xx, 429, dropped."""
    pause_s: float = 1.0
    """Before the second attempt; doubles with each further one, and up to as much again is added by chance."""
    pause_max_s: float = 120.0
    """Longest pause, the server's own wish (Retry-After) included."""
    lock_wait_s: float = 900.0
    """For another process that fetches the same file; then it is fetched beside it. Not part of the deadline."""


DEFAULTS = Limits()


class Pace:
    """Whether bytes keep coming fast enough, judged once a window."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._limits = limits
        self._since_s = now_s
        self._bytes = 0

    def slow(self, size_bytes: int, now_s: float) -> bool:
        """Note that `size_bytes` more came; True when the window that ends now was too slow."""
        self._bytes += size_bytes
        elapsed_s = now_s - self._since_s
        if elapsed_s < self._limits.window_s:
            return False
        slow = self._bytes < self._limits.min_bytes_per_s * elapsed_s
        self._since_s, self._bytes = now_s, 0
        return slow

"""How a controller of one's own is to carry its links."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """What is asked for; what a controller or a peer does not have is done without."""

    interval_ms: float = 15.0
    """Connection interval, 7.5 to 100, in steps of 1.25. A window of packets fills any; what waits for an answer takes
    two of them. 15 leaves room for several links, and every phone-grade peripheral is built for it."""
    phy_2m: bool = True
    """Whether to ask for the 2M PHY: 1.8 times the bytes per second of 1M, over a shorter distance."""
    data_bytes: int = 251
    """Longest link-layer payload, 27 to 251 (Core Specification Vol 6 Part B 4.5.10): 2.5 times the speed of 27."""
    mtu: int = 517
    """ATT MTU to offer, 23 to 517: a 512-byte value and its head fit; the peer answers with what it can."""
    supervision_s: float = 6.0
    """How long a link may be silent before it counts as lost, 1 to 32: a device that erases flash is."""
    links: int = 8
    """Links at once, 1 to 32; fewer where the controller has fewer packet buffers, or says that it is full."""


DEFAULT = LinkOptions()

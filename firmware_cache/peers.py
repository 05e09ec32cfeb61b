"""Where a redirect may lead: nowhere on this machine or in a private network, unless the caller is there already.

Asked twice: of the addresses that a name has, before anything is sent there, and of the one that the connection really
has, before its body is read, since a name may change in between.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias, cast

import httpx

from firmware_cache.address import shown
from firmware_cache.errors import DownloadError
from firmware_cache.limits import Limits

_Address: TypeAlias = IPv4Address | IPv6Address
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 2.1: the last 32 bits are an IPv4 address


def read_address(text: str) -> _Address | None:
    """Give the address that `text` is, an IPv4 one as such however it is wrapped; None if it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else inner or address


def is_inside(address: _Address, home: _Address | None) -> bool:
    """Whether `address` is on this machine or in a private network, and not where `home` is."""
    if address.is_global and not address.is_multicast:
        return False
    return address != home and not (address.is_loopback and home is not None and home.is_loopback)


def peer(response: httpx.Response) -> _Address | None:
    """Give the address that the answer came from: a proxy's, where there is one; None where nothing knows it."""
    stream = response.extensions.get("network_stream")
    found = stream.get_extra_info("server_addr") if stream is not None else None
    # A path, for a socket of this machine.
    return read_address(str(cast("tuple[object, ...]", found)[0])) if isinstance(found, tuple) else None


async def check_name(url: httpx.URL, home: _Address | None, limits: Limits) -> None:
    """Look up the host of a redirect, and refuse it if any of its addresses is inside.

    Raises:
        DownloadError: One is.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limits.connect_s):
            found = await loop.getaddrinfo(url.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # a proxy may know more names than we do, and without one the connection fails by itself
    for *_, (host, *_) in found:
        check(url, read_address(str(host)), home, limits)


def check(url: httpx.URL, address: _Address | None, home: _Address | None, limits: Limits) -> None:
    """Refuse an address inside, unless the host is allowed; `home` is where the caller's own address led.

    Raises:
        DownloadError: It is inside.
    """
    if address is None or url.host in limits.allow_hosts or not is_inside(address, home):
        return
    msg = f"a redirect leads to {shown(url)}, which is on this machine or in a private network: not followed"
    raise DownloadError(msg, url=str(url), hint="If that is meant to be, allow this host")

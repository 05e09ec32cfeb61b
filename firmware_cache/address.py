"""Which addresses may be followed, and what of an address may be shown or logged."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from ipaddress import ip_address

import httpx

from firmware_cache.errors import DownloadError, clean


def parse(text: str, *, allow_http: bool) -> httpx.URL:
    """Read an address and check that it may be fetched from.

    Raises:
        DownloadError: It is no address, has no host, or is neither https nor http where that is allowed.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        msg = "the address of the file cannot be read"
        raise DownloadError(msg, url=text) from None  # httpx would quote parts of it
    return _allowed(url, allow_http=allow_http)


def redirected(url: httpx.URL, location: str, *, allow_http: bool) -> httpx.URL:
    """Where `url` sends us with `location`.

    Raises:
        DownloadError: The new address may not be fetched from, or leads from https to http.
    """
    try:
        target = url.join(location)
    except httpx.InvalidURL:
        msg = f"{shown(url)} redirects to an address that cannot be read"
        raise DownloadError(msg, url=str(url)) from None
    if url.scheme == "https" and target.scheme == "http":
        msg = f"{shown(url)} redirects from https to plain http ({shown(target)}), which is never followed"
        raise DownloadError(msg, url=str(target))
    return _allowed(target, allow_http=allow_http)


def shown(url: httpx.URL) -> str:
    """The host alone: path and query may be a signature, the part before @ a password."""
    return clean(url.raw_host.decode("ascii"))


def is_loopback(host: str) -> bool:
    """Whether `host` is this very machine, by its name or number alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _allowed(url: httpx.URL, *, allow_http: bool) -> httpx.URL:
    if url.scheme not in {"http", "https"} or not url.host:
        msg = "the address of the file is neither http nor https"
        raise DownloadError(msg, url=str(url))
    if url.scheme == "http" and not allow_http and not is_loopback(url.host):
        msg = f"plain http from {shown(url)} is refused: anybody on the way can see and change it"
        raise DownloadError(msg, url=str(url), hint="Use an https address")
    return url


@contextmanager
def secret_addresses() -> Generator[None, None, None]:
    """Keep whole addresses out of httpx's own log, which writes every request at INFO."""
    logger, only_hosts = logging.getLogger("httpx"), _OnlyHosts()
    logger.addFilter(only_hosts)
    try:
        yield
    finally:
        logger.removeFilter(only_hosts)


class _OnlyHosts(logging.Filter):
    """Leaves of every address in a record its host. One per download, so that the end of one uncovers no other."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        record.args = tuple(shown(a) if isinstance(a, httpx.URL) else a for a in arguments) or record.args
        return True

from __future__ import annotations

import socket
from ipaddress import IPv4Address, ip_address

import httpx
import pytest

from firmware_cache import DownloadError, Limits
from firmware_cache.peers import check, check_name, is_inside, peer, read_address

OUTSIDE = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
INSIDE = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",  # noqa: S104 - an address, not a place to listen at
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%2",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
]


def inside(text: str, home: str | None = None) -> bool:
    address = read_address(text)
    assert address
    return is_inside(address, ip_address(home) if home else None)


@pytest.mark.parametrize("text", INSIDE)
def test_this_machine_and_private_networks_are_inside(text: str) -> None:
    assert inside(text)


@pytest.mark.parametrize("text", OUTSIDE)
def test_the_open_network_is_outside(text: str) -> None:
    assert not inside(text)


@pytest.mark.parametrize("text", ["example.com", "", "1.2.3", "::g"])
def test_a_name_is_no_address(text: str) -> None:
    assert read_address(text) is None


def test_where_the_callers_own_address_led_one_is_already() -> None:
    assert (inside("10.0.0.1", "10.0.0.1"), inside("10.0.0.2", "10.0.0.1")) == (False, True)


def test_this_machine_is_one_place() -> None:
    assert (inside("127.0.0.2", "::1"), inside("127.0.0.1", "10.0.0.1")) == (False, True)


def test_a_host_inside_may_be_allowed() -> None:
    limits = Limits(allow_hosts=frozenset({"cache.local"}))
    check(httpx.URL("https://cache.local/a"), IPv4Address("10.0.0.1"), None, limits)
    with pytest.raises(DownloadError, match=r"a redirect leads to other\.local"):
        check(httpx.URL("https://other.local/a"), IPv4Address("10.0.0.1"), None, limits)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "2130706433", "127.1", "10.1.2.3"])
async def test_a_name_that_leads_inside_is_refused(host: str) -> None:
    with pytest.raises(DownloadError, match="on this machine or in a private network"):
        await check_name(httpx.URL(f"https://{host}/a?sig=s3cret"), None, Limits())


async def test_one_address_inside_among_others_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(2, 1, 6, "", ("8.8.8.8", 0)), (2, 1, 6, "", ("10.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(DownloadError, match="private network"):
        await check_name(httpx.URL("https://both.example.com/a"), None, Limits())


async def test_a_name_that_leads_outside_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("8.8.8.8", 0))])
    await check_name(httpx.URL("https://cdn.example.com/a"), None, Limits())


@pytest.mark.parametrize("error", [socket.gaierror(), UnicodeError()])
async def test_a_name_that_is_not_known_is_left_to_the_connection(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    await check_name(httpx.URL("https://cdn.example.com/a"), None, Limits())


class Stream:
    """What a connection says of itself."""

    def __init__(self, said: object) -> None:
        self._said = said

    def get_extra_info(self, _name: str) -> object:
        return self._said


@pytest.mark.parametrize(
    ("said", "address"),
    [
        (("10.0.0.1", 443), "10.0.0.1"),
        (("::1", 443, 0, 0), "::1"),
        (("fe80::1%eth0", 443, 0, 2), "fe80::1%eth0"),
        ("/run/socket", None),
        (None, None),
    ],
)
def test_the_other_end_of_a_connection_is_known(said: object, address: str | None) -> None:
    response = httpx.Response(200, extensions={"network_stream": Stream(said)})
    assert peer(response) == (ip_address(address) if address else None)


def test_an_answer_without_a_connection_has_no_other_end() -> None:
    assert peer(httpx.Response(200)) is None

from __future__ import annotations

import socket
import ssl
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from firmware_cache import DownloadError, FirmwareCache, Limits, peers
from tests.firmware_cache.conftest import REF, refused
from tests.firmware_cache.origin import CONTENT, Origin, answer, redirect, silence


async def test_no_encoding_is_asked_for(cache: FirmwareCache, origin: Origin) -> None:
    await cache.fetch(REF, origin.serve(answer()))
    assert "accept-encoding: identity\r\n" in origin.requests[0].lower()


async def test_nothing_of_the_callers_client_is_sent_along(cache: FirmwareCache, origin: Origin) -> None:
    secrets: dict[str, str] = {"Authorization": "s3cret-token"}
    async with httpx.AsyncClient(
        headers=secrets, cookies={"session": "s3cret"}, params={"q": "s3cret"}, auth=("me", "s3cret"), trust_env=False
    ) as client:
        url = origin.serve(answer()).partition("?")[0]
        await cache.fetch(REF, url, client=client)
    head = origin.requests[0].lower()
    assert [word for word in ("authorization", "cookie", "s3cret") if word in head] == []


async def test_silence_before_the_answer_is_named(cache: FirmwareCache, origin: Origin) -> None:
    error = await refused(cache, origin.serve(silence), limits=Limits(window_s=0.05, attempts=1))
    assert str(error) == "127.0.0.1 cannot be reached: no answer in time"


async def test_a_server_that_is_not_there_is_named(cache: FirmwareCache) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = await refused(cache, f"http://127.0.0.1:{port}/fw.bin?sig=s3cret")
    assert str(error).startswith("127.0.0.1 cannot be reached: ")


@pytest.mark.parametrize("host", ["a..b.invalid", "a" * 300 + ".invalid"])
async def test_a_host_that_cannot_be_is_named(cache: FirmwareCache, host: str) -> None:
    error = await refused(cache, f"https://{host}/fw.bin?sig=s3cret", limits=Limits(attempts=1))
    assert "cannot be" in str(error)


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(cache: FirmwareCache, origin: Origin, status: int) -> None:
    origin.serve(answer(), path="/there")
    url = origin.serve(redirect("/there", f"{status} There"))
    assert (await cache.fetch(REF, url)).read() == CONTENT


async def test_five_redirects_are_followed(cache: FirmwareCache, origin: Origin) -> None:
    assert (await cache.fetch(REF, origin.serve(*[redirect("/fw.bin")] * 5, answer()))).read() == CONTENT


async def test_a_redirect_loop_ends_after_five(cache: FirmwareCache, origin: Origin) -> None:
    error = await refused(cache, origin.serve(redirect("/fw.bin?sig=s3cret")))
    assert (str(error), len(origin.requests)) == ("127.0.0.1 redirects more than 5 times", 6)


async def test_a_redirect_to_nowhere_is_a_status(cache: FirmwareCache, origin: Origin) -> None:
    error = await refused(cache, origin.serve(answer(b"", status="302 Found")))
    assert str(error) == "127.0.0.1 answered 302 where 200 was expected"


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("file:///etc/passwd", "neither http nor https"),
        ("mailto:someone", "redirects to an address that cannot be read"),
        ("http://192.0.2.1/fw.bin", "plain http from 192.0.2.1 is refused"),
    ],
)
async def test_a_redirect_out_of_bounds_is_not_followed(
    cache: FirmwareCache, origin: Origin, to: str, sentence: str
) -> None:
    error = await refused(cache, origin.serve(redirect(to)))
    assert sentence in str(error)


async def test_a_redirect_that_is_no_address_is_an_error_of_ours(cache: FirmwareCache, origin: Origin) -> None:
    error = await refused(cache, origin.serve(redirect("https://x:99999999/")))
    assert isinstance(error, DownloadError)


async def test_plain_http_elsewhere_is_refused(cache: FirmwareCache) -> None:
    error = await refused(cache, "http://192.0.2.1/fw.bin?sig=s3cret")
    assert "plain http from 192.0.2.1 is refused" in str(error)


async def test_a_redirect_into_a_private_network_is_not_followed(cache: FirmwareCache, origin: Origin) -> None:
    error = await refused(cache, origin.serve(redirect("https://10.9.8.7/fw.bin?sig=s3cret")))
    assert str(error).startswith("a redirect leads to 10.9.8.7, which is on this machine or in a private network")
    assert "allow this host" in error.hint


@pytest.mark.parametrize("allowed", [frozenset[str](), frozenset({"127.0.0.1"})])
async def test_a_name_that_leads_elsewhere_by_now_is_noticed_before_the_body(
    cache: FirmwareCache, origin: Origin, monkeypatch: pytest.MonkeyPatch, allowed: frozenset[str]
) -> None:
    async def outside(*_: object) -> None:
        """What the name was when it was looked up."""

    homes = iter([ip_address("8.8.8.8"), ip_address("127.0.0.1")])
    monkeypatch.setattr(peers, "check_name", outside)
    monkeypatch.setattr(peers, "peer", lambda _: next(homes))
    url, limits = origin.serve(redirect("/there")), Limits(allow_hosts=allowed)
    origin.serve(answer(), path="/there")
    if allowed:
        assert (await cache.fetch(REF, url, limits=limits)).read() == CONTENT
    else:
        assert "private network" in str(await refused(cache, url, limits=limits))


# ---------------------------------------------------------------- TLS


async def test_an_unknown_certificate_is_refused_once(cache: FirmwareCache, tls_origin: Origin) -> None:
    error = await refused(cache, tls_origin.serve(answer()))
    assert "certificate verify failed" in str(error)
    assert getattr(error, "transient", None) is False


@pytest.fixture
def trusting(certificate: tuple[Path, Path]) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(certificate[0])), trust_env=False)


async def test_a_known_certificate_is_accepted(
    cache: FirmwareCache, tls_origin: Origin, trusting: httpx.AsyncClient
) -> None:
    async with trusting:
        assert (await cache.fetch(REF, tls_origin.serve(answer()), client=trusting)).read() == CONTENT


async def test_a_redirect_from_https_to_http_is_not_followed(
    cache: FirmwareCache, origin: Origin, tls_origin: Origin, trusting: httpx.AsyncClient
) -> None:
    url = tls_origin.serve(redirect(origin.serve(answer())))
    async with trusting:
        with pytest.raises(DownloadError, match="from https to plain http"):
            await cache.fetch(REF, url, client=trusting, limits=Limits(allow_http=True))
    assert origin.requests == []

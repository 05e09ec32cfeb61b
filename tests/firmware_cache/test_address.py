from __future__ import annotations

import logging

import httpx
import pytest

from firmware_cache import DownloadError
from firmware_cache.address import is_loopback, parse, redirected, secret_addresses, shown

SIGNED = "https://user:pw@cdn.example.com/fw/path.bin?sig=s3cret"


@pytest.mark.parametrize(
    "text",
    ["https://cdn.example.com/a", "http://127.0.0.1:8/a", "http://127.9.9.9/a", "http://localhost/a", "http://[::1]/a"],
)
def test_https_anywhere_and_http_on_this_machine_are_allowed(text: str) -> None:
    assert str(parse(text, allow_http=False)) == text


@pytest.mark.parametrize(
    "text",
    [
        "http://cdn.example.com/a",
        "http://192.168.0.1/a",
        "http://0.0.0.0/a",
        "http://127.0.0.1.example.com/a",
        "http://localhost.example.com/a",
        "http://localhost@cdn.example.com/a",
    ],
)
def test_plain_http_to_another_machine_is_refused(text: str) -> None:
    with pytest.raises(DownloadError, match=r"plain http from .* is refused"):
        parse(text, allow_http=False)


def test_plain_http_can_be_allowed() -> None:
    assert parse("http://192.168.0.1/a", allow_http=True).host == "192.168.0.1"


@pytest.mark.parametrize(
    "text", ["file:///etc/passwd", "ftp://example.com/a", "fw.bin", "//example.com/a", "https:///a", ""]
)
def test_what_is_no_web_address_is_refused(text: str) -> None:
    with pytest.raises(DownloadError, match="neither http nor https"):
        parse(text, allow_http=True)


@pytest.mark.parametrize(
    "text", ["https://example.com:port/s3cret", "https://exa\nmple.com/s3cret", "https://[::zz]/s3cret"]
)
def test_an_address_that_cannot_be_read_is_not_quoted(text: str) -> None:
    with pytest.raises(DownloadError, match=r"^the address of the file cannot be read$") as caught:
        parse(text, allow_http=False)
    assert caught.value.url == text


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://other.example.com/b?x=1", "https://other.example.com/b?x=1"),
        ("/b", "https://cdn.example.com/b"),
        ("b", "https://cdn.example.com/fw/b"),
        ("//other.example.com/b", "https://other.example.com/b"),
    ],
)
def test_a_redirect_may_lead_anywhere_by_https(location: str, target: str) -> None:
    url = httpx.URL("https://cdn.example.com/fw/path.bin")
    assert str(redirected(url, location, allow_http=False)) == target


@pytest.mark.parametrize("location", ["http://cdn.example.com/b", "http://127.0.0.1/b", "HTTP://cdn.example.com/b"])
def test_a_redirect_from_https_to_http_is_never_followed(location: str) -> None:
    with pytest.raises(DownloadError, match="from https to plain http"):
        redirected(httpx.URL(SIGNED), location, allow_http=True)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://example.com/a", "data:,x"])
def test_a_redirect_to_what_is_no_web_address_is_refused(location: str) -> None:
    with pytest.raises(DownloadError, match="neither http nor https"):
        redirected(httpx.URL(SIGNED), location, allow_http=True)


def test_a_redirect_from_this_machine_to_plain_http_elsewhere_is_refused() -> None:
    with pytest.raises(DownloadError, match=r"plain http from cdn\.example\.com is refused"):
        redirected(httpx.URL("http://127.0.0.1/a"), "http://cdn.example.com/a", allow_http=False)


def test_a_redirect_that_cannot_be_read_names_who_sent_it() -> None:
    with pytest.raises(DownloadError, match=r"^cdn\.example\.com redirects to an address that cannot be read$"):
        redirected(httpx.URL(SIGNED), "https://x:port/s3cret", allow_http=False)


def test_of_an_address_only_the_host_is_shown() -> None:
    assert shown(httpx.URL(SIGNED)) == "cdn.example.com"


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("127.8.8.8", True), ("::1", True), ("example.com", False), ("10.0.0.1", False)],
)
def test_loopback_is_told_by_name_and_number(host: str, here: bool) -> None:
    assert is_loopback(host) is here


def logged(caplog: pytest.LogCaptureFixture) -> str:
    caplog.set_level(logging.INFO, "httpx")
    logging.getLogger("httpx").info("HTTP Request: %s %s", "GET", httpx.URL(SIGNED))
    return caplog.messages[-1]


def test_the_log_holds_the_host_alone(caplog: pytest.LogCaptureFixture) -> None:
    with secret_addresses():
        assert logged(caplog) == "HTTP Request: GET cdn.example.com"


def test_the_end_of_one_download_uncovers_no_other(caplog: pytest.LogCaptureFixture) -> None:
    with secret_addresses():
        with secret_addresses():
            pass
        assert "s3cret" not in logged(caplog)


def test_the_log_of_others_is_left_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    with secret_addresses():
        pass
    assert "s3cret" in logged(caplog)


def test_records_of_another_shape_pass_unharmed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "httpx")
    with secret_addresses():
        logging.getLogger("httpx").info("%(a)s", {"a": 1})
        logging.getLogger("httpx").info("plain")
    assert caplog.messages == ["1", "plain"]

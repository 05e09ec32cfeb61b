from __future__ import annotations

import asyncio
import datetime
import errno
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ble_ota.cloud.endpoints import ENDPOINTS, override
from ble_ota.cloud.exchange import Exchange
from ble_ota.cloud.pace import Pace
from ble_ota.errors import ApiError, BleOtaError, CloudAnswerError, CloudUnreachableError, SettingsError
from ble_ota.model import Secret
from tests.cloud.conftest import NOW_S, OK, Center, Reply

QUERY = ENDPOINTS["userInfo"]
PLAN = ENDPOINTS["getFetchPlan"]
REPORT = ENDPOINTS["reportUpgradeStatus"]
LOGIN = ENDPOINTS["emailPwdLogin"]

BUSY = Reply("busy", status=503, content_type="text/plain")


def exchange(transport: httpx.AsyncBaseTransport | None = None, base: str = "https://cloud.example") -> Exchange:
    return Exchange(base, transport=transport, timeout_s=30, clock=lambda: NOW_S, pace=Pace(at_once=4, per_s=1000))


class Broken(httpx.AsyncBaseTransport):
    """Fails each request in the way it is told, as httpx does: with an error that knows the request."""

    def __init__(self, error: type[httpx.TransportError], cause: BaseException | None = None) -> None:
        self.at_s: list[float] = []
        self._error = error
        self._cause = cause

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.at_s.append(asyncio.get_running_loop().time())
        raise self._error(f"could not reach {request.url}", request=request) from self._cause


class Endless(httpx.AsyncBaseTransport):
    """Sends a body without end, a megabyte at a time, and counts what was taken of it."""

    def __init__(self, pause_s: float = 0) -> None:
        self.megabytes = 0
        self.closed = False
        self._pause_s = pause_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self._Stream(self), request=request)

    class _Stream(httpx.AsyncByteStream):
        def __init__(self, owner: Endless) -> None:
            self._owner = owner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(self._owner._pause_s)
                self._owner.megabytes += 1
                yield b" " * (10**6 if not self._owner._pause_s else 1)

        async def aclose(self) -> None:
            self._owner.closed = True


async def test_query_parameters_go_into_the_query(center: Center) -> None:
    center.says("deviceInfo", OK)
    await exchange(center.transport).call(
        ENDPOINTS["deviceInfo"], {"product_key": "p 1", "device_key": "d&1"}, doing=""
    )
    assert center.asked[0].query == {"pk": "p 1", "dk": "d&1"}


async def test_json_parameters_go_into_a_json_body(center: Center) -> None:
    center.says("getFetchPlan", OK)
    values = {"product_key": "p1", "mcu_versions": [{"componentNo": "M1"}]}
    await exchange(center.transport).call(PLAN, values, doing="")
    assert center.asked[0].body == b'{"productKey":"p1","mcuVersions":[{"componentNo":"M1"}]}'


async def test_form_parameters_go_into_a_form(center: Center) -> None:
    center.says("getFetchPlan", OK)
    form = type(PLAN)(PLAN.name, "POST", PLAN.path, "form", "inferred", fields=PLAN.fields)
    await exchange(center.transport).call(form, {"product_key": "p 1", "mcu_versions": [{"a": "b"}]}, doing="")
    assert center.asked[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert center.asked[0].body == b"productKey=p+1&mcuVersions=%5B%7B%22a%22%3A+%22b%22%7D%5D"


async def test_a_call_about_many_devices_sends_a_bare_list(center: Center) -> None:
    center.says("getBatchUpgradeDetails", OK)
    records: list[dict[str, object]] = [
        {"product_key": "p", "device_key": "1"},
        {"product_key": "p", "device_key": "2", "plan_id": None},
    ]
    await exchange(center.transport).call(ENDPOINTS["getBatchUpgradeDetails"], records, doing="asking")
    assert json.loads(center.asked[0].body) == [
        {"productKey": "p", "deviceKey": "1"},
        {"productKey": "p", "deviceKey": "2"},
    ]


@pytest.mark.parametrize("place", ["query", "form"])
async def test_a_list_in_a_query_or_a_form_is_json_under_its_name(center: Center, place: str) -> None:
    center.says("getBatchUpgradeDetails", OK)
    changes = {"getBatchUpgradeDetails": {"parameters": place, "wrapped_in": "arr"}}
    endpoint = override(ENDPOINTS, changes)["getBatchUpgradeDetails"]
    await exchange(center.transport).call(endpoint, [{"product_key": "p", "device_key": "ü"}], doing="asking")
    asked = center.asked[0]
    sent = asked.query if place == "query" else dict(parse_qsl(asked.body.decode()))
    assert {name: json.loads(text) for name, text in sent.items()} == {"arr": [{"productKey": "p", "deviceKey": "ü"}]}


@pytest.mark.looptime
async def test_a_server_that_has_had_enough_is_left_alone_by_all(center: Center) -> None:
    busy = Reply("busy", status=429, content_type="text/plain", headers={"Retry-After": "7"})
    center.says("deviceInfo", busy, OK)
    center.says("userInfo", OK)
    ours = exchange(center.transport)
    struck = asyncio.ensure_future(ours.call(ENDPOINTS["deviceInfo"], {}, doing="asking"))
    await center.until_asked(1)
    await asyncio.sleep(0.1)
    await ours.call(ENDPOINTS["userInfo"], {}, doing="asking")
    await struck
    assert [asked.at_s for asked in center.asked] == [0, 7, 7]


async def test_the_path_is_put_after_the_url(center: Center) -> None:
    center.says("userInfo", OK)
    await exchange(center.transport, "https://own.example/iot/").call(QUERY, {}, doing="")
    assert center.asked[0].path == "/iot/v2/enduser/enduserapi/userInfo"


async def test_the_token_is_sent_verbatim(center: Center) -> None:
    center.says("userInfo", OK)
    await exchange(center.transport).call(QUERY, {}, doing="", token=Secret("Bearer a.b.c"))
    assert center.asked[0].token == "Bearer a.b.c"


async def test_without_a_token_no_authorization_is_sent(center: Center) -> None:
    center.says("userInfo", OK)
    await exchange(center.transport).call(QUERY, {}, doing="")
    assert center.asked[0].token is None


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError):
        exchange(base="http://cloud.example")


@pytest.mark.looptime
@pytest.mark.parametrize("passing", [BUSY, Reply("", status=500), Reply('{"code": 5000, "msg": "x"}', status=429)])
async def test_a_query_is_tried_again_while_the_server_has_a_passing_trouble(center: Center, passing: Reply) -> None:
    center.says("userInfo", passing, passing, Reply('{"code": 200, "data": 7}'))
    assert await exchange(center.transport).call(QUERY, {}, doing="") == 7


@pytest.mark.looptime
async def test_a_plan_query_is_tried_again_although_it_is_a_post(center: Center) -> None:
    center.says("getFetchPlan", BUSY, Reply(OK))
    await exchange(center.transport).call(PLAN, {}, doing="")
    assert len(center.asked) == 2


@pytest.mark.looptime
async def test_a_query_is_not_tried_a_fourth_time(center: Center) -> None:
    center.says("userInfo", BUSY)
    with pytest.raises(CloudAnswerError, match="503"):
        await exchange(center.transport).call(QUERY, {}, doing="")
    assert len(center.asked) == 3


@pytest.mark.looptime
@pytest.mark.parametrize("endpoint", [REPORT, LOGIN, ENDPOINTS["refreshToken"], ENDPOINTS["userLogout"]])
async def test_what_changes_something_is_sent_once(center: Center, endpoint: object) -> None:
    assert isinstance(endpoint, type(REPORT))
    center.says(endpoint.name, BUSY, Reply(OK))
    with pytest.raises(CloudAnswerError):
        await exchange(center.transport).call(endpoint, {}, doing="")
    assert len(center.asked) == 1


@pytest.mark.looptime
@pytest.mark.parametrize(("endpoint", "requests"), [(QUERY, 3), (PLAN, 3), (REPORT, 1), (LOGIN, 1)])
async def test_a_lost_connection_is_tried_again_only_where_that_is_safe(endpoint: object, requests: int) -> None:
    assert isinstance(endpoint, type(REPORT))
    broken = Broken(httpx.ReadError)
    with pytest.raises(CloudUnreachableError):
        await exchange(broken).call(endpoint, {}, doing="")
    assert broken.at_s == [0, 0.5, 1.5][:requests]


@pytest.mark.parametrize("reply", [Reply("{}", status=404), Reply('{"code": 5041, "msg": ""}')])
async def test_a_lasting_trouble_is_not_tried_again(center: Center, reply: Reply) -> None:
    center.says("userInfo", reply)
    with pytest.raises(BleOtaError):
        await exchange(center.transport).call(QUERY, {}, doing="")
    assert len(center.asked) == 1


DATE_IN_7_S = "Wed, 16 Apr 2025 05:16:33 GMT"  # NOW_S + 7


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("retry_after", "waited_s"),
    [
        ("7", 7),
        ("10", 10),
        ("0", 0),
        (DATE_IN_7_S, 7),
        ("Wed, 16 Apr 2025 05:16:00 GMT", 0),
        ("soon", 0.5),
        ("-1", 0.5),
        ("Wed, 16 Apr 20250000000000000000 05:16:40 GMT", 0.5),
        ("Wed, 16 Apr 2025 05:16:40 +99999999999999999999", 0.5),
    ],
)
async def test_the_server_says_how_long_to_wait(center: Center, retry_after: str, waited_s: float) -> None:
    center.says("userInfo", Reply("", status=429, headers={"Retry-After": retry_after}), Reply(OK))
    await exchange(center.transport).call(QUERY, {}, doing="")
    assert center.asked[1].at_s - center.asked[0].at_s == pytest.approx(waited_s)


@pytest.mark.looptime
@pytest.mark.parametrize("retry_after", ["11", "999999999999", "Wed, 16 Apr 2125 05:16:33 GMT"])
async def test_a_server_that_wants_too_long_is_not_waited_for(center: Center, retry_after: str) -> None:
    center.says("userInfo", Reply("", status=429, headers={"Retry-After": retry_after}))
    with pytest.raises(CloudAnswerError, match="429"):
        await exchange(center.transport).call(QUERY, {}, doing="")
    assert len(center.asked) == 1


@pytest.mark.looptime
async def test_a_server_that_wants_a_century_delays_later_calls_by_ten_seconds(center: Center) -> None:
    center.says("userInfo", Reply("", status=429, headers={"Retry-After": "3155760000"}), OK)
    ours = exchange(center.transport)
    with pytest.raises(CloudAnswerError, match="429"):
        await ours.call(QUERY, {}, doing="")
    for _ in range(2):
        await ours.call(QUERY, {}, doing="")
    assert [asked.at_s for asked in center.asked] == [0, 10, 10]


@pytest.mark.looptime
async def test_a_passing_trouble_of_one_call_does_not_hold_up_others(center: Center) -> None:
    """503 is about this call; 429 alone means everybody."""
    center.says("userInfo", Reply("", status=503, headers={"Retry-After": "7"}), OK)
    center.says("deviceInfo", OK)
    ours = exchange(center.transport)
    struck = asyncio.ensure_future(ours.call(QUERY, {}, doing=""))
    await center.until_asked(1)
    await asyncio.sleep(1)
    await ours.call(ENDPOINTS["deviceInfo"], {}, doing="")
    await struck
    assert [(asked.name, asked.at_s) for asked in center.asked] == [("userInfo", 0), ("deviceInfo", 1), ("userInfo", 7)]


@pytest.mark.looptime
async def test_a_call_that_is_cancelled_leaves_its_turn_to_the_next(center: Center) -> None:
    center.says("userInfo", Reply(OK, gate=asyncio.Event()), OK)
    ours = Exchange(
        "https://cloud.example",
        transport=center.transport,
        timeout_s=30,
        clock=lambda: NOW_S,
        pace=Pace(at_once=1, per_s=1000),
    )
    stuck = asyncio.ensure_future(ours.call(QUERY, {}, doing=""))
    await center.until_asked(1)
    stuck.cancel()
    await asyncio.wait([stuck])
    assert stuck.cancelled()
    await ours.call(QUERY, {}, doing="")
    assert [asked.at_s for asked in center.asked] == [0, 0]


@pytest.mark.looptime
async def test_a_server_that_does_not_answer_is_given_up(center: Center) -> None:
    center.says("reportUpgradeStatus", Reply(OK, gate=asyncio.Event()))
    with pytest.raises(
        CloudUnreachableError, match=r"reporting: no answer from cloud\.example: nothing came within 30 s"
    ):
        async with asyncio.timeout(60):
            await exchange(center.transport).call(REPORT, {}, doing="reporting")


@pytest.mark.looptime
async def test_a_body_that_drips_is_given_up_after_the_time_for_one_try() -> None:
    dripping = Endless(pause_s=1)
    with pytest.raises(CloudUnreachableError, match="30 s"):
        async with asyncio.timeout(60):
            await exchange(dripping).call(REPORT, {}, doing="reporting")
    assert dripping.megabytes == 29


async def test_a_body_without_end_is_cut_at_the_cap() -> None:
    endless = Endless()
    with pytest.raises(CloudAnswerError, match="larger than 5000000 bytes"):
        await exchange(endless).call(QUERY, {}, doing="")
    assert endless.megabytes == 6


async def test_a_cut_body_is_let_go() -> None:
    endless = Endless()
    with pytest.raises(CloudAnswerError):
        await exchange(endless).call(QUERY, {}, doing="")
    assert endless.closed


async def test_a_body_of_just_the_cap_is_read(center: Center) -> None:
    envelope = '{"code": 200, "data": 7}'
    center.says("userInfo", envelope + " " * (5_000_000 - len(envelope)))
    assert await exchange(center.transport).call(QUERY, {}, doing="") == 7


async def test_a_packed_body_is_not_unpacked(center: Center) -> None:
    center.says("userInfo", Reply(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(CloudAnswerError, match="packed"):
        await exchange(center.transport).call(QUERY, {}, doing="")


async def test_no_packing_is_asked_for(center: Center) -> None:
    center.says("userInfo", OK)
    await exchange(center.transport).call(QUERY, {}, doing="")
    assert center.asked[0].headers["accept-encoding"] == "identity"


async def test_a_redirect_is_not_followed(center: Center) -> None:
    center.says("userInfo", Reply("", status=302, headers={"Location": "https://evil.example/"}))
    with pytest.raises(CloudAnswerError, match="redirect"):
        await exchange(center.transport).call(QUERY, {}, doing="")
    assert center.names() == ["userInfo"]


@pytest.mark.parametrize(
    ("error", "cause", "words"),
    [
        (httpx.ConnectError, OSError(errno.ECONNREFUSED, "Connection refused"), "Connection refused"),
        (httpx.ConnectError, OSError("all connection attempts failed"), "the connection broke off"),
        (httpx.ReadError, None, "the connection broke off"),
        (httpx.RemoteProtocolError, None, "the connection broke off"),
        (httpx.ConnectTimeout, None, "in time"),
    ],
)
async def test_a_way_to_fail_is_named(error: type[httpx.TransportError], cause: OSError | None, words: str) -> None:
    with pytest.raises(CloudUnreachableError, match=rf"trying: no answer from cloud\.example: .*{words}"):
        await exchange(Broken(error, cause)).call(REPORT, {}, doing="trying")


async def test_a_failed_request_is_not_carried_along_by_the_error() -> None:
    with pytest.raises(CloudUnreachableError) as lost:
        await exchange(Broken(httpx.ReadError)).call(LOGIN, {"pwd": "s3cr3t"}, doing="logging in")
    assert lost.value.__context__ is None


async def test_the_errors_sentence_does_not_show_what_the_server_says_back(center: Center) -> None:
    center.says("emailPwdLogin", '{"code": 5028, "msg": "s3cr3t is wrong"}')
    with pytest.raises(ApiError, match=r"\*\*\* is wrong"):
        await exchange(center.transport).call(LOGIN, {"pwd": "s3cr3t"}, doing="", secrets=["s3cr3t"])


# Over real sockets, as httpcore has loggers of its own and TLS is its business.


@asynccontextmanager
async def http_server(
    answer: bytes, tls: ssl.SSLContext | None = None, heads: list[bytes] | None = None
) -> AsyncIterator[int]:
    """Answer each connection once with `answer`, keep the requests' heads; give the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if heads is not None:
            heads.append(head)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


ANSWER = b'HTTP/1.1 200 OK\r\nSet-Cookie: c=s3cr3t\r\nContent-Length: 24\r\n\r\n{"code": 200, "data": 7}'


async def logged_in(port: int) -> object:
    client = exchange(base=f"http://127.0.0.1:{port}")
    try:
        return await client.call(LOGIN, {"pwd": "s3cr3t"}, doing="logging in", token=Secret("Bearer s3cr3t"))
    finally:
        await client.close()


async def test_a_real_server_is_understood() -> None:
    async with http_server(ANSWER) as port:
        assert await logged_in(port) == 7


async def test_plain_http_does_not_go_out_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []
    async with http_server(ANSWER, heads=heads) as proxy, http_server(ANSWER) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        await logged_in(port)
    assert heads == []


async def test_a_far_server_is_reached_through_the_systems_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []
    async with http_server(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", heads=heads) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        client = exchange(base="https://cloud.invalid")
        with pytest.raises(CloudUnreachableError):
            await client.call(REPORT, {}, doing="reporting")
        await client.close()
    assert heads[0].startswith(b"CONNECT cloud.invalid:443 ")


async def test_nothing_secret_is_logged_at_the_loudest(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with http_server(ANSWER) as port:
        await logged_in(port)
    assert "s3cr3t" not in caplog.text


async def test_a_call_is_logged_by_method_path_and_size(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with http_server(ANSWER) as port:
        await logged_in(port)
    assert "POST /v2/enduser/enduserapi/emailPwdLogin: HTTP 200, 24 bytes" in caplog.text


async def test_other_users_of_httpx_keep_their_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with http_server(ANSWER) as port:
        await logged_in(port)
        async with httpx.AsyncClient(trust_env=False) as other:
            await other.get(f"http://127.0.0.1:{port}/mine")
    assert "/mine" in caplog.text


async def test_a_server_that_is_not_there_is_named() -> None:
    async with http_server(ANSWER) as port:
        pass
    with pytest.raises(CloudUnreachableError, match=rf"no answer from 127\.0\.0\.1:{port}"):
        await logged_in(port)


async def test_an_answer_that_breaks_off_is_named() -> None:
    async with http_server(ANSWER[:-5]) as port:
        with pytest.raises(CloudUnreachableError, match="broke off"):
            await logged_in(port)


async def test_a_server_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with http_server(ANSWER, self_signed(tmp_path)) as port:
        client = exchange(base=f"https://127.0.0.1:{port}")
        with pytest.raises(CloudUnreachableError, match="certificate is not to be trusted: self-signed"):
            await client.call(REPORT, {}, doing="reporting")
        await client.close()


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "both.pem").write_bytes(key.private_bytes(pem, *plain) + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


@pytest.mark.parametrize("cookie", ["session=1", "\xff=1"])
async def test_no_cookie_is_kept(center: Center, cookie: str) -> None:
    center.says("userInfo", Reply(OK, headers={"Set-Cookie": cookie}))
    speaking = exchange(center.transport)
    for _ in range(2):
        await speaking.call(QUERY, {}, doing="")
    assert ["cookie" in asked.headers for asked in center.asked] == [False, False]

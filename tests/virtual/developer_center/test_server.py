from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from ble_ota.virtual.developer_center import DeveloperCenter, Faults, serve, server
from ble_ota.virtual.world import World
from tests.virtual.developer_center.conftest import BINDING, ENDUSER, Caller

PATIENCE_S = 10.0  # far more than any of these takes; only a hang meets it
MORE_THAN_SOCKETS_HOLD = 64_000_000
HERE = "http://127.0.0.1:8000"  # where links of the fixtures lie


@dataclass
class Served:
    url: str
    caller: Caller


@pytest.fixture
async def served(center: DeveloperCenter) -> AsyncIterator[Served]:
    async with serve(center) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
        caller = Caller(http)
        await caller.login()
        yield Served(url, caller)


async def test_a_download_over_a_socket_is_whole(served: Served, device_key: str, firmware: bytes) -> None:
    plan = (await served.caller.plan(device_key))["data"]
    link = plan["components"][0]["componentVersions"][0]["fileUrl"]
    assert link.startswith(f"{served.url}/oss/")
    assert (await served.caller.http.get(link)).content == firmware


async def test_a_part_over_a_socket_is_as_asked(served: Served, device_key: str, firmware: bytes) -> None:
    plan = (await served.caller.plan(device_key))["data"]
    link = plan["components"][0]["componentVersions"][0]["fileUrl"]
    answer = await served.caller.http.get(link, headers={"Range": "bytes=2000-"})
    assert (answer.status_code, answer.content) == (206, firmware[2000:])


async def test_every_answer_tells_the_time_once(served: Served) -> None:
    answer = await served.caller.http.get("/nothing/here")
    [told] = answer.headers.get_list("date")
    assert abs(parsedate_to_datetime(told).timestamp() - time.time()) < PATIENCE_S


async def test_head_over_a_socket_announces_the_length(served: Served, device_key: str) -> None:
    plan = (await served.caller.plan(device_key))["data"]
    answer = await served.caller.http.head(plan["components"][0]["componentVersions"][0]["fileUrl"])
    assert (answer.headers["content-length"], answer.content) == ("2048", b"")


async def test_a_lost_answer_closes_the_connection(served: Served, center: DeveloperCenter, device_key: str) -> None:
    center.faults = Faults(lost_answer=True)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await served.caller.report(device_key, 2)
    assert center.status(device_key, "MAIN") == 2


async def test_a_truncated_download_breaks_off(served: Served, center: DeveloperCenter, device_key: str) -> None:
    plan = (await served.caller.plan(device_key))["data"]
    center.faults = Faults(truncate_at=700)
    with pytest.raises(httpx.RemoteProtocolError, match="received 700 bytes, expected 2048"):
        await served.caller.http.get(plan["components"][0]["componentVersions"][0]["fileUrl"])


async def test_after_a_broken_connection_the_next_one_works(
    served: Served, center: DeveloperCenter, device_key: str
) -> None:
    center.faults = Faults(lost_answer=True, times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await served.caller.report(device_key, 2)
    assert (await served.caller.report(device_key, 2))["code"] == 200


async def test_huge_json_stops_when_the_client_goes(served: Served, center: DeveloperCenter) -> None:
    center.faults = Faults(huge_json_bytes=10**15)
    async with served.caller.http.stream("GET", f"{ENDUSER}/userInfo") as answer:
        first = await anext(answer.aiter_raw())
    assert first.startswith(b'{"code":200')


async def test_leaving_cuts_an_answer_under_way(center: DeveloperCenter) -> None:
    center.faults = Faults(huge_json_bytes=10**15)
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http:
        async with serve(center) as url:
            answer = await http.send(http.build_request("GET", url), stream=True)
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            await answer.aread()


async def test_leaving_does_not_wait_for_a_client_that_takes_nothing(
    center: DeveloperCenter, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LINGER_S", 0.01)
    center.faults = Faults(extra_bytes=MORE_THAN_SOCKETS_HOLD)
    async with asyncio.timeout(PATIENCE_S):
        async with serve(center) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(f"GET {link.removeprefix(HERE)} HTTP/1.1\r\nHost: any\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
        rest = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert len(rest) < MORE_THAN_SOCKETS_HOLD


async def test_the_port_is_free_again_after_leaving(center: DeveloperCenter) -> None:
    async with serve(center) as url:
        port = int(url.rpartition(":")[2])
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.get(url)
    async with serve(center, port=port) as again:
        assert again == url


async def test_a_taken_port_is_an_os_error(center: DeveloperCenter) -> None:
    async with serve(center) as url:
        with pytest.raises(OSError, match="address already in use"):
            async with serve(center, port=int(url.rpartition(":")[2])):
                pytest.fail("two servers on one port")


async def test_signals_stay_with_the_process(center: DeveloperCenter) -> None:
    before = signal.getsignal(signal.SIGINT)
    async with serve(center):
        assert signal.getsignal(signal.SIGINT) is before


async def test_a_client_that_goes_in_the_middle_of_its_request_is_no_bug(served: Served) -> None:
    http = served.caller.http
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    head = f"POST {BINDING}/getFetchPlan HTTP/1.1\r\nHost: any\r\nAuthorization: {http.headers['Authorization']}\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\nthe half".encode())
    writer.write_eof()
    assert await reader.read() == b""  # no answer
    writer.close()
    await writer.wait_closed()
    assert (await http.get("/")).status_code == 404


class _Broken(DeveloperCenter):
    """Has a bug."""

    @property
    def app(self) -> _Bug:
        return _Bug()


class _Bug:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError


async def test_a_bug_is_told_when_the_block_is_left(world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        async with serve(_Broken(world)) as url, httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(url)).status_code == 500


async def test_nothing_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ZeroDivisionError):
        async with serve(_Broken(world)) as url, httpx.AsyncClient(trust_env=False) as http:
            await http.get(url)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_an_ipv6_address_is_written_in_brackets(center: DeveloperCenter) -> None:
    async with serve(center, host="::1") as url:
        assert url.startswith("http://[::1]:")

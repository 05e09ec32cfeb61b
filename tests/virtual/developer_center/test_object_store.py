from __future__ import annotations

import gzip
import os
from pathlib import Path

import httpx
import pytest
from starlette.types import Message

from ble_ota.virtual.developer_center import DeveloperCenter, Faults
from ble_ota.virtual.developer_center.object_store import Delivery, Firmware
from ble_ota.virtual.world import World
from tests.virtual.developer_center.conftest import Caller, Clock


async def get(caller: Caller, link: str, wanted: str | None = None, if_range: str | None = None) -> httpx.Response:
    headers = {"Range": wanted, "If-Range": if_range}
    return await caller.http.get(link, headers={name: value for name, value in headers.items() if value is not None})


@pytest.fixture
def file(world: World) -> Path:
    return world.folder / "firmware" / "MAIN-0.bin"


def replace(file: Path, content: bytes | None) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


async def test_a_link_gives_the_firmware(stranger: Caller, link: str, firmware: bytes) -> None:
    assert (await get(stranger, link)).content == firmware


async def test_a_link_lies_on_the_host_that_was_asked(link: str) -> None:
    assert link.startswith("http://127.0.0.1:8000/oss/")


async def test_a_link_needs_no_login(stranger: Caller, link: str) -> None:
    del stranger.http.headers["Authorization"]
    assert (await get(stranger, link)).status_code == 200


async def test_an_expired_link_is_forbidden(stranger: Caller, link: str, clock: Clock) -> None:
    clock.now += 3600
    assert (await get(stranger, link)).status_code == 403


async def test_a_changed_link_is_forbidden(stranger: Caller, link: str) -> None:
    assert (await get(stranger, link.replace("/oss/", "/oss/x"))).status_code == 403


async def test_a_link_opens_no_other_file(stranger: Caller, link: str) -> None:
    assert (await get(stranger, link.replace("MAIN-0", "MCU-0"))).status_code == 403


async def test_an_access_token_is_no_link(caller: Caller) -> None:
    token = caller.tokens["accessToken"]["token"].removeprefix("Bearer ")
    assert (await get(caller, f"/oss/{token}/MAIN-0.bin")).status_code == 403


async def test_a_file_that_is_gone_is_not_found(stranger: Caller, link: str, file: Path) -> None:
    replace(file, None)
    assert (await get(stranger, link)).status_code == 404


async def test_the_length_is_announced(stranger: Caller, link: str) -> None:
    assert (await get(stranger, link)).headers["content-length"] == "2048"


async def test_a_part_is_given_as_asked(stranger: Caller, link: str, firmware: bytes) -> None:
    answer = await get(stranger, link, "bytes=100-299")
    assert (answer.status_code, answer.content) == (206, firmware[100:300])


async def test_a_part_says_where_it_belongs(stranger: Caller, link: str) -> None:
    headers = (await get(stranger, link, "bytes=100-299")).headers
    assert (headers["content-range"], headers["content-length"]) == ("bytes 100-299/2048", "200")


async def test_parts_have_the_etag_of_the_whole(stranger: Caller, link: str) -> None:
    assert (await get(stranger, link, "bytes=1-")).headers["etag"] == (await get(stranger, link)).headers["etag"]


async def test_the_etag_is_strong(stranger: Caller, link: str) -> None:
    assert (await get(stranger, link)).headers["etag"].startswith('"')


async def test_another_content_has_another_etag(stranger: Caller, link: str, file: Path) -> None:
    before = (await get(stranger, link)).headers["etag"]
    replace(file, b"x")
    assert (await get(stranger, link)).headers["etag"] != before


async def test_another_content_of_the_same_size_has_another_etag(stranger: Caller, link: str, file: Path) -> None:
    before = (await get(stranger, link)).headers["etag"]
    replace(file, bytes(2048))
    os.utime(file, ns=(1, 1))
    assert (await get(stranger, link)).headers["etag"] != before


async def test_the_same_etag_goes_on(stranger: Caller, link: str) -> None:
    etag = (await get(stranger, link)).headers["etag"]
    assert (await get(stranger, link, "bytes=2000-", etag)).status_code == 206


async def test_another_etag_starts_anew(stranger: Caller, link: str, firmware: bytes) -> None:
    answer = await get(stranger, link, "bytes=2000-", '"other"')
    assert (answer.status_code, answer.content) == (200, firmware)


async def test_a_range_behind_the_end_is_416(stranger: Caller, link: str) -> None:
    answer = await get(stranger, link, "bytes=2048-")
    assert (answer.status_code, answer.headers["content-range"], answer.content) == (416, "bytes */2048", b"")


async def test_a_416_has_the_etag(stranger: Caller, link: str) -> None:
    assert (await get(stranger, link, "bytes=2048-")).headers["etag"] == (await get(stranger, link)).headers["etag"]


async def test_head_has_headers_and_no_body(stranger: Caller, link: str) -> None:
    answer = await stranger.http.head(link)
    assert (answer.headers["content-length"], answer.content) == ("2048", b"")


async def test_head_knows_no_range(stranger: Caller, link: str) -> None:
    assert (await stranger.http.head(link, headers={"Range": "bytes=5-"})).status_code == 200


async def test_an_empty_file_is_given(stranger: Caller, link: str, file: Path) -> None:
    replace(file, b"")
    answer = await get(stranger, link)
    assert (answer.headers["content-length"], answer.content) == ("0", b"")


async def test_a_file_of_many_pieces_is_whole(stranger: Caller, link: str, file: Path) -> None:
    content = bytes(range(251)) * 1000
    replace(file, content)
    assert (await get(stranger, link)).content == content


@pytest.mark.parametrize(
    ("wanted", "status", "first", "last"),
    [(None, 200, 0, 2047), ("bytes=5-6", 206, 5, 6), ("bytes=9999-", 416, None, None)],
)
async def test_a_fetch_is_recorded(
    stranger: Caller, link: str, center: DeveloperCenter, wanted: str | None, status: int, first: int, last: int
) -> None:
    await get(stranger, link, wanted)
    record = center.records()[-1]
    del record["seq"], record["ts"]
    expected = {"what": "firmware.fetched", "name": "MAIN-0.bin", "method": "GET", "status": status}
    assert record == expected | {"first": first, "last": last}


async def test_one_bit_is_flipped_where_asked(
    stranger: Caller, link: str, center: DeveloperCenter, firmware: bytes
) -> None:
    center.faults = Faults(flip_bit_at=1000)
    content = (await get(stranger, link)).content
    wrong = [(at, a ^ b) for at, (a, b) in enumerate(zip(content, firmware, strict=True)) if a != b]
    assert wrong == [(1000, 1)]


@pytest.mark.parametrize(("wanted", "intact"), [("bytes=999-1001", False), ("bytes=1001-1100", True)])
async def test_a_flipped_bit_belongs_to_the_file(
    stranger: Caller, link: str, center: DeveloperCenter, firmware: bytes, wanted: str, intact: bool
) -> None:
    center.faults = Faults(flip_bit_at=1000)
    first, last = wanted.removeprefix("bytes=").split("-")
    assert ((await get(stranger, link, wanted)).content == firmware[int(first) : int(last) + 1]) is intact


async def test_a_truncated_body_promises_more(
    stranger: Caller, link: str, center: DeveloperCenter, firmware: bytes
) -> None:
    center.faults = Faults(truncate_at=700)
    answer = await get(stranger, link)
    assert (answer.headers["content-length"], answer.content) == ("2048", firmware[:700])


async def test_a_body_is_truncated_behind_its_first_piece(
    stranger: Caller, link: str, center: DeveloperCenter, file: Path
) -> None:
    replace(file, bytes(200_000))
    center.faults = Faults(truncate_at=70_000)
    assert len((await get(stranger, link)).content) == 70_000


async def test_more_bytes_may_come_than_the_file_has(
    stranger: Caller, link: str, center: DeveloperCenter, firmware: bytes
) -> None:
    center.faults = Faults(extra_bytes=3)
    answer = await get(stranger, link)
    assert ("content-length" in answer.headers, answer.content) == (False, firmware + bytes(3))


async def test_a_body_may_come_encoded(stranger: Caller, link: str, center: DeveloperCenter, firmware: bytes) -> None:
    center.faults = Faults(encoded=True)
    async with stranger.http.stream("GET", link, headers={"Range": "bytes=5-"}) as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert (answer.status_code, answer.headers["content-encoding"], gzip.decompress(raw)) == (200, "gzip", firmware)


async def test_ranges_may_be_ignored(stranger: Caller, link: str, center: DeveloperCenter, firmware: bytes) -> None:
    center.faults = Faults(ignores_ranges=True)
    answer = await get(stranger, link, "bytes=5-")
    assert (answer.status_code, answer.content) == (200, firmware)


async def test_a_range_may_begin_elsewhere(
    stranger: Caller, link: str, center: DeveloperCenter, firmware: bytes
) -> None:
    center.faults = Faults(shifted_range=True)
    answer = await get(stranger, link, "bytes=5-9")
    assert (answer.headers["content-range"], answer.content) == ("bytes 4-9/2048", firmware[4:10])


async def test_the_etag_may_change_each_time(stranger: Caller, link: str, center: DeveloperCenter) -> None:
    center.faults = Faults(changing_etag=True)
    assert (await get(stranger, link)).headers["etag"] != (await get(stranger, link)).headers["etag"]


async def test_the_etag_may_be_weak(stranger: Caller, link: str, center: DeveloperCenter) -> None:
    center.faults = Faults(weak_etag=True)
    assert (await get(stranger, link)).headers["etag"].startswith('W/"')


async def test_a_drip_ends_when_the_client_goes(file: Path) -> None:
    sent: list[Message] = []

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    delivery = Delivery(Firmware(file, 2048, '"e"'), None, Faults(drip_bytes_per_s=10))
    await delivery({"type": "http", "method": "GET"}, gone, send)
    assert [len(message.get("body", b"")) for message in sent] == [0, 1]

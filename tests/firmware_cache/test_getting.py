"""A download that was begun, against a server that answers its range in every way there is."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from firmware_cache import ContentError, DownloadError, FirmwareCache, Limits, LinkExpiredError, Ref, sidecar
from tests.firmware_cache.conftest import QUICK, REF, begin, blobs, parts, refused
from tests.firmware_cache.origin import (
    CONTENT,
    ETAG,
    Origin,
    Reply,
    answer,
    chunked,
    dripping,
    ranged,
    rest,
    silence,
    then_silence,
)

SIZE = len(CONTENT)
HALF = SIZE // 2
REST = CONTENT[HALF:]
FIT = f"bytes {HALF}-{SIZE - 1}/{SIZE}"
SAME = f"ETag: {ETAG}"
OTHER = bytes(byte ^ 0xFF for byte in CONTENT)
PAGE = answer(b"<html>Please log in</html>", "Content-Type: text/html")


def asked_once(*headers: str, body: bytes = REST, length: int | None = -1) -> Reply:
    return rest(body, FIT, *headers, length=length)


def chunks_206(*chunks: bytes) -> Reply:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return rest(body, FIT, SAME, "Transfer-Encoding: chunked", length=None)


# ---------------------------------------------------------------- the rest, and nothing else

APPENDED = {
    "exact": asked_once(SAME),
    "without etag": asked_once(),
    "without length": asked_once(SAME, length=None),
    "chunked": chunks_206(REST[:1], REST[1:]),
    "said not to be encoded": asked_once(SAME, "Content-Encoding: identity"),
    "calls itself a page": asked_once(SAME, "Content-Type: text/html"),
}


@pytest.mark.parametrize("name", APPENDED)
async def test_the_rest_is_appended_to_what_was_begun(
    cache: FirmwareCache, origin: Origin, root: Path, name: str
) -> None:
    begin(root, CONTENT[:HALF])
    file = await cache.fetch(REF, origin.serve(APPENDED[name], answer()), limits=QUICK)
    assert (file.read() == CONTENT, origin.starts) == (True, [HALF])


async def test_a_rest_is_asked_for_on_condition_that_the_file_is_the_same(
    cache: FirmwareCache, origin: Origin, root: Path
) -> None:
    begin(root, CONTENT[:HALF])
    await cache.fetch(REF, origin.serve(ranged()), limits=QUICK)
    assert f"if-range: {ETAG}\r\n" in origin.requests[0].lower()


# ---------------------------------------------------------------- something else: never appended, once more, whole

UNFIT = {
    "early start": rest(CONTENT[HALF - 1 :], f"bytes {HALF - 1}-{SIZE - 1}/{SIZE}", SAME),
    "late start": rest(CONTENT[HALF + 1 :], f"bytes {HALF + 1}-{SIZE - 1}/{SIZE}", SAME),
    "from the first byte": rest(CONTENT, f"bytes 0-{SIZE - 1}/{SIZE}", SAME),
    "early end": rest(REST[:-1], f"bytes {HALF}-{SIZE - 2}/{SIZE}", SAME),
    "end behind the end": rest(REST + b"x", f"bytes {HALF}-{SIZE}/{SIZE}", SAME),
    "total grew": rest(REST, f"bytes {HALF}-{SIZE - 1}/{SIZE + 1}", SAME),
    "total shrank": rest(REST, f"bytes {HALF}-{SIZE - 1}/{SIZE - 1}", SAME),
    "total unknown": rest(REST, f"bytes {HALF}-{SIZE - 1}/*", SAME),
    "range unknown": rest(REST, f"bytes */{SIZE}", SAME),
    "total missing": rest(REST, f"bytes {HALF}-{SIZE - 1}", SAME),
    "range missing": rest(REST, None, SAME),
    "range empty": rest(REST, "", SAME),
    "negative start": rest(REST, f"bytes -{HALF}-{SIZE - 1}/{SIZE}", SAME),
    "several ranges": rest(REST, f"{FIT}, bytes 0-1/{SIZE}", SAME),
    "two headers": rest(REST, FIT, f"Content-Range: {FIT}", SAME),
    "multipart": rest(b"--x\r\n\r\n" + REST, None, SAME, "Content-Type: multipart/byteranges; boundary=x"),
    "other unit": rest(REST, FIT.replace("bytes", "items"), SAME),
    "no unit": rest(REST, FIT.removeprefix("bytes "), SAME),
    "garbled start": rest(REST, f"bytes x{HALF}-{SIZE - 1}/{SIZE}", SAME),
    "garbled": rest(REST, "\x01\x02garbage", SAME),
    "changed etag": asked_once('ETag: "v2"'),
    "etag became weak": asked_once(f"ETag: W/{ETAG}"),
    "encoded": asked_once(SAME, "Content-Encoding: gzip", body=gzip.compress(REST)),
    "announced longer": rest(REST + b"x", FIT, SAME),
    "416": rest(b"", f"bytes */{SIZE}", status="416 No", length=0),
    "416 without a word": answer(b"", status="416 No"),
}
MIXED = {
    "another file's bytes": asked_once(SAME, body=OTHER[HALF:]),
    "chunked and longer": chunks_206(REST, b"x"),
    "chunked and shorter": chunks_206(REST[:-1]),
}


@pytest.mark.parametrize("name", UNFIT | MIXED)
async def test_a_server_that_cannot_give_the_rest_is_asked_for_the_whole(
    cache: FirmwareCache, origin: Origin, root: Path, name: str
) -> None:
    begin(root, CONTENT[:HALF])
    file = await cache.fetch(REF, origin.serve((UNFIT | MIXED)[name], ranged()), limits=QUICK)
    assert (file.read() == CONTENT, origin.starts) == (True, [HALF, None])


@pytest.mark.parametrize("name", UNFIT | MIXED)
async def test_a_server_that_can_give_neither_is_asked_twice(
    cache: FirmwareCache, origin: Origin, root: Path, name: str
) -> None:
    begin(root, CONTENT[:HALF])
    await refused(cache, origin.serve((UNFIT | MIXED)[name], answer(OTHER, SAME)))
    assert (len(origin.requests), blobs(root), parts(root)) == (2, [], [])


async def test_a_beginning_that_is_wrong_is_dropped_and_fetched_whole(
    cache: FirmwareCache, origin: Origin, root: Path
) -> None:
    begin(root, bytes(HALF))  # as a power cut leaves it
    file = await cache.fetch(REF, origin.serve(ranged()), limits=QUICK)
    assert (file.read() == CONTENT, origin.starts) == (True, [HALF, None])


async def test_a_mixture_of_two_answers_is_dropped_and_fetched_whole(cache: FirmwareCache, origin: Origin) -> None:
    url = origin.serve(ranged(OTHER, most=HALF), ranged())  # under one ETag
    file = await cache.fetch(REF, url, limits=QUICK)
    assert (file.read() == CONTENT, origin.starts) == (True, [None, HALF, None])


# ---------------------------------------------------------------- a 200 starts over

WHOLE = {
    "same": answer(CONTENT, SAME),
    "changed etag": answer(CONTENT, 'ETag: "v2"'),
    "weak etag": answer(CONTENT, 'ETag: W/"v1"'),
    "no etag": answer(CONTENT),
    "chunked": chunked(CONTENT),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_a_200_to_a_range_starts_over(cache: FirmwareCache, origin: Origin, root: Path, name: str) -> None:
    begin(root, CONTENT[:HALF])
    file = await cache.fetch(REF, origin.serve(WHOLE[name]), limits=QUICK)
    assert (file.read() == CONTENT, len(origin.requests)) == (True, 1)


async def test_progress_begins_with_what_was_begun(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    begin(root, CONTENT[:HALF])
    told: list[int] = []
    await cache.fetch(REF, origin.serve(ranged()), limits=QUICK, progress=lambda done, _: told.append(done))
    assert told[0] == HALF


async def test_progress_is_rolled_back_where_a_200_starts_over(
    cache: FirmwareCache, origin: Origin, root: Path
) -> None:
    begin(root, CONTENT[:HALF])
    told: list[int] = []
    await cache.fetch(REF, origin.serve(WHOLE["same"]), limits=QUICK, progress=lambda done, _: told.append(done))
    assert (told[0], told[-1]) == (0, SIZE)


async def test_a_200_of_another_file_is_wrong_content(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    begin(root, CONTENT[:HALF])
    error = await refused(cache, origin.serve(answer(OTHER, 'ETag: "v2"')))
    assert (type(error), len(origin.requests), parts(root)) == (ContentError, 1, [])


@pytest.mark.parametrize("reply", [PAGE, answer(CONTENT[:-1])], ids=["page", "announced shorter"])
async def test_an_answer_refused_before_its_body_costs_nothing_of_what_was_begun(
    cache: FirmwareCache, origin: Origin, root: Path, reply: Reply
) -> None:
    begin(root, CONTENT[:HALF])
    url = origin.serve(reply, ranged())
    assert isinstance(await refused(cache, url), ContentError)
    await cache.fetch(REF, url, limits=QUICK)
    assert origin.starts == [HALF, HALF]


async def test_an_endless_rest_is_stopped_at_the_size(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    begin(root, CONTENT[:HALF])
    endless = chunks_206(*[bytes(0x4000)] * 100)
    error = await refused(cache, origin.serve(endless, chunked(*[bytes(0x4000)] * 100)))
    assert (str(error), parts(root)) == (f"more came than the {SIZE} bytes that were asked for", [])


# ---------------------------------------------------------------- within one download


async def test_what_dropped_is_gone_on_with(cache: FirmwareCache, origin: Origin) -> None:
    url = origin.serve(ranged(most=1000), ranged(most=70_000), ranged())
    assert (await cache.fetch(REF, url, limits=QUICK)).read() == CONTENT
    assert origin.starts == [None, 1000, 71_000]


async def test_what_dropped_in_a_second_whole_answer_is_gone_on_with(
    cache: FirmwareCache, origin: Origin, root: Path
) -> None:
    begin(root, CONTENT[:HALF], etag='"old"')
    assert (await cache.fetch(REF, origin.serve(ranged(most=1000), ranged()), limits=QUICK)).read() == CONTENT
    assert origin.starts == [HALF, 1000]


@pytest.mark.parametrize("headers", [(), (f"ETag: W/{ETAG}",), ("ETag: v1",)], ids=["none", "weak", "garbled"])
async def test_without_a_strong_etag_no_range_is_asked_for(
    cache: FirmwareCache, origin: Origin, headers: tuple[str, ...]
) -> None:
    url = origin.serve(answer(CONTENT[:HALF], *headers, length=SIZE), answer())
    assert (await cache.fetch(REF, url, limits=QUICK)).read() == CONTENT
    assert origin.starts == [None, None]


async def test_without_sha256_no_range_is_asked_for(cache: FirmwareCache, origin: Origin) -> None:
    ref = Ref(SIZE, crc32=f"{zlib.crc32(CONTENT):08x}")
    assert (await cache.fetch(ref, origin.serve(ranged(most=HALF), ranged()), limits=QUICK)).read() == CONTENT
    assert origin.starts == [None, None]


async def test_after_an_unfit_answer_no_range_is_asked_for_again(
    cache: FirmwareCache, origin: Origin, root: Path
) -> None:
    begin(root, CONTENT[:HALF])
    url = origin.serve(UNFIT["early start"], ranged(most=HALF + 5), ranged())
    assert (await cache.fetch(REF, url, limits=QUICK)).read() == CONTENT
    assert origin.starts == [HALF, None, None]


async def test_a_server_that_goes_down_twenty_times_is_waited_for(cache: FirmwareCache, origin: Origin) -> None:
    down = answer(b"", status="503 Down")
    drops = [reply for _ in range(20) for reply in (ranged(most=7001), down, down)]
    assert (await cache.fetch(REF, origin.serve(*drops, ranged()), limits=QUICK)).read() == CONTENT
    assert origin.starts[::3] == [None, *range(7001, 20 * 7001 + 1, 7001)]


async def test_a_server_that_goes_down_too_often_in_a_row_is_given_up(
    cache: FirmwareCache, origin: Origin, root: Path
) -> None:
    down = answer(b"", status="503 Down")
    error = await refused(cache, origin.serve(ranged(most=7001), down, down, down, ranged()))
    assert (getattr(error, "status", None), len(origin.requests)) == (503, 4)
    assert [path.stat().st_size for path in parts(root) if path.suffix == ".part"] == [7001]


async def test_a_server_that_gives_the_same_bytes_again_and_again_is_given_up(
    cache: FirmwareCache, origin: Origin
) -> None:
    url = origin.serve(answer(CONTENT[:HALF], 'ETag: W/"x"', length=SIZE))
    await refused(cache, url)
    assert len(origin.requests) == 3


async def test_a_slow_drip_leaves_what_came(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    part = begin(root, CONTENT[:HALF])
    slow = dripping(REST, f"HTTP/1.1 206 Partial Content\r\nContent-Range: {FIT}\r\n")
    error = await refused(cache, origin.serve(slow), limits=Limits(window_s=0.3, pause_s=0.0))
    assert ("sends less than" in str(error), part.stat().st_size > HALF) == (True, True)


# ---------------------------------------------------------------- another address, another day


async def test_an_expired_link_is_said_to_be_one(cache: FirmwareCache, origin: Origin) -> None:
    for status in ("401 No", "403 No"):
        assert isinstance(await refused(cache, origin.serve(answer(b"", status=status))), LinkExpiredError)


async def test_an_expired_link_leaves_what_came_for_the_next_one(cache: FirmwareCache, origin: Origin) -> None:
    url = origin.serve(ranged(most=HALF), answer(b"", status="403 Expired"))
    assert isinstance(await refused(cache, url), LinkExpiredError)
    await cache.fetch(REF, origin.serve(ranged(), path="/new"), limits=QUICK)
    assert origin.starts == [None, HALF, HALF]


async def test_retry_after_is_read_where_it_counts(cache: FirmwareCache, origin: Origin) -> None:
    for status, expected in (("429 Slow down", 7.0), ("503 Down", 7.0), ("404 Gone", None)):
        error = await refused(
            cache, origin.serve(answer(b"", "Retry-After: 7", status=status)), limits=Limits(attempts=1)
        )
        assert isinstance(error, DownloadError)
        assert error.retry_after_s == expected


async def test_what_is_known_of_a_part_holds_no_address(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    await refused(cache, origin.serve(ranged(most=HALF), silence), limits=Limits(attempts=2, window_s=0.2, pause_s=0.0))
    assert len(parts(root)) == 2
    assert [path for path in parts(root) if b"s3cret" in path.read_bytes() or b"127.0.0.1" in path.read_bytes()] == []


async def test_silence_in_mid_rest_leaves_what_came(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    url = origin.serve(then_silence(CONTENT[:HALF], SAME))
    await refused(cache, url, limits=Limits(window_s=0.2, min_bytes_per_s=0, attempts=1, pause_s=0.0))
    assert [path.stat().st_size for path in parts(root) if path.suffix == ".part"] == [HALF]


async def test_a_server_that_failed_with_a_range_once_is_asked_for_the_whole_from_then_on(
    cache: FirmwareCache, origin: Origin
) -> None:
    """Also after the whole broke off, and although that answer had a strong ETag."""
    unfit = rest(REST, f"bytes 0-{SIZE - 1}/{SIZE}", SAME)
    url = origin.serve(ranged(most=HALF), unfit, ranged(most=HALF), ranged())
    assert (await cache.fetch(REF, url, limits=QUICK)).read() == CONTENT
    assert origin.starts == [None, HALF, None, None]


async def test_which_file_it_is_stands_beside_a_part_while_it_comes(
    cache: FirmwareCache, origin: Origin, root: Path
) -> None:
    """So that a killed process leaves something that can be gone on with."""
    noted: list[str | None] = []

    def progress(done: int, _total: int) -> None:
        if done:
            [part] = [path for path in parts(root) if path.suffix == ".busy"]
            known = sidecar.read(part)
            noted.append(known.etag if known is not None else None)

    await cache.fetch(REF, origin.serve(ranged()), progress=progress)
    assert set(noted) == {ETAG}

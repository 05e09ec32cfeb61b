from __future__ import annotations

import asyncio
import gc
import gzip
import threading
from hashlib import md5, sha256
from itertools import pairwise
from pathlib import Path

import pytest

from firmware_cache import (
    ContentError,
    DownloadError,
    FirmwareCache,
    Limits,
    Ref,
    download,
)
from tests.firmware_cache.conftest import QUICK, REF, blobs, parts, refused
from tests.firmware_cache.origin import (
    CONTENT,
    Origin,
    Reply,
    answer,
    chunked,
    drip,
    endless,
    silence,
    then_reset,
    then_silence,
    trickle,
)

HALF = len(CONTENT) // 2
PAGE = b"<html>Please log in</html>"


# ---------------------------------------------------------------- what goes well


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(), id="with length"),
        pytest.param(answer(length=None), id="until the connection ends"),
        pytest.param(chunked(CONTENT[:1], CONTENT[1:HALF], CONTENT[HALF:]), id="chunked"),
        pytest.param(answer(CONTENT, "Content-Type: text/html"), id="firmware that calls itself a page"),
        pytest.param(answer(CONTENT, "Content-Encoding: identity"), id="said not to be encoded"),
    ],
)
async def test_the_file_that_was_asked_for_is_kept(cache: FirmwareCache, origin: Origin, reply: Reply) -> None:
    assert (await cache.fetch(REF, origin.serve(reply), limits=QUICK)).read() == CONTENT


async def test_a_fetched_file_is_said_to_be_new(cache: FirmwareCache, origin: Origin) -> None:
    assert not (await cache.fetch(REF, origin.serve(answer()))).cached


async def test_an_empty_file_is_a_file(cache: FirmwareCache, origin: Origin) -> None:
    ref = Ref(0, sha256=sha256(b"").hexdigest())
    assert (await cache.fetch(ref, origin.serve(answer(b"")))).read() == b""


async def test_a_weak_digest_alone_is_compared(cache: FirmwareCache, origin: Origin) -> None:
    ref = Ref(len(CONTENT), md5=md5(CONTENT, usedforsecurity=False).hexdigest())
    assert (await cache.fetch(ref, origin.serve(answer()))).sha256 == REF.sha256


async def test_progress_rises_from_nothing_to_all(cache: FirmwareCache, origin: Origin) -> None:
    told: list[tuple[int, int]] = []
    await cache.fetch(REF, origin.serve(answer()), progress=lambda *at: told.append(at))
    done = [at for at, _ in told]
    assert (done[0], done[-1], {total for _, total in told}) == (0, len(CONTENT), {len(CONTENT)})
    assert all(earlier < later for earlier, later in pairwise(done))


async def test_progress_goes_back_where_a_download_starts_over(cache: FirmwareCache, origin: Origin) -> None:
    told: list[int] = []
    url = origin.serve(answer(CONTENT[:HALF], length=len(CONTENT)), answer())
    await cache.fetch(REF, url, limits=QUICK, progress=lambda done, _: told.append(done))
    assert told.count(0) == 2


# ---------------------------------------------------------------- wrong content: refused once, nothing kept

WRONG = {
    "one bit": (answer(CONTENT[:HALF] + bytes([CONTENT[HALF] ^ 1]) + CONTENT[HALF + 1 :]), "sha256:.* was asked for"),
    "announced shorter": (answer(CONTENT[:-1]), f"announces {len(CONTENT) - 1} bytes where {len(CONTENT)}"),
    "announced longer": (answer(CONTENT + b"\0"), f"announces {len(CONTENT) + 1} bytes where {len(CONTENT)}"),
    "longer": (answer(CONTENT + b"\0", length=None), f"more came than the {len(CONTENT)} bytes"),
    "chunked shorter": (chunked(CONTENT[:-1]), f"has {len(CONTENT) - 1} bytes where {len(CONTENT)}"),
    "chunked longer": (chunked(CONTENT, b"\0"), f"more came than the {len(CONTENT)} bytes"),
    "endless": (endless, f"more came than the {len(CONTENT)} bytes"),
    "gzip": (answer(gzip.compress(CONTENT), "Content-Encoding: gzip"), r"encoded \(gzip\)"),
    "gzip of the right size": (answer(CONTENT, "Content-Encoding: GZIP"), r"encoded \(GZIP\)"),
    "page": (answer(PAGE, "Content-Type: text/html"), "a web page came from 127.0.0.1 instead of firmware"),
    "chunked page": (answer(PAGE, "Content-Type: Text/HTML; charset=utf-8"), "a web page came"),
    "page of the right size": (answer(bytes(len(CONTENT)), "Content-Type: text/html"), "a web page came"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_content_is_named(cache: FirmwareCache, origin: Origin, name: str) -> None:
    reply, sentence = WRONG[name]
    with pytest.raises(ContentError, match=sentence):
        await cache.fetch(REF, origin.serve(reply), limits=QUICK)


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_content_is_asked_for_once(cache: FirmwareCache, origin: Origin, name: str) -> None:
    await refused(cache, origin.serve(WRONG[name][0]))
    assert len(origin.requests) == 1


@pytest.mark.parametrize("name", WRONG)
async def test_of_wrong_content_nothing_is_kept(cache: FirmwareCache, origin: Origin, root: Path, name: str) -> None:
    await refused(cache, origin.serve(WRONG[name][0]))
    assert (blobs(root), parts(root)) == ([], [])


async def test_a_page_says_where_to_look(cache: FirmwareCache, origin: Origin) -> None:
    error = await refused(cache, origin.serve(WRONG["page"][0]))
    assert "portal" in error.hint


# ---------------------------------------------------------------- what may pass: tried again, a few times

DROPPED = {
    "truncated": (answer(CONTENT[:HALF], length=len(CONTENT)), f"dropped at {HALF} of {len(CONTENT)} bytes"),
    "truncated at once": (answer(b"", length=len(CONTENT)), f"dropped at 0 of {len(CONTENT)} bytes"),
    "reset": (then_reset(CONTENT[:HALF]), f"dropped at [0-9]+ of {len(CONTENT)} bytes"),
    "closed early": (answer(CONTENT[:HALF], length=None), f"dropped at {HALF} of {len(CONTENT)} bytes: it was closed"),
    "last chunk missing": (chunked(CONTENT, end=False), f"dropped at {len(CONTENT)} of {len(CONTENT)} bytes"),
}


@pytest.mark.parametrize("name", DROPPED)
async def test_a_dropped_connection_is_called_that(cache: FirmwareCache, origin: Origin, name: str) -> None:
    reply, sentence = DROPPED[name]
    with pytest.raises(DownloadError, match=f"the connection to 127.0.0.1 {sentence}"):
        await cache.fetch(REF, origin.serve(reply), limits=QUICK)


@pytest.mark.parametrize("name", DROPPED)
async def test_of_a_dropped_connection_without_etag_nothing_is_kept(
    cache: FirmwareCache, origin: Origin, root: Path, name: str
) -> None:
    await refused(cache, origin.serve(DROPPED[name][0]))
    assert (blobs(root), parts(root)) == ([], [])


PASSING = {name: reply for name, (reply, _) in DROPPED.items()} | {
    "500": answer(b"", status="500 Oops"),
    "503": answer(b"", status="503 Busy"),
    "429": answer(b"", status="429 Too Many Requests"),
    "no word": answer(b"", status=""),  # the head is no HTTP
}


@pytest.mark.parametrize("name", PASSING)
async def test_what_may_pass_is_tried_again(cache: FirmwareCache, origin: Origin, name: str) -> None:
    url = origin.serve(PASSING[name], answer())
    assert (await cache.fetch(REF, url, limits=QUICK)).read() == CONTENT


@pytest.mark.parametrize("name", PASSING)
async def test_what_does_not_pass_is_tried_three_times(cache: FirmwareCache, origin: Origin, name: str) -> None:
    error = await refused(cache, origin.serve(PASSING[name]))
    assert (len(origin.requests), getattr(error, "transient", None)) == (3, True)


async def test_the_number_of_attempts_can_be_set(cache: FirmwareCache, origin: Origin) -> None:
    await refused(cache, origin.serve(PASSING["500"]), limits=Limits(attempts=1))
    assert len(origin.requests) == 1


async def test_pauses_grow_between_attempts(
    cache: FirmwareCache, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("firmware_cache.download.asyncio.sleep", pause)
    await refused(cache, origin.serve(PASSING["500"]), limits=Limits(attempts=4, pause_s=0.5))
    pauses = [seconds for seconds in pauses if seconds]  # 0 lets others run
    assert [0.5 <= pauses[0] <= 1.0, 1.0 <= pauses[1] <= 1.5, 2.0 <= pauses[2] <= 2.5] == [True] * 3


async def test_a_server_that_says_when_to_come_back_is_heard(
    cache: FirmwareCache, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("firmware_cache.download.asyncio.sleep", pause)
    url = origin.serve(answer(b"", "Retry-After: 42", status="429 Slow down"), answer())
    await cache.fetch(REF, url, limits=QUICK)
    assert 42.0 in pauses


# ---------------------------------------------------------------- statuses


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 404, 408, 410, 416])
async def test_a_status_that_does_not_pass_is_asked_for_once(cache: FirmwareCache, origin: Origin, status: int) -> None:
    error = await refused(cache, origin.serve(answer(b"", status=f"{status} No", length=None)))
    assert (len(origin.requests), getattr(error, "status", None)) == (1, status)


async def test_a_status_is_said_with_the_host(cache: FirmwareCache, origin: Origin) -> None:
    error = await refused(cache, origin.serve(answer(PAGE, "Content-Type: text/html", status="404 Not Found")))
    assert str(error) == "127.0.0.1 answered 404 where 200 was expected"


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "expired"), (403, "expired"), (404, "no longer"), (410, "no longer")]
)
async def test_a_status_that_means_something_says_what_to_do(
    cache: FirmwareCache, origin: Origin, status: int, hint: str
) -> None:
    assert hint in (await refused(cache, origin.serve(answer(b"", status=f"{status} No")))).hint


async def test_a_partial_answer_is_not_taken_for_the_whole(cache: FirmwareCache, origin: Origin) -> None:
    error = await refused(cache, origin.serve(answer(CONTENT, status="206 Partial Content")))
    assert isinstance(error, DownloadError)


# ---------------------------------------------------------------- time


async def test_a_slow_drip_is_given_up(cache: FirmwareCache, origin: Origin) -> None:
    error = await refused(cache, origin.serve(drip), limits=Limits(window_s=0.3, pause_s=0.0))
    assert str(error) == "127.0.0.1 sends less than 1024 bytes per second"


async def test_a_drip_above_the_floor_is_let_be(cache: FirmwareCache, origin: Origin) -> None:
    limits = Limits(min_bytes_per_s=1, window_s=0.1, deadline_s=0.5)
    assert "took longer" in str(await refused(cache, origin.serve(drip), limits=limits))


async def test_the_last_cause_is_told_of_attempts_that_failed_in_several_ways(
    cache: FirmwareCache, origin: Origin
) -> None:
    url = origin.serve(answer(b"", status="503 Busy"), then_reset(CONTENT[:HALF]), answer(b"", status="500 Oops"))
    assert "answered 500" in str(await refused(cache, url))


async def test_a_deadline_that_ends_a_pause_tells_why_there_was_one(cache: FirmwareCache, origin: Origin) -> None:
    url = origin.serve(then_reset(CONTENT[:HALF]), answer(b"", "Retry-After: 60", status="503 Busy"))
    said = str(await refused(cache, url, limits=Limits(deadline_s=0.5, pause_s=0.0)))
    assert said.startswith("the download from 127.0.0.1 took longer than 0.5 s; the last attempt that failed: ")
    assert "answered 503" in said
    assert "dropped" not in said


async def test_the_deadline_holds_for_everything(cache: FirmwareCache, origin: Origin, root: Path) -> None:
    error = await refused(cache, origin.serve(then_silence(CONTENT[:HALF])), limits=Limits(deadline_s=0.2))
    assert (str(error), parts(root)) == ("the download from 127.0.0.1 took longer than 0.2 s", [])


async def test_silence_in_mid_body_is_named(cache: FirmwareCache, origin: Origin) -> None:
    url = origin.serve(then_silence(CONTENT[:HALF]))
    error = await refused(cache, url, limits=Limits(window_s=0.2, min_bytes_per_s=0, attempts=1))
    assert str(error).endswith(f"dropped at {HALF} of {len(CONTENT)} bytes: no answer in time")


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = CHUNKS + b"%x\r\n%b\r\n0\r\n" % (len(CONTENT), CONTENT)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"HTTP/1.1 200 O", b"K"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (OK + b"X: ", b"x"),
        (CHUNKS + b"1000;", b"x"),
        (WHOLE, b"X: x\r\n"),
    ],
    ids=["status line", "1xx", "header", "chunk head", "trailers"],
)
async def test_what_comes_beside_the_body_does_not_keep_a_download(
    cache: FirmwareCache, origin: Origin, begin: bytes, piece: bytes
) -> None:
    limits = Limits(window_s=0.3, connect_s=0.1, attempts=1)
    async with asyncio.timeout(10):
        error = await refused(cache, origin.serve(trickle(begin, piece)), limits=limits)
    assert str(error).endswith("no answer in time")


async def test_silence_is_tried_again(cache: FirmwareCache, origin: Origin) -> None:
    url = origin.serve(silence, answer())
    async with asyncio.timeout(10):
        file = await cache.fetch(REF, url, limits=Limits(window_s=0.5, pause_s=0.0))
    assert file.read() == CONTENT


@pytest.mark.parametrize("loop_ends", [False, True], ids=["it fails at last", "the loop ends before"])
async def test_a_disk_that_hangs_does_not_keep_a_cancelled_download(
    monkeypatch: pytest.MonkeyPatch, loop_ends: bool
) -> None:
    """Nor does the call that is left behind complain when it ends."""
    monkeypatch.setattr(download, "HUNG_S", 0.05)
    gate, complaints = threading.Event(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))

    def work() -> None:
        gate.wait()
        raise OSError

    task = asyncio.ensure_future(download.to_the_end(work))
    await asyncio.sleep(0.05)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=10)
    assert done == {task}
    assert task.cancelled()
    (left,) = asyncio.all_tasks() - {asyncio.current_task()}
    if loop_ends:
        left.cancel()
        await asyncio.wait({left})
    gate.set()
    await asyncio.wait({left})
    del left, task, done  # a task complains of its error when nothing refers to it any more
    gc.collect()
    assert complaints == []

"""Memory, steps and time are bounded, whatever a device or a server sends, and however long.

Memory is what Python has allocated beyond what was there before, at its peak: a process's size would say nothing.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from ble_ota.cloud.answers import BODY_MAX_BYTES
from ble_ota.cloud.endpoints import ENDPOINTS
from ble_ota.cloud.exchange import Exchange
from ble_ota.cloud.pace import Pace
from ble_ota.errors import BleOtaError, CloudAnswerError, CloudUnreachableError
from ble_ota.events import Event
from ble_ota.install import Installer, Patience
from ble_ota.link import uuid16
from ble_ota.virtual.air import QUEUE_MAX
from ble_ota.virtual.peripheral import Carrier
from ble_ota.virtual.peripherals.quecthing import Habits, Liar, Lie, Lies, Pause
from firmware_cache import DownloadError, FirmwareCache, Limits, Ref
from tests.bench import Bench, bench, content, images, planned

pytestmark = pytest.mark.looptime

KIB, MIB = 1 << 10, 1 << 20
DEADLINE_S = 3600.0  # of a run, as settings have it
DATA, LOG = uuid16(0x9C40), uuid16(0x9C41)


@contextmanager
def at_most(most_bytes: int) -> Generator[None, None, None]:
    """Hold the block to so much new memory at its peak."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < most_bytes, f"{(peak - before) // KIB} KiB"


async def ended(on: Bench, patience: Patience | None = None) -> tuple[str, float]:
    """How one whole run with the usual patience ends, and after how many seconds; its events are not kept."""
    began_s = asyncio.get_running_loop().time()
    try:
        installer: Installer = replace(await on.installer(patience or Patience()), emit=nothing)
        installed = await installer.install(planned(on.world), images(on.world))
        word = installed.version
    except BleOtaError as error:
        word = error.reason
    return word, asyncio.get_running_loop().time() - began_s


def nothing(_event: Event) -> None:
    pass


# ------------------------------------------------------------------ a device that says too much


class Chatterbox(Liar):
    """A device that, from the connect on, says one value every few milliseconds for as long as there is a link."""

    def __init__(self, on: Bench, value: bytes, *, uuid: str = DATA, every_s: float = 0.01) -> None:
        super().__init__(on.device, Lies(1, rate=0.0))
        self.said = 0
        self._say = (uuid, value, every_s)
        self._link: Carrier | None = None
        self._linked = False

    def attach(self, carrier: Carrier) -> None:
        self._link = carrier
        super().attach(carrier)

    def connected(self) -> None:
        super().connected()
        self._linked = True
        self._on()

    def disconnected(self) -> None:
        self._linked = False
        super().disconnected()

    def _on(self) -> None:
        uuid, value, every_s = self._say
        if self._linked and self._link is not None:
            self.said += 1
            self._link.send(uuid, value[: self._link.max_value])
            asyncio.get_running_loop().call_later(every_s, self._on)


JUNK = {
    "bytes that are no frame": bytes(range(200)),
    "the heads of the longest frame": b"\xaa\xaa\x54\xff" * 50,
    "frames nobody asked for": bytes.fromhex("aaaa0005 7c 0005 7077") * 20,
    "empty values": b"",
}


@pytest.mark.parametrize("every_s", [0.1, 0.025])
@pytest.mark.parametrize("what", JUNK)
async def test_a_flood_on_the_subscribed_characteristic_is_bounded(tmp_path: Path, what: str, every_s: float) -> None:
    on = bench(tmp_path, size=2000)
    loud = Chatterbox(on, JUNK[what], every_s=every_s)
    on.air.add(loud)
    with at_most(3 * MIB):
        word, took_s = await ended(on, Patience(links=2, reboot_s=20))
    assert loud.said > 20
    assert took_s < DEADLINE_S
    # What comes seldom enough leaves room for the answers; what does not is a device that is not understood.
    assert word == "1.1.0" if every_s == 0.1 else word in ("1.1.0", "device_silent", "malformed")
    assert word != "1.1.0" or on.device.running("MAIN") == content(on.world)


async def test_a_flood_on_another_characteristic_is_not_heard(tmp_path: Path) -> None:
    on = bench(tmp_path, size=2000)
    loud = Chatterbox(on, b"log" * 50, uuid=LOG, every_s=0.002)
    on.air.add(loud)
    with at_most(3 * MIB):
        assert (await ended(on))[0] == "1.1.0"
    assert loud.said > 5 * QUEUE_MAX


async def test_thousands_of_values_while_a_file_comes_do_no_harm(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(floods=100_000, chunk_bytes=20))
    with at_most(3 * MIB):
        assert (await ended(on))[0] == "1.1.0"
    assert on.device.running("MAIN") == content(on.world)


@pytest.mark.parametrize("kind", [Lie.NOISE, Lie.MESSAGE, Lie.OVERSIZED])
async def test_lies_without_end_end(tmp_path: Path, kind: Lie) -> None:
    on = bench(tmp_path, size=2000)
    on.air.add(Liar(on.device, Lies(1, rate=0.0, kinds=(kind,), unasked_every_s=0.05)))
    with at_most(3 * MIB):
        word, took_s = await ended(on)
    assert took_s < DEADLINE_S
    assert word != "1.1.0" or on.device.running("MAIN") == content(on.world)


# ------------------------------------------------------------------ a device that takes its time


HELD = {
    "one byte every 4 s": Habits(chunk_bytes=1, slow_answer_s=4.0),
    "ten bytes every 4 s, and it keeps its session": Habits(
        chunk_bytes=10, slow_answer_s=4.0, keeps_session_over_disconnect=True
    ),
    "pauses without end": Habits(endless_pauses=True),
    "pauses of an hour, without end": Habits(pauses=(Pause(0, delay_s=3600, lasts_s=3599.0),), endless_pauses=True),
    "a pause that never ends": Habits(pauses=(Pause(1000, delay_s=60, lasts_s=None),)),
    "silence": Habits(silent_after=1000),
    "silence before the first packet": Habits(erase_s=1e6),
    "an answer that is always too late": Habits(slow_answer_s=14.0),
}
LONGEST_S = 3 * (7200 + 120)  # three links in a row without progress, each with all pauses a file may have


@pytest.mark.parametrize("what", HELD)
async def test_a_device_that_holds_its_place_is_given_up_on(tmp_path: Path, what: str) -> None:
    on = bench(tmp_path, HELD[what])
    word, took_s = await ended(on)
    assert word in ("device_silent", "pause_never_ended", "malformed", "cancelled_by_device")
    assert took_s < (LONGEST_S if "hour" in what else DEADLINE_S)


async def test_the_deadline_is_shorter_than_any_patience(tmp_path: Path) -> None:
    on = bench(tmp_path, HELD["pauses of an hour, without end"])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(DEADLINE_S):
            await ended(on)
    assert on.air.operations < 1000


# ------------------------------------------------------------------ a server without end


@dataclass
class Endless(httpx.AsyncBaseTransport):
    """Sends a body without end, some bytes at a time."""

    piece: bytes
    every_s: float = 0.0
    length: str = ""
    sent: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = {"Content-Length": self.length} if self.length else {}
        return httpx.Response(200, headers=headers, stream=_Body(self), request=request)


@dataclass
class _Body(httpx.AsyncByteStream):
    of: Endless

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(self.of.every_s)
            self.of.sent += len(self.of.piece)
            yield self.of.piece


def exchange(transport: Endless) -> Exchange:
    return Exchange(
        "https://cloud.example", transport=transport, timeout_s=30, clock=lambda: 0.0, pace=Pace(at_once=4, per_s=1000)
    )


@pytest.mark.parametrize("piece", [b"x" * 10_000, b'{"code":200,"data":"' + b"x" * 50_000], ids=["noise", "json"])
async def test_an_answer_without_end_is_cut(piece: bytes) -> None:
    server = Endless(piece)
    with at_most(3 * BODY_MAX_BYTES), pytest.raises(CloudAnswerError):
        await exchange(server).call(ENDPOINTS["userInfo"], {}, doing="asking")
    assert server.sent <= BODY_MAX_BYTES + len(piece)


async def test_an_answer_in_drips_is_given_up() -> None:
    server = Endless(b" ", every_s=0.1)
    began_s = asyncio.get_running_loop().time()
    with at_most(MIB), pytest.raises(CloudUnreachableError):
        await exchange(server).call(ENDPOINTS["userInfo"], {}, doing="asking")
    assert asyncio.get_running_loop().time() - began_s < 3 * 30 + 5


REF = Ref(1000, sha256="0" * 64)


@pytest.mark.parametrize("length", ["", "1000", "1000000000000"])
async def test_firmware_without_end_is_cut(tmp_path: Path, length: str) -> None:
    server = Endless(b"x" * 65536, length=length)
    with at_most(2 * MIB):
        async with httpx.AsyncClient(transport=server) as client:
            with pytest.raises(Exception, match="bytes") as refused:  # whichever of the cache's errors
                await FirmwareCache(tmp_path).fetch(REF, "https://oss.example/fw", client=client)
    assert type(refused.value).__module__ == "firmware_cache.errors"
    assert server.sent <= 3 * 2 * 65536
    assert sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) < KIB


async def test_firmware_in_drips_is_given_up(tmp_path: Path) -> None:
    server = Endless(b"x", every_s=1.0)
    async with httpx.AsyncClient(transport=server) as client:
        with at_most(2 * MIB), pytest.raises(DownloadError):
            await FirmwareCache(tmp_path).fetch(REF, "https://oss.example/fw", client=client, limits=Limits())
    assert server.sent < 100

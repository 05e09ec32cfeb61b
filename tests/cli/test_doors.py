from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

import firmware_cache
from ble_ota.cli.common import Common
from ble_ota.cli.doors import cache_errors, fetcher, relinked
from ble_ota.cli.session import session_of
from ble_ota.cli.wiring import vault_of
from ble_ota.errors import CloudUnreachableError, StorageError, TrustError
from ble_ota.events import Event, Warned
from ble_ota.model import Algorithm, Component, ComponentKind, DeviceInfo, Digest, FetchPlan, PlannedFile
from ble_ota.settings import isolated
from tests.bench import bytes_of
from tests.cli.desk import Desk

COMMON = Common("update", no_input=True)
COMPONENT = Component("MAIN", ComponentKind.MODULE, "1.1.0", "1.0.0", ())


@pytest.fixture
def files() -> Generator[ExitStack, None, None]:
    with ExitStack() as stack:
        yield stack


async def test_firmware_comes_from_the_cache_the_second_time(desk: Desk, tmp_path: Path, files: ExitStack) -> None:
    content = b"firmware"
    file = PlannedFile("http://127.0.0.1:1/f", 8, (Digest(Algorithm.SHA256, Algorithm.SHA256.hex(content)),))
    blob = tmp_path / "c" / "v1" / "blobs" / "sha256" / file.digests[0].hex[:2] / file.digests[0].hex
    blob.parent.mkdir(parents=True)
    blob.write_bytes(content)
    image = await fetcher(isolated(cache_dir=tmp_path / "c"), lambda _: None, files)(COMPONENT, file)
    assert await bytes_of(image) == content


@pytest.mark.parametrize(
    ("raised", "wanted"),
    [
        (firmware_cache.DownloadError, CloudUnreachableError),
        (firmware_cache.ContentError, TrustError),
        (firmware_cache.DamagedBlobError, TrustError),
        (firmware_cache.CacheStorageError, StorageError),
    ],
)
def test_an_error_of_the_cache_becomes_ours_with_its_hint(raised: type[Exception], wanted: type[Exception]) -> None:
    error = raised.__new__(raised)
    Exception.__init__(error, "what happened")
    error.hint = "what to do"  # type: ignore[attr-defined]
    with pytest.raises(wanted) as caught, cache_errors():
        raise error
    assert getattr(caught.value, "hint", None) == "what to do"


NAMES = ["../../evil.bin", "/etc/passwd", "..\\evil.bin", "a/../../b", "C:evil", "\x00", "." * 300]


@pytest.mark.parametrize("name", NAMES)
async def test_a_files_name_is_no_path(desk: Desk, tmp_path: Path, files: ExitStack, name: str) -> None:
    there = desk.world.components[0].files[0]
    content = desk.world.firmware(there)
    digest = Digest(Algorithm.SHA256, there.sha256)
    file = PlannedFile(await _address(desk), len(content), (digest,), name=name)
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    image = await fetcher(isolated(cache_dir=tmp_path / "c"), lambda _: None, files)(COMPONENT, file)
    assert await bytes_of(image) == content
    new = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()} - {
        p.relative_to(tmp_path) for p in before
    }
    beside = {f"{there.sha256}.json", f"{there.sha256}.lock"}  # what is known of it, and who fetches it
    assert {p.name for p in new} == {there.sha256, "CACHEDIR.TAG", *beside}
    assert {p.parts[0] for p in new} == {"c"}


def wanted(desk: Desk, url: str = "http://127.0.0.1:9/f") -> PlannedFile:
    """The world's firmware, at an address where nothing is."""
    there = desk.world.components[0].files[0]
    return PlannedFile(url, there.size_bytes, (Digest(Algorithm.SHA256, there.sha256),), name="fw.bin")


async def test_a_mirror_is_asked_before_the_address(desk: Desk, tmp_path: Path, files: ExitStack) -> None:
    file = wanted(desk)
    filled = firmware_cache.FirmwareCache(tmp_path / "other")
    filled.add(desk.world.firmware(desk.world.components[0].files[0]))
    filled.push(tmp_path / "stick")
    settings = isolated(cache_dir=tmp_path / "c", mirrors=[str(tmp_path / "stick")])
    image = await fetcher(settings, lambda _: None, files, offline=True)(COMPONENT, file)
    assert image.sha256 == file.digests[0].hex


async def test_a_mirror_that_fails_is_skipped_with_a_warning(desk: Desk, tmp_path: Path, files: ExitStack) -> None:
    settings = isolated(cache_dir=tmp_path / "c", mirrors=[str(tmp_path / "pulled-out"), "http://127.0.0.1:9"])
    told: list[Event] = []
    image = await fetcher(settings, told.append, files)(COMPONENT, wanted(desk, await _address(desk)))
    assert await bytes_of(image) == desk.world.firmware(desk.world.components[0].files[0])
    assert [event.message for event in told if isinstance(event, Warned)] != []


async def test_offline_names_the_digest_and_what_would_bring_it(desk: Desk, tmp_path: Path, files: ExitStack) -> None:
    file = wanted(desk, await _address(desk))
    with pytest.raises(StorageError) as caught:
        await fetcher(isolated(cache_dir=tmp_path / "c"), lambda _: None, files, offline=True)(COMPONENT, file)
    assert file.digests[0].hex in str(caught.value)
    assert "ble-ota cache import" in caught.value.hint


async def test_what_was_fetched_is_known_by_its_name_and_version(desk: Desk, tmp_path: Path, files: ExitStack) -> None:
    await fetcher(isolated(cache_dir=tmp_path / "c"), lambda _: None, files)(
        COMPONENT, wanted(desk, await _address(desk))
    )
    [entry] = firmware_cache.FirmwareCache(tmp_path / "c").entries()
    assert [(known.name, known.version) for known in entry.known_as] == [("fw.bin", "1.1.0")]


async def test_a_link_that_has_expired_is_fetched_anew_from_the_plan(
    desk: Desk, tmp_path: Path, files: ExitStack
) -> None:
    stale = wanted(desk, f"{desk.url}/oss/expired/fw.bin")
    asked: list[str] = []

    async def again(component: Component, file: PlannedFile) -> PlannedFile | None:
        asked.append(component.no)
        return wanted(desk, await _address(desk))

    image = await fetcher(isolated(cache_dir=tmp_path / "c"), lambda _: None, files, again=again)(COMPONENT, stale)
    assert image.sha256 == stale.digests[0].hex
    assert asked == ["MAIN"]


async def test_a_link_that_stays_expired_is_an_error(desk: Desk, tmp_path: Path, files: ExitStack) -> None:
    stale = wanted(desk, f"{desk.url}/oss/expired/fw.bin")

    async def gone(_component: Component, _file: PlannedFile) -> None:
        return None

    with pytest.raises(CloudUnreachableError, match="403"):
        await fetcher(isolated(cache_dir=tmp_path / "c"), lambda _: None, files, again=gone)(COMPONENT, stale)


async def test_a_file_is_found_again_by_its_size_and_digests_alone(desk: Desk) -> None:
    file, other = wanted(desk, "https://a.example/1"), PlannedFile("https://a.example/2", 3, ())
    fresh = replace(file, url="https://a.example/3")
    device = DeviceInfo("", "", "pk", "dk", {})

    async def plan_with(*files: PlannedFile) -> PlannedFile | None:
        async def fetch_plan(_device: DeviceInfo) -> FetchPlan | None:
            return FetchPlan("1", "pk", "dk", (replace(COMPONENT, files=files),)) if files else None

        return await relinked(fetch_plan, device)(COMPONENT, file)

    assert await plan_with(other, fresh) == fresh
    assert await plan_with(other) is None
    assert await plan_with() is None


async def _address(desk: Desk) -> str:
    """Where the firmware is, signed, as a plan tells."""
    common = Common("plan", json=True, no_input=True)
    settings = common.settings()
    async with session_of(common, settings, vault_of(settings)) as center:
        plan = await center.fetch_plan(DeviceInfo("", "", desk.world.product_key, desk.device.device_key, {}))
    assert plan is not None
    return plan.components[0].files[0].url

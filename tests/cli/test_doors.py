from __future__ import annotations

from pathlib import Path

import pytest

import firmware_cache
from ble_ota.cli.common import Common
from ble_ota.cli.doors import cache_errors, fetcher
from ble_ota.cli.session import session_of
from ble_ota.cli.wiring import vault_of
from ble_ota.errors import CloudUnreachableError, StorageError, TrustError
from ble_ota.model import Algorithm, Component, ComponentKind, DeviceInfo, Digest, PlannedFile
from ble_ota.settings import isolated
from tests.cli.desk import Desk

COMMON = Common("update", no_input=True)
COMPONENT = Component("MAIN", ComponentKind.MODULE, "1.1.0", "1.0.0", ())


async def test_firmware_comes_from_the_cache_the_second_time(desk: Desk, tmp_path: Path) -> None:
    content = b"firmware"
    file = PlannedFile("http://127.0.0.1:1/f", 8, (Digest(Algorithm.SHA256, Algorithm.SHA256.hex(content)),))
    blob = tmp_path / "c" / "v1" / "blobs" / "sha256" / file.digests[0].hex[:2] / file.digests[0].hex
    blob.parent.mkdir(parents=True)
    blob.write_bytes(content)
    image = await fetcher(isolated(cache_dir=tmp_path / "c"), lambda _: None)(COMPONENT, file)
    assert image.content == content


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
async def test_a_files_name_is_no_path(desk: Desk, tmp_path: Path, name: str) -> None:
    there = desk.world.components[0].files[0]
    content = desk.world.firmware(there)
    digest = Digest(Algorithm.SHA256, there.sha256)
    file = PlannedFile(await _address(desk), len(content), (digest,), name=name)
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    image = await fetcher(isolated(cache_dir=tmp_path / "c"), lambda _: None)(COMPONENT, file)
    assert image.content == content
    new = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()} - {
        p.relative_to(tmp_path) for p in before
    }
    assert {p.name for p in new} == {there.sha256, "CACHEDIR.TAG"}
    assert {p.parts[0] for p in new} == {"c"}


async def _address(desk: Desk) -> str:
    """Where the firmware is, signed, as a plan tells."""
    common = Common("plan", json=True, no_input=True)
    settings = common.settings()
    async with session_of(common, settings, vault_of(settings)) as center:
        plan = await center.fetch_plan(DeviceInfo("", "", desk.world.product_key, desk.device.device_key, {}))
    assert plan is not None
    return plan.components[0].files[0].url

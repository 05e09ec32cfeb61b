from __future__ import annotations

from pathlib import Path

import pytest

import firmware_cache
from ble_ota.cli.common import Common
from ble_ota.cli.doors import cache_errors, fetcher, reporter
from ble_ota.cli.session import session_of
from ble_ota.cli.wiring import drivers_of
from ble_ota.errors import CloudError, CloudUnreachableError, StorageError, TrustError
from ble_ota.events import ConfirmReported, Event, ReportKept, StatusReported
from ble_ota.link import Advert
from ble_ota.model import Algorithm, Component, ComponentKind, Digest, PlannedFile
from ble_ota.protocols import Sighting
from ble_ota.settings import isolated
from ble_ota.target import Target
from ble_ota.vault import MemoryVault
from ble_ota.virtual.developer_center import Faults
from tests.cli.desk import Desk

COMMON = Common("update", no_input=True)
COMPONENT = Component("MAIN", ComponentKind.MODULE, "1.1.0", "1.0.0", ())


async def reported(desk: Desk, outcome: str) -> list[Event]:
    settings, events = COMMON.settings(), list[Event]()
    target = Target(
        Advert(desk.name, "", None),
        Sighting("quecthing"),
        drivers_of(isolated())["quecthing"],
        desk.world.product_key,
        desk.device.device_key,
    )
    async with session_of(COMMON, settings, MemoryVault()) as center:
        await reporter(center, target, events.append)(COMPONENT, outcome)  # type: ignore[arg-type]
    return events


async def test_a_confirmation_is_told_with_its_number(desk: Desk) -> None:
    assert await reported(desk, "confirmed") == [ConfirmReported("MAIN", 2)]


async def test_a_confirmation_that_does_not_arrive_is_raised(desk: Desk) -> None:
    desk.center.faults = Faults(code=4711, only="reportUpgradeStatus")
    with pytest.raises(CloudError):
        await reported(desk, "confirmed")


async def test_a_result_is_told_with_its_number(desk: Desk) -> None:
    assert await reported(desk, "failed") == [StatusReported("MAIN", "failed", 8)]


async def test_a_result_that_does_not_arrive_is_kept(desk: Desk) -> None:
    desk.center.faults = Faults(code=4711, only="reportUpgradeStatus")
    (kept,) = await reported(desk, "succeeded")
    assert isinstance(kept, ReportKept)
    assert "4711" in kept.why


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

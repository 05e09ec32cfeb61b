from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.errors import UsageError
from ble_ota.transcript import FILE_MAX_BYTES
from ble_ota.virtual.replayed import read, replayed
from tests.taped import link, written


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join(written(link())) + "\n", "ascii")
    return path


def test_a_transcript_is_read_from_its_file(file: Path) -> None:
    assert [found.purpose for found in read(file).links] == ["identify"]


@pytest.mark.looptime
async def test_its_device_is_on_the_air(file: Path) -> None:
    on = replayed(read(file))
    assert {a.address async for a in on.radio.scan(within_s=0.1)} == {on.device.address}


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x7fELF" * 100])
def test_what_is_no_transcript_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(UsageError, match="no whole transcript"):
        read(tmp_path / "f")


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as sparse:
        sparse.truncate(FILE_MAX_BYTES + 1)
    with pytest.raises(UsageError, match=f"more than {FILE_MAX_BYTES} bytes"):
        read(tmp_path / "f")

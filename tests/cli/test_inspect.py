from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.inspect import inspect, read_file
from ble_ota.errors import TrustError, UsageError
from ble_ota.model import IMAGE_MAX_BYTES
from tests.cli.desk import told


async def test_a_file_is_described_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f.bin").write_bytes(b"firmware")
    assert await inspect(Common("inspect", json=True), tmp_path / "f.bin") == 0
    data = told(*capsys.readouterr()).last["data"]
    assert (data["format"], data["size_bytes"]) == ("raw", 8)
    assert data["digests"]["sha256"] == hashlib.sha256(b"firmware").hexdigest()


async def test_a_file_is_described_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f.bin").write_bytes(b"firmware")
    await inspect(Common("inspect"), tmp_path / "f.bin")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "f.bin"
    assert "  size     8 bytes (8 B)" in lines
    assert "  version  not in the file" in lines


def test_an_empty_file_is_no_firmware(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"")
    with pytest.raises(TrustError, match="empty"):
        read_file(tmp_path / "f.bin")


def test_a_file_over_the_cap_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "f.bin").open("wb") as sparse:
        sparse.truncate(IMAGE_MAX_BYTES + 1)
    with pytest.raises(TrustError, match=r"larger than 100\.0 MB"):
        read_file(tmp_path / "f.bin")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="directory"):
        read_file(tmp_path)

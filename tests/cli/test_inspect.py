from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.inspect import inspect
from ble_ota.errors import UsageError
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


async def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no ordinary file"):
        await inspect(Common("inspect"), tmp_path / "pipe")

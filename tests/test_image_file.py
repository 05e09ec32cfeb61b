from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from ble_ota import image_file
from ble_ota.content import BLOCK_BYTES, Content
from ble_ota.errors import StorageError, TrustError, UsageError
from ble_ota.image_file import content_of, opened, sum_up
from ble_ota.model import IMAGE_MAX_BYTES

FIRMWARE = bytes(range(256)) * 300  # two blocks, the second one shorter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "fw.bin").write_bytes(FIRMWARE)
    return tmp_path / "fw.bin"


async def all_of(content: Content) -> bytes:
    return b"".join([await content.block(n) for n in range(len(content.summary.blocks))])


async def test_a_file_is_read_again_as_it_was_summed_up(path: Path) -> None:
    with opened(path) as content:
        assert content.summary == Content.of(FIRMWARE).summary
        assert await all_of(content) == FIRMWARE
        assert await all_of(content) == FIRMWARE  # where the file stands does not matter


async def test_a_file_that_takes_its_name_changes_nothing(path: Path) -> None:
    with opened(path) as content:
        path.with_name("other.bin").write_bytes(b"other")
        path.with_name("other.bin").replace(path)
        assert await all_of(content) == FIRMWARE


async def test_a_file_that_is_edited_in_place_is_not_trusted_any_more(path: Path) -> None:
    with opened(path) as content:
        with path.open("r+b") as edited:
            edited.seek(BLOCK_BYTES)
            edited.write(b"!")
        assert await content.block(0) == FIRMWARE[:BLOCK_BYTES]
        with pytest.raises(TrustError, match=r"fw\.bin has changed"):
            await content.block(1)


async def test_a_file_that_is_cut_short_is_not_trusted_any_more(path: Path) -> None:
    with opened(path) as content:
        os.truncate(path, BLOCK_BYTES + 1)
        with pytest.raises(TrustError, match=r"fw\.bin has changed"):
            await content.block(1)


class Disk(io.BufferedReader):
    """A file on a disk that is slow, or says no; and in which thread it is read."""

    error: OSError | None = None
    goes_on: threading.Event | None = None
    thread = 0

    def fileno(self) -> int:
        self.thread = threading.get_ident()
        if self.goes_on is not None:
            self.goes_on.wait(10)
        if self.error is not None:
            raise self.error
        return super().fileno()


async def test_no_block_is_read_in_the_thread_of_the_loop(path: Path) -> None:
    with Disk(io.FileIO(path)) as disk:
        await content_of(disk, Content.of(FIRMWARE).summary, "fw.bin").block(0)
        assert disk.thread not in (0, threading.get_ident())


async def test_a_disk_that_says_no_is_named(path: Path) -> None:
    with Disk(io.FileIO(path)) as disk:
        disk.error = OSError(5, "Input/output error")
        with pytest.raises(StorageError, match=r"reading fw\.bin: Input/output error"):
            await content_of(disk, Content.of(FIRMWARE).summary, "fw.bin").block(0)


async def test_a_disk_that_does_not_answer_is_waited_for_no_longer_than_it_may_take(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_file, "READ_S", 0.05)
    with Disk(io.FileIO(path)) as disk:
        disk.goes_on = threading.Event()
        with pytest.raises(StorageError, match=r"did not answer within 0\.05 s"):
            await content_of(disk, Content.of(FIRMWARE).summary, "fw.bin").block(0)
        disk.goes_on.set()


async def test_a_system_that_cannot_read_at_an_offset_reads_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pread")
    with opened(path) as content:
        assert await content.block(1) == FIRMWARE[BLOCK_BYTES:]
        assert await content.block(0) == FIRMWARE[:BLOCK_BYTES]


def test_an_empty_file_is_no_firmware(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"")
    with pytest.raises(TrustError, match="empty"), opened(tmp_path / "f.bin"):
        pass


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_a_file_over_the_cap_is_refused(tmp_path: Path, more: int, fits: bool) -> None:
    with (tmp_path / "f.bin").open("wb") as sparse:
        sparse.truncate(IMAGE_MAX_BYTES + more)
    if fits:
        with opened(tmp_path / "f.bin") as content:
            assert content.size_bytes == IMAGE_MAX_BYTES
        return
    with pytest.raises(TrustError, match="larger than 100 MB"), opened(tmp_path / "f.bin"):
        pass


class Endless(io.BytesIO):
    """A file that grows while it is read."""

    given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 < size <= BLOCK_BYTES
        assert self.given <= IMAGE_MAX_BYTES
        self.given += size
        return bytes(size)


def test_a_file_that_grows_is_read_no_further_than_the_cap() -> None:
    with pytest.raises(TrustError, match="larger than 100 MB"):
        sum_up(Endless(), Path("growing.bin"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"), opened(tmp_path):
        pass


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no ordinary file") as caught, opened(tmp_path / "pipe"):
        pass
    assert "pipe" in caught.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"nowhere\.bin cannot be read: No such file"),
        opened(tmp_path / "nowhere.bin"),
    ):
        pass

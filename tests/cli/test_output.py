from __future__ import annotations

import errno
import io
import os
import sys
import threading
from collections.abc import Generator
from typing import cast

import pytest

from ble_ota.cli import output
from ble_ota.cli.output import Kind, Stream, Writer

S = 10.0


class Disk:
    """Where a writer writes to: takes `room` bytes a time, and nothing while the gate is closed."""

    def __init__(self, room: int = 1 << 20) -> None:
        self.content = b""
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.closed = False
        self.error: OSError | None = None
        self._room = room

    def write(self, content: memoryview) -> int | None:
        self.reached.set()
        self.gate.wait()
        if self.error is not None:
            raise self.error
        self.content += content[: self._room]
        return min(len(content), self._room)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def stalled() -> Generator[Disk, None, None]:
    disk = Disk()
    disk.gate.clear()
    yield disk
    disk.gate.set()


def behind(disk: Disk) -> Writer:
    """A writer that is in the middle of its first piece."""
    writer = Writer(disk, "a test")
    writer.put(b"first\n", Kind.LINE)
    assert disk.reached.wait(S)
    return writer


def test_pieces_are_written_whole_and_in_order() -> None:
    disk = Disk(room=3)
    writer = Writer(disk, "a test")
    for number in range(100):
        writer.put(b"%d\n" % number, Kind.LINE)
    assert writer.drain(S)
    assert disk.content == b"".join(b"%d\n" % number for number in range(100))


def test_a_reader_that_stalls_costs_progress_first_then_lines_and_never_data(
    stalled: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "PROGRESS_BYTES", 10)
    monkeypatch.setattr(output, "LINES_BYTES", 17)
    writer = behind(stalled)
    for kind in (Kind.PROGRESS, Kind.PROGRESS, Kind.LINE, Kind.LINE, Kind.DATA, Kind.DATA):
        writer.put(kind.value.encode() + b"!", kind)
    assert writer.lost == {Kind.PROGRESS, Kind.LINE}
    stalled.gate.set()
    assert writer.drain(S)
    assert stalled.content == b"first\nprogress!line!data!data!"


def test_lines_are_kept_up_to_a_bound(stalled: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LINES_BYTES", 20)
    writer = behind(stalled)
    for _ in range(100):
        writer.put(b"line!", Kind.LINE)
    assert writer.lost == {Kind.LINE}
    assert writer.waiting < 30
    stalled.gate.set()
    assert writer.drain(S)


def test_nobody_waits_for_a_reader_that_stalls_longer_than_they_said(stalled: Disk) -> None:
    assert not behind(stalled).drain(0.01)


def test_a_reader_that_has_gone_is_an_error_and_ends_the_wait(stalled: Disk) -> None:
    writer = behind(stalled)
    writer.put(b"more", Kind.DATA)
    stalled.error = BrokenPipeError(errno.EPIPE, "Broken pipe")
    stalled.gate.set()
    assert writer.drain(S)
    assert isinstance(writer.error, BrokenPipeError)
    assert Kind.DATA in writer.lost
    writer.put(b"later", Kind.LINE)
    assert (writer.waiting, writer.lost) == (0, {Kind.DATA, Kind.LINE})


def test_a_writer_that_is_closed_writes_what_is_due_and_closes_its_file() -> None:
    disk = Disk()
    writer = Writer(disk, "a test")
    writer.put(b"last", Kind.LINE)
    assert writer.close(S)
    assert (disk.content, disk.closed) == (b"last", True)


def test_a_pipe_that_does_not_block_gets_all_of_it() -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    writer = Writer(io.FileIO(writes, "w"), "a test")
    writer.put(b"x" * 200_000, Kind.DATA)
    with io.FileIO(reads) as reader:
        read = 0
        while read < 200_000:
            read += len(reader.read(65536) or b"")
    assert writer.close(S)


# ------------------------------------------------------------------ streams


def stream(disk: Disk, encoding: str = "utf-8") -> Stream:
    return Stream(Writer(disk, "a test"), io.TextIOWrapper(io.BytesIO(), encoding=encoding))


def test_a_character_that_the_encoding_does_not_have_is_no_error() -> None:
    disk = Disk()
    ours = stream(disk, "ascii")
    assert ours.write("ü\n") == 2
    assert ours.writer.drain(S)
    assert disk.content == b"\\xfc" + os.linesep.encode()


def test_writing_and_flushing_return_at_once(stalled: Disk) -> None:
    ours = stream(stalled)
    for _ in range(3):
        output.write(cast("io.TextIOBase", ours), "line\n")  # type: ignore[arg-type]
        ours.flush()
    assert ours.writer.waiting == 15


def test_frames_of_what_is_drawn_are_lost_first(stalled: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "PROGRESS_BYTES", 3)
    ours = stream(stalled)
    monkeypatch.setattr(sys, "stderr", ours)
    sys.stderr.write("line\n")
    output.frames().write("frame")
    sys.stderr.write("line\n")
    assert (ours.writer.waiting, ours.writer.lost) == (10, {Kind.PROGRESS})


def test_a_plain_stream_whose_reader_has_gone_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str, /) -> int:
            raise BrokenPipeError

    output.write(Gone(), "line\n")
    assert output.frames() is sys.stderr


async def test_who_gives_very_much_waits_for_the_reader(stalled: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "DATA_BYTES", 100)
    ours = stream(stalled)
    monkeypatch.setattr(sys, "stdout", ours)
    output.write(sys.stdout, "x" * 200, Kind.DATA)
    threading.Timer(0.1, stalled.gate.set).start()
    await output.caught_up()
    assert len(stalled.content) == 200

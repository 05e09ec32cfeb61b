"""stdout and stderr of a process of ours: a thread writes each, so that no reader can hold up the loop.

::

    write(sys.stdout, line, Kind.LINE) ──► Stream ──► Writer: queue ──► its thread ──► file descriptor
                                                        │ the reader stalls: PROGRESS is dropped first,
                                                        │ LINE at `LINES_BYTES`, DATA never
                                                        └ the reader has gone, or the disk is full: `error`

`install` puts a `Stream` in the place of both, so rich, logging and tracebacks go this way, too.
Where it was not called (tests, a program that uses these modules), `write` writes to the plain stream.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Protocol, TextIO, cast

PROGRESS_BYTES = 64_000  # our choice: as much as a pipe holds on Linux; who is further behind does not need each step
LINES_BYTES = 4_000_000  # our choice: some 15,000 events, hours of a run
DATA_BYTES = 4_000_000  # our choice: what `caught_up` lets wait before more data is made
SLICE_BYTES = 65536
AGAIN_S = 0.02  # our choice: pause before writing again to a full descriptor that does not block
GONE = frozenset({errno.EPIPE, errno.EIO, errno.ENXIO, *((errno.EINVAL,) if os.name == "nt" else ())})


class Kind(Enum):
    """How much a piece of output is worth when its reader stalls."""

    PROGRESS = "progress"
    """Dropped first: the next one says the same and more."""
    LINE = "line"
    """Kept up to `LINES_BYTES`."""
    DATA = "data"
    """What the command was asked for: kept whole."""


class Raw(Protocol):
    """Where bytes go to; an `io.RawIOBase`, which has no buffer and no lock."""

    def write(self, content: memoryview, /) -> int | None:
        """Write some of `content`; tell how many bytes, or None for none now."""
        ...

    def close(self) -> None:
        """Give the descriptor back."""
        ...


class Writer:
    """Writes bytes in order, in a daemon thread."""

    def __init__(self, raw: Raw, name: str) -> None:
        """Start the thread; `name` is for its name."""
        self.error: OSError | None = None
        """Why nothing is written any more; what comes later is lost."""
        self.lost: set[Kind] = set()
        """Of which kinds something was not written."""
        self._raw = raw
        self._due: deque[tuple[bytes, Kind]] = deque()
        self._bytes = 0  # in the queue, and of the piece that is being written
        self._changed = threading.Condition()
        self.closed = False
        self.thread = threading.Thread(target=self._work, name=f"writes {name}", daemon=True)
        self.thread.start()

    def put(self, content: bytes, kind: Kind) -> None:
        """Have `content` written; returns at once."""
        bound = {Kind.PROGRESS: PROGRESS_BYTES, Kind.LINE: LINES_BYTES, Kind.DATA: None}[kind]
        with self._changed:
            if self.error is not None or (bound is not None and self._bytes > bound):
                self.lost.add(kind)
                return
            self._due.append((content, kind))
            self._bytes += len(content)
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Bytes that are not written yet."""
        return self._bytes

    @property
    def waits_for_data(self) -> bool:
        """Whether bytes of kind DATA are not written yet."""
        with self._changed:
            return any(kind is Kind.DATA for _, kind in self._due)

    def drain(self, within_s: float) -> bool:
        """Wait until all is written, or nothing more can be; tell whether that is so. Blocks."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._bytes, within_s)

    def close(self, within_s: float) -> bool:
        """Have the descriptor closed after what is due; wait as `drain`, and tell as it does. Blocks."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        until = time.monotonic() + within_s
        drained = self.drain(within_s)
        self.thread.join(max(0.0, until - time.monotonic()))
        return drained and not self.thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.closed or bool(self._due))
                if not self._due:
                    break
                content = self._due[0][0]  # stays there until it is written: `waits_for_data` counts it
            error = self._write(content)
            with self._changed:
                if error is None:
                    self._due.popleft()
                    self._bytes -= len(content)
                else:
                    self.error = error
                    self.lost.update(k for _, k in self._due)
                    self._due.clear()
                    self._bytes = 0
                self._changed.notify_all()
        try:
            self._raw.close()
        except OSError as error:  # NFS tells here that its disk is full
            self.error = self.error or error

    def _write(self, content: bytes) -> OSError | None:
        left = memoryview(content)
        while left:
            try:
                count = self._raw.write(left[:SLICE_BYTES])
            except OSError as error:
                return error
            except ValueError as error:  # it was closed
                return OSError(errno.EBADF, str(error))
            if count:
                left = left[count:]
            else:
                time.sleep(AGAIN_S)
        return None


class Stream(io.TextIOBase):
    """A text stream over a `Writer`; `kind` is that of what is written to it without saying."""

    def __init__(self, writer: Writer, plain: TextIO, kind: Kind = Kind.LINE) -> None:
        self.writer = writer
        self.plain = plain
        self._kind = kind

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the plain stream."""
        return self.plain.encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """How characters are written that the encoding does not have."""
        errors = self.plain.errors or "strict"
        return "backslashreplace" if errors == "strict" else errors

    def put(self, text: str, kind: Kind) -> None:
        """Have `text` written; returns at once."""
        self.writer.put(text.replace("\n", os.linesep).encode(self.encoding, self.errors), kind)

    def write(self, text: str) -> int:
        """See `TextIOBase`."""
        self.put(text, self._kind)
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread writes without being told."""

    def isatty(self) -> bool:
        """See `IOBase`."""
        return self.plain.isatty()

    def fileno(self) -> int:
        """See `IOBase`."""
        return self.plain.fileno()

    def writable(self) -> bool:
        """See `IOBase`."""
        return True


def install() -> None:
    """Put a `Stream` in the place of stdout and stderr; both of one terminal or file share a thread and its order."""
    out, err = sys.stdout, sys.stderr
    first = _writer(out, "stdout")
    second = first if _same(out, err) else _writer(err, "stderr")
    if first is not None:
        sys.stdout = cast("TextIO", Stream(first, out))
    if second is not None:
        sys.stderr = cast("TextIO", Stream(second, err))


def remove() -> None:
    """Put the plain streams back, for what writes when the interpreter ends."""
    out, err = cast("object", sys.stdout), cast("object", sys.stderr)
    sys.stdout = out.plain if isinstance(out, Stream) else sys.stdout
    sys.stderr = err.plain if isinstance(err, Stream) else sys.stderr


def _writer(stream: TextIO | None, name: str) -> Writer | None:
    """Return a writer for a stream's descriptor; None for a stream that has none, or that the shell closed."""
    buffer = getattr(stream, "buffer", None)
    if stream is None or buffer is None:
        return None
    stream.flush()
    return Writer(getattr(buffer, "raw", buffer), name)


def _same(out: TextIO | None, err: TextIO | None) -> bool:
    """Return True if both end in the same place, so that their order is seen."""
    if out is None or err is None:
        return False
    try:
        one, other = os.fstat(out.fileno()), os.fstat(err.fileno())
    except (OSError, ValueError):
        return False
    return one.st_ino != 0 and os.path.samestat(one, other)


def write(stream: TextIO, text: str, kind: Kind = Kind.LINE) -> None:
    """Write to sys.stdout or sys.stderr; a reader that has gone costs nothing but the text."""
    ours = cast("object", stream)
    if isinstance(ours, Stream):
        ours.put(text, kind)
        return
    with contextlib.suppress(BrokenPipeError):
        stream.write(text)
        stream.flush()


def frames() -> TextIO:
    """Return stderr for what is drawn anew all the time: a stalled terminal loses it before anything else."""
    ours = cast("object", sys.stderr)
    return cast("TextIO", Stream(ours.writer, ours.plain, Kind.PROGRESS)) if isinstance(ours, Stream) else sys.stderr


async def caught_up() -> None:
    """Wait until less than `DATA_BYTES` wait for the reader of stdout: for commands that give very much."""
    import asyncio  # here: a process hears no signals before this module is imported

    for writer in writers(sys.stdout):
        while writer.waiting > DATA_BYTES:  # noqa: ASYNC110 -- the thread knows no loop
            await asyncio.sleep(AGAIN_S)


def writers(*streams: TextIO) -> list[Writer]:
    """Return the writers of those streams that have one."""
    found: Iterable[object] = streams
    return [stream.writer for stream in found if isinstance(stream, Stream)]

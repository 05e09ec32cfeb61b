"""A device that does the next right thing, or whatever it is told to do instead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

from ble_ota.protocols.quecthing import frame, ttlv
from ble_ota.protocols.quecthing.frame import Decoder, Frame
from ble_ota.protocols.quecthing.ttlv import Field, Value
from ble_ota.script import Await, Notified, ReadBlock, Reply, Script, Step, Write
from tests.protocols.conversation import block

T = TypeVar("T")
Whim: TypeAlias = "float | bytes | tuple[int, int | None, tuple[Field, ...]] | None"
"""What is right (None), or instead of it: silence in seconds, bytes, a frame (its packet id None: the last heard)."""


class Endless(Exception):  # noqa: N818 -- a test's verdict
    """A script did not end in the steps it was allowed."""


@dataclass(slots=True)
class Liar:
    """Answers each wait by the next whim; when those are spent it falls silent."""

    chunk: int
    whims: deque[Whim] = field(default_factory=lambda: deque[Whim]([None] * 200))
    size: int = 0
    id9: str = "echo"
    keeps: bool = False
    """Whether it still knows a file of `size` bytes from an earlier link, and takes packets unannounced."""
    misnames: int | None = None
    """The answer to a packet that carries this byte names another offset."""
    by: Value | None = None
    """A number: so far from what is due. None: no offset at all. Else: this in its place."""
    flash: dict[int, bytes] = field(default_factory=dict[int, bytes])
    sent: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Start and end of each packet since the last announcement, whether it was taken or not."""
    announced: int = 0
    cancelled: int = 0
    """How often it was told to forget the file."""
    steps: int = 0
    last_id: int = 1
    _due: deque[Frame] = field(default_factory=deque[Frame])
    _decoder: Decoder = field(default_factory=Decoder)

    def play(self, script: Script[T], *, most: int) -> T:
        """Answer `script` until it ends.

        Raises:
            Endless: It said more than `most` steps.
        """
        advance: Callable[[], Step] = partial(next, script)
        for self.steps in range(most):
            try:
                step = advance()
            except StopIteration as end:
                result: T = end.value
                return result
            advance = partial(script.send, self._reply(step))
        raise Endless(most)

    @property
    def content(self) -> bytes:
        """What lies in flash from its start, without a gap."""
        whole = b""
        while (data := self.flash.get(len(whole))) is not None:
            whole += data
        return whole

    def _reply(self, step: Step) -> Reply:
        if isinstance(step, Write):
            for heard in self._decoder.feed(step.data):
                self._hear(heard)
        if isinstance(step, ReadBlock):
            return Reply(block(step), 0.0)
        return self._speak(step) if isinstance(step, Await) else Reply(None, 0.0)

    def _hear(self, heard: Frame) -> None:
        said = {f.id: f.value for f in ttlv.decode(heard.data)}
        if heard.cmd not in (0x7024, 0x7021):
            self.last_id = heard.packet_id
        if heard.cmd == 0x7022:
            self._announce(_int(said[6]))
        if heard.cmd == 0x7023:
            self.keeps = False
            self.cancelled += 1
            self._due.clear()
            self._due.append(_frame(0x7024, heard.packet_id, ()))
        if heard.cmd == 0x7025 and isinstance(data := said[10], bytes):
            self.sent.append((_int(said[9]), _int(said[9]) + len(data)))
            if self.keeps:
                self._store(heard.packet_id, _int(said[9]), data)

    def _announce(self, size: int) -> None:
        self.size, self.keeps = size, True
        self.announced += 1
        self.sent.clear()
        self.flash.clear()
        self._due.append(_frame(0x7023, 1, (Field(7, 2), Field(11, self.chunk))))

    def _store(self, packet_id: int, start: int, data: bytes) -> None:
        end = start + len(data)
        self.flash[start] = data
        due = start if self.id9 == "echo" else end
        wrong = self.misnames is not None and start <= self.misnames < end
        named = self._misnamed(due) if wrong else (Field(9, due),)
        self._due.append(_frame(0x7026, packet_id, named))
        if end == self.size:
            self._due.append(_frame(0x7023, 2, (Field(7, 6),)))

    def _misnamed(self, due: int) -> tuple[Field, ...]:
        if self.by is None:
            return ()
        off = isinstance(self.by, int) and not isinstance(self.by, bool)
        return (Field(9, due + _int(self.by) if off else self.by),)

    def _speak(self, step: Await) -> Reply:
        if step.within_s == 0 and (not self.whims or self.whims[0] is None):
            return Reply(None, 0.0)  # the device has said nothing yet
        whim = self.whims.popleft() if self.whims else float("inf")
        match whim:
            case None:
                return self._told(frame.encode(self._due.popleft()) if self._due else None, step)
            case float():
                return self._told(None, step) if whim >= step.within_s else Reply(Notified(step.chars[0], b""), whim)
            case bytes():
                return self._told(whim, step)
            case (cmd, packet_id, fields):
                return self._told(_wire(cmd, self.last_id if packet_id is None else packet_id, fields), step)

    def _told(self, data: bytes | None, step: Await) -> Reply:
        return Reply(None, step.within_s) if data is None else Reply(Notified(step.chars[0], data), 0.0)


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _frame(cmd: int, packet_id: int, fields: Iterable[Field]) -> Frame:
    return Frame(packet_id, cmd, ttlv.encode(fields))


def _wire(cmd: int, packet_id: int, fields: Iterable[Field]) -> bytes:
    """A frame, also one that `frame.encode` would refuse."""
    body = packet_id.to_bytes(2, "big") + cmd.to_bytes(2, "big") + ttlv.encode(fields)
    return b"\xaa\xaa" + frame.stuff((len(body) + 1).to_bytes(2, "big") + bytes((sum(body) & 0xFF,)) + body)

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
from ble_ota.script import Await, Notified, Reply, Script, Step, Write

T = TypeVar("T")
Whim: TypeAlias = "float | bytes | tuple[int, int | None, tuple[Field, ...]] | None"
"""What is right (None), or instead of it: silence in seconds, bytes, a frame (its packet id None: the last heard)."""


class Endless(Exception):  # noqa: N818 -- a test's verdict
    """A script did not end in the steps it was allowed."""


@dataclass(slots=True)
class Liar:
    """Answers each wait by the next whim; when those are spent it falls silent."""

    chunk: int
    whims: deque[Whim]
    size: int = 0
    flash: dict[int, bytes] = field(default_factory=dict[int, bytes])
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
        return self._speak(step) if isinstance(step, Await) else Reply(None, 0.0)

    def _hear(self, heard: Frame) -> None:
        said = {f.id: f.value for f in ttlv.decode(heard.data)}
        if heard.cmd not in (0x7024, 0x7021):
            self.last_id = heard.packet_id
        if heard.cmd == 0x7022:
            self.size = _int(said[6])
            self._due.append(_frame(0x7023, 1, (Field(7, 2), Field(11, self.chunk))))
        if heard.cmd == 0x7025 and isinstance(data := said[10], bytes):
            self.flash[_int(said[9])] = data
            self._due.append(_frame(0x7026, heard.packet_id, (Field(9, said[9]),)))
            if _int(said[9]) + len(data) == self.size:
                self._due.append(_frame(0x7023, 2, (Field(7, 6),)))

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

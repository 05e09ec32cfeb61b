"""The packets of a file, one at a time, and what the device makes of them in the end.

Whether id 9 of an answer is the offset sent or the next one wanted is learned from the first answer and held from
then on; a file that is carried on holds the device to what it did before.
"""

from __future__ import annotations

from dataclasses import dataclass

from ble_ota.errors import DeviceSilentError, MalformedError
from ble_ota.protocols.quecthing.conversation import Conversation
from ble_ota.protocols.quecthing.learned import Learned
from ble_ota.protocols.quecthing.ttlv import Field, Value
from ble_ota.protocols.quecthing.vocabulary import DATA, OFFSET, PACKET, Action, Control
from ble_ota.script import BlockReader, Progress, Script

PACKET_S = 4.5  # our choice: three tries stay under the device's 15 s
PACKET_TRIES = 3
COMPLETE_S = 60.0  # our choice: the device reads its whole flash again


class UnearnedError(MalformedError):
    """The device said "success" with bytes that are not of this link; nobody vouches for them."""

    @property
    def reason(self) -> str:
        """As `MalformedError`: the difference matters inside a transfer only."""
        return "malformed"


@dataclass(slots=True)
class Packets:
    """A file, cut as the device dictates."""

    talk: Conversation
    content: BlockReader
    chunk: int
    """Bytes of data per packet."""
    next_wanted: bool | None = None
    """Whether answers name the next offset rather than the one sent; None until the first answer."""
    carried_on_at: int = 0
    """Bytes that the device acknowledged over an earlier link."""

    def rest(self, start: int) -> Script[Control]:
        """Send what follows from `start`, and give the device's "success".

        Raises:
            DeviceError, LinkError: As of `transfer.upload`.
        """
        end: Control | None = None
        for offset in range(start, self.content.size_bytes, self.chunk):
            end = yield from self._deliver(offset)
            yield self.acknowledged(offset)
        if end is None:
            yield self.talk.progress(wait_s=COMPLETE_S)
            end = yield from self._await_end()
        return end

    def acknowledged(self, offset: int) -> Progress:
        """Take note that the device has the packet at `offset`."""
        self.talk.done = self._end_of(offset)
        return self.talk.progress()

    def _deliver(self, offset: int) -> Script[Control | None]:
        yield from self._data(offset)  # a disk may take a while: before it is looked whether the device has spoken
        early = yield from self.talk.next(within_s=0)  # a pause that has come already is kept before sending into it
        if isinstance(early, Control):
            return self._ended_by(early, offset)
        return (yield from self.send(offset, tries=PACKET_TRIES))

    def send(self, offset: int, *, tries: int) -> Script[Control | None]:
        """Send one packet until it is answered; the device's "success" in the last answer's place is given.

        Raises:
            DeviceSilentError: `tries` times no answer.
            TrustError, StorageError: The file is not what was verified any more, or cannot be read.
        """
        session, end = self.talk.session, self._end_of(offset)
        fields = Field(OFFSET, offset), Field(DATA, (yield from self._data(offset)))
        number = session.packet_id()
        for _ in range(tries):
            self.talk.sends(offset, end)
            yield from session.send(PACKET, *fields, packet_id=number)
            got = yield from self.talk.next(answer_to=number, within_s=PACKET_S)
            if isinstance(got, Control):
                return self._ended_by(got, end)
            if got is not None:
                self._check(session.unseal(got).get(OFFSET), offset, end)
                return None
        msg = f"the device did not answer the packet at {offset} in {tries} tries of {PACKET_S:g} s"
        raise DeviceSilentError(msg)

    def _data(self, offset: int) -> Script[bytes]:
        return (yield from self.content.read(offset, self._end_of(offset)))

    def _end_of(self, offset: int) -> int:
        return min(offset + self.chunk, self.content.size_bytes)

    def _check(self, said: Value | None, offset: int, end: int) -> None:
        """Hold the device to the offset it must name, and learn from its first answer which that is."""
        if self.next_wanted is None and said in (offset, end):
            self.next_wanted = said == end
        wanted = end if self.next_wanted else offset
        if isinstance(said, bool) or said != wanted or self.next_wanted is None:
            msg = f"the device answered offset {said!r} to the packet at {offset} where {wanted} was due"
            raise MalformedError(msg)
        self.talk.learned = str(Learned(self.chunk, self.next_wanted))

    def _ended_by(self, control: Control, reached: int) -> Control:
        """Accept "success" as the end, once every byte has gone."""
        if control.action is Action.SUCCESS and reached == self.content.size_bytes:
            return control
        msg = f"the device said {control.action.name.lower()} after {reached} of {self.content.size_bytes} bytes"
        unearned = control.action is Action.SUCCESS and (self.carried_on_at or not reached)
        raise UnearnedError(msg) if unearned else MalformedError(msg)

    def _await_end(self) -> Script[Control]:
        got = yield from self.talk.next(within_s=COMPLETE_S)
        if not isinstance(got, Control):
            msg = f"the device has the whole file and did not say within {COMPLETE_S:g} s what it makes of it"
            raise DeviceSilentError(msg)
        return self._ended_by(got, self.content.size_bytes)

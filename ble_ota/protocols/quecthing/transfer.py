"""The file transfer of QuecThing: the app sends, the device receives and says how fast.

::

    app                                             device
     │ 7022 {1 type, 4 algorithm, 5 check code,        │  a file for you
     │       6 size, 12 version, 3 name}               │
     │              7023 {7: 2 receive, 11: chunk}     │  (or 7: 1 decline)
     │ 7024                                            │
     │ 7025 {9: offset, 10: data}                      │  ┐ until the end,
     │                              7026 {9: offset}   │  ┘ one at a time
     │              7023 {7: 6 success | 7 failure}    │  the whole file checked
     │ 7024                                            │

At any time the device may say 7023 {3 pause, 8 delay} and 7023 {4 proceed}, 7023 {5 cancel}, or ask 7020 which
file there is; `_Transfer.next` hears them wherever they come. A device that hears no good frame for 15 s cancels.

Whether id 9 of an answer is the offset sent or the next one wanted is learned from the first answer and held
from then on. Answers to earlier packets are passed over by their packet id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from ble_ota.errors import (
    CancelledByDeviceError,
    DeclinedByDeviceError,
    DeviceSilentError,
    FailedByDeviceError,
    LinkLostError,
    MalformedError,
    PauseNeverEndedError,
    StopAsked,
)
from ble_ota.model import Component, VerifiedImage
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.session import IGNORED_MAX, Session
from ble_ota.protocols.quecthing.ttlv import Field, Value
from ble_ota.protocols.quecthing.vocabulary import (
    ACTION,
    CONTROL,
    CONTROL_ANSWER,
    DATA,
    NOTIFY,
    OFFSET,
    PACKET,
    PACKET_ANSWER,
    QUERY,
    QUERY_ANSWER,
    Action,
    Control,
    action_of,
    chunk_of,
    delay_s,
    offer,
)
from ble_ota.script import Progress, Script

OFFER_S = 60.0  # our choice: a device may erase a whole bank first, 37 s have been seen elsewhere
PACKET_S = 4.5  # our choice: three tries stay under the device's 15 s
PACKET_TRIES = 3
COMPLETE_S = 60.0  # our choice: the device reads its whole flash again
REBOOT_S = 30.0  # our choice: how long after its "success" a device may keep the link
PAUSE_GRACE_S = 2.0  # for "proceed" on its way
PAUSES_MAX = 1000  # per file


class _UnearnedError(MalformedError):
    """The device said "success" before it was sent a byte."""


@dataclass(slots=True)
class _Transfer:
    """One file on its way."""

    session: Session
    image: VerifiedImage
    offer: tuple[Field, ...]
    resent: int = 0  # bytes
    pauses: int = 0
    next_wanted: bool | None = None
    """Whether answers name the next offset rather than the one sent; None until the first answer."""
    paused_until_s: float | None = None
    """By the session's clock, when the device's pause must have ended; None when it does not pause."""

    def next(self, *, answer_to: int | None = None, within_s: float) -> Script[Frame | Control | None]:
        """Wait for the answer to a packet, or for a control that ends a phase; None if neither comes.

        Controls that may come anywhere are dealt with here; a pause stops the clock of `within_s`, and an answer
        that comes during one is given when it has ended. Answers to earlier packets are passed over.
        """
        until_s = self.session.clock_s + within_s
        held: Frame | None = None
        for _ in range(IGNORED_MAX):
            got = yield from self.session.receive(until_s=self.paused_until_s or until_s)
            if got is None:
                self._still_paused()
                return None
            if got.cmd == QUERY:
                yield from self.session.send(QUERY_ANSWER, *self.offer, packet_id=got.packet_id)
            elif got.cmd == CONTROL:
                control = yield from self._heed(got)
                if control is not None:
                    return control
                until_s = self.session.clock_s + within_s
            elif (got.cmd, got.packet_id) == (PACKET_ANSWER, answer_to):
                held = got
            if held is not None and self.paused_until_s is None:
                return held
        msg = f"the device sent {IGNORED_MAX} frames that lead nowhere"
        raise MalformedError(msg)

    def _still_paused(self) -> None:
        if self.paused_until_s is not None:
            msg = "the device paused and did not go on within the time it named"
            raise PauseNeverEndedError(msg)

    def _heed(self, got: Frame) -> Script[Control | None]:
        fields = self.session.unseal(got)
        action = action_of(fields)
        if action is Action.SUCCESS:  # its answer may let the device reboot: `settle` sends it
            return Control(action, fields, got)
        yield from self.session.send(CONTROL_ANSWER, packet_id=got.packet_id)
        match action:
            case Action.RECEIVE:
                return Control(action, fields, got)
            case Action.PAUSE:
                self._pause(delay_s(fields))
            case Action.PROCEED:
                self.paused_until_s = None
            case Action.CANCEL:
                msg = "the device cancelled the transfer"
                raise CancelledByDeviceError(msg)
            case Action.DECLINE:
                msg = "the device declined the file"
                raise DeclinedByDeviceError(msg)
            case Action.FAILURE:
                msg = "the device has the whole file and found it bad"
                raise FailedByDeviceError(msg)
            case _:
                assert_never(action)
        return None

    def _pause(self, for_s: float) -> None:
        self.pauses += 1
        if self.pauses > PAUSES_MAX:
            msg = f"the device paused more than {PAUSES_MAX} times"
            raise MalformedError(msg)
        self.paused_until_s = self.session.clock_s + for_s + PAUSE_GRACE_S

    def deliver(self, offset: int, data: bytes) -> Script[Control | None]:
        """Send one packet until it is answered; a control comes back when the device ends the file by it."""
        early = yield from self.next(within_s=0)  # a pause that has come already is kept before sending into it
        if isinstance(early, Control):
            return self.ended_by(early, offset)
        number = self.session.packet_id()
        for attempt in range(PACKET_TRIES):
            self.resent += len(data) if attempt else 0
            yield from self.session.send(PACKET, Field(OFFSET, offset), Field(DATA, data), packet_id=number)
            got = yield from self.next(answer_to=number, within_s=PACKET_S)
            if isinstance(got, Control):
                return self.ended_by(got, offset + len(data))
            if got is not None:
                self._check(self.session.unseal(got).get(OFFSET), offset, len(data))
                return None
        msg = f"the device did not answer the packet at {offset} in {PACKET_TRIES} tries of {PACKET_S:g} s"
        raise DeviceSilentError(msg)

    def ended_by(self, control: Control, reached: int) -> Control:
        """Accept "success" as the end, once every byte has gone."""
        if control.action is Action.SUCCESS and reached == len(self.image.content):
            return control
        msg = f"the device said {control.action.name.lower()} after {reached} of {len(self.image.content)} bytes"
        raise _UnearnedError(msg) if control.action is Action.SUCCESS and not reached else MalformedError(msg)

    def _check(self, said: Value | None, offset: int, size: int) -> None:
        """Hold the device to the offset it must name, and learn from its first answer which that is."""
        if self.next_wanted is None and said in (offset, offset + size):
            self.next_wanted = said == offset + size
        wanted = offset + size if self.next_wanted else offset
        if isinstance(said, bool) or said != wanted or self.next_wanted is None:
            msg = f"the device answered offset {said!r} to the packet at {offset} where {wanted} was due"
            raise MalformedError(msg)


def upload(session: Session, component: Component, image: VerifiedImage) -> Script[None]:
    """Send one file; returns when the device has it all and finds it good.

    Raises:
        DeclinedByDeviceError, CancelledByDeviceError, FailedByDeviceError: The device's word.
        DeviceSilentError, PauseNeverEndedError: It stopped talking.
        MalformedError: It said what its protocol does not allow.
    """
    yield from settle(session)
    transfer = _Transfer(session, image, offer(session.options, component, image))
    try:
        try:
            yield from _upload(transfer)
        except _UnearnedError:  # it kept a file of an earlier link: let it forget that, and send what we vouch for
            yield from session.send(CONTROL, Field(ACTION, Action.CANCEL))
            yield from _upload(transfer)
    except (StopAsked, MalformedError, PauseNeverEndedError):
        yield from session.send(CONTROL, Field(ACTION, Action.CANCEL))
        raise


def _upload(transfer: _Transfer) -> Script[None]:
    content = transfer.image.content
    chunk = yield from _ask_leave(transfer)
    yield Progress(0, len(content))
    end: Control | None = None
    for offset in range(0, len(content), chunk):
        data = content[offset : offset + chunk]
        end = yield from transfer.deliver(offset, data)
        yield Progress(offset + len(data), len(content), transfer.resent)
    if end is None:
        end = yield from _await_end(transfer)
    transfer.session.owed = end.frame


def _ask_leave(transfer: _Transfer) -> Script[int]:
    """Announce the file; give the chunk size the device dictates, in bytes of data."""
    yield from transfer.session.send(NOTIFY, *transfer.offer)
    got = yield from transfer.next(within_s=OFFER_S)
    if not isinstance(got, Control):
        msg = f"the device did not answer the announcement of the file within {OFFER_S:g} s"
        raise DeviceSilentError(msg)
    if got.action is not Action.RECEIVE:
        msg = f"the device said {got.action.name.lower()} before the first packet"
        raise MalformedError(msg)
    session = transfer.session
    return chunk_of(got.fields, session.options, sealed=session.sealed(PACKET))


def _await_end(transfer: _Transfer) -> Script[Control]:
    got = yield from transfer.next(within_s=COMPLETE_S)
    if not isinstance(got, Control):
        msg = f"the device has the whole file and did not say within {COMPLETE_S:g} s what it makes of it"
        raise DeviceSilentError(msg)
    return transfer.ended_by(got, len(transfer.image.content))


def settle(session: Session) -> Script[None]:
    """Answer the "received, success" of the file before, if that is still owed."""
    owed, session.owed = session.owed, None
    if owed is not None:
        yield from session.send(CONTROL_ANSWER, packet_id=owed.packet_id)


def activate(session: Session) -> Script[bool]:
    """Give the last answer and wait for the link to go, `REBOOT_S` at most; True when the device dropped it.

    Raises:
        LinkLostError: The link went before the answer was through, so the device may still wait for it.
    """
    yield from settle(session)
    until_s = session.clock_s + REBOOT_S
    try:
        while (yield from session.receive(until_s=until_s)) is not None:
            pass
    except LinkLostError:
        return True
    return False

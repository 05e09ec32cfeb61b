"""What is said about one file: answers, controls that may come at any time, pauses, and how far it is.

A pause stops every other clock. It is told to whoever watches, so that nobody takes it for a stall, and there is an
end to how often, and for how long in all, a device may pause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, assert_never

from ble_ota.errors import (
    AttRefusedError,
    CancelledByDeviceError,
    DeclinedByDeviceError,
    FailedByDeviceError,
    KeyNotShownError,
    LinkLostError,
    MalformedError,
    PauseNeverEndedError,
    RefusedByDeviceError,
)
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.session import IGNORED_MAX, Session
from ble_ota.protocols.quecthing.ttlv import Field
from ble_ota.protocols.quecthing.vocabulary import (
    ACTION,
    CONTROL,
    CONTROL_ANSWER,
    PACKET_ANSWER,
    QUERY,
    QUERY_ANSWER,
    Action,
    Control,
    action_of,
    delay_s,
)
from ble_ota.script import Progress, Script

PAUSE_GRACE_S = 2.0  # for "proceed" on its way
PAUSES_MAX = 1000  # per file
PAUSED_MAX_S = 7200.0  # our choice: announced pauses per file, in all


@dataclass(slots=True)
class Conversation:
    """One file on its way, over one link."""

    session: Session
    offer: tuple[Field, ...]
    """What the file is announced with; also the answer when the device asks which file there is."""
    size: int  # bytes
    done: int = 0
    """Bytes that the device has acknowledged."""
    learned: str = ""
    """As `Progress.learned`."""
    product: str = ""
    """As `Progress.product`."""
    question_lost: bool = False
    """Whether the packet that asks if the device still knows the file got no answer."""
    resent: int = 0  # bytes
    sent: int = 0
    """Where the farthest packet so far ended; what is sent below it is sent again."""
    pauses: int = 0
    paused_s: float = 0.0
    """Seconds of all pauses so far, as they were announced."""
    paused_until_s: float | None = None
    """By the session's clock, when the device's pause must have ended; None when it does not pause."""

    def start_over(self) -> None:
        """Forget what the device has and how it answers; what was spent stays spent."""
        self.done, self.learned, self.paused_until_s = 0, "", None

    def sends(self, start: int, end: int) -> None:
        """Take note of a packet with the bytes from `start`, at most `sent`, up to `end`."""
        self.resent += min(end, self.sent) - start
        self.sent = max(self.sent, end)

    def asked_in_vain(self, start: int) -> None:
        """Count the packet from `start` alone as sent: the bytes before it went over an earlier link, not this one."""
        self.resent, self.sent = self.sent - start, 0

    def progress(self, *, wait_s: float = 0.0) -> Progress:
        """How far it is; with `wait_s` the patience that the next word of the device may take."""
        return Progress(self.done, self.size, self.resent, self.learned, wait_s, self.product)

    def cancel(self) -> Script[None]:
        """Tell the device to forget the file."""
        yield from self.session.send(CONTROL, Field(ACTION, Action.CANCEL))

    def goodbye(self) -> Script[None]:
        """Tell the device to forget the file, if it still can be told: what led here says more than a lost link."""
        try:
            yield from self.cancel()
        except (LinkLostError, AttRefusedError):
            return

    def next(self, *, answer_to: int | None = None, within_s: float) -> Script[Frame | Control | None]:
        """Wait for the answer to a packet, or for a control that ends a phase; None if neither comes.

        Controls that may come anywhere are dealt with here; a pause stops the clock of `within_s`, which begins anew
        behind it, and an answer that comes during one is given when it has ended. Answers to other packets are
        passed over by their packet id.
        """
        until_s = self.session.clock_s + within_s
        held: Frame | None = None
        for _ in range(IGNORED_MAX):
            pausing = self.paused_until_s is not None
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
                until_s = self.session.clock_s + within_s if pausing else until_s
            elif (got.cmd, got.packet_id) == (PACKET_ANSWER, answer_to):
                held = got
            if held is not None and self.paused_until_s is None:
                return held
        msg = f"the device sent {IGNORED_MAX} frames that lead nowhere"
        raise MalformedError(msg)

    def _still_paused(self) -> None:
        if self.paused_until_s is not None:
            msg = f"the device paused after {self._so_far} and did not go on within the time it named"
            raise PauseNeverEndedError(msg)

    def _heed(self, got: Frame) -> Script[Control | None]:
        fields = self.session.unseal(got)
        action = action_of(fields)
        if action is Action.SUCCESS:  # its answer may let the device reboot: `transfer.settle` sends it
            return Control(action, fields, got)
        yield from self.session.send(CONTROL_ANSWER, packet_id=got.packet_id)
        match action:
            case Action.RECEIVE:
                return Control(action, fields, got)
            case Action.PAUSE:
                yield from self._pause(delay_s(fields))
            case Action.PROCEED:
                self.paused_until_s = None
            case Action.CANCEL:
                self._refuse(CancelledByDeviceError(f"the device cancelled the transfer after {self._so_far}"))
            case Action.DECLINE:
                self._refuse(DeclinedByDeviceError("the device declined the file"))
            case Action.FAILURE:
                self._refuse(FailedByDeviceError("the device has the whole file and found it bad"))
            case _:
                assert_never(action)
        return None

    def _refuse(self, refusal: RefusedByDeviceError) -> NoReturn:
        """Raise `refusal`, or `KeyNotShownError` where the peer's word does not count."""
        if not self.session.trusted:
            msg = f"{refusal}, and has not shown that it has the key"
            raise KeyNotShownError(msg)
        raise refusal

    def _pause(self, for_s: float) -> Script[None]:
        self.pauses += 1
        self.paused_s += for_s
        if self.pauses > PAUSES_MAX or self.paused_s > PAUSED_MAX_S:
            msg = (
                f"the device paused {self.pauses} times for {self.paused_s:g} s in all, after {self._so_far};"
                f" it may {PAUSES_MAX} times and {PAUSED_MAX_S:g} s"
            )
            raise MalformedError(msg)
        granted_s = for_s + PAUSE_GRACE_S
        self.paused_until_s = self.session.clock_s + granted_s
        yield self.progress(wait_s=granted_s)

    @property
    def _so_far(self) -> str:
        return f"{self.done} of {self.size} bytes"

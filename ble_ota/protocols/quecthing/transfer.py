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
file there is (`conversation.py`). A device that hears no good frame for 15 s cancels. A file that an earlier link left
unfinished is carried on (`resume.py`) where the device still knows it, and sent whole where not.
"""

from __future__ import annotations

from ble_ota.errors import (
    CancelledByDeviceError,
    DeviceSilentError,
    LinkLostError,
    MalformedError,
    PauseNeverEndedError,
    StopAsked,
    StorageError,
    TrustError,
)
from ble_ota.model import Component, VerifiedImage
from ble_ota.protocols.driver import Hint
from ble_ota.protocols.quecthing import learned
from ble_ota.protocols.quecthing.conversation import Conversation
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.key_check import ask_for_key
from ble_ota.protocols.quecthing.packets import Packets, UnearnedError
from ble_ota.protocols.quecthing.resume import carry_on
from ble_ota.protocols.quecthing.session import Session
from ble_ota.protocols.quecthing.vocabulary import (
    CONTROL_ANSWER,
    NOTIFY,
    PACKET,
    Action,
    Control,
    chunk_of,
    offer,
)
from ble_ota.script import BlockReader, Script

OFFER_S = 60.0  # our choice: a device may erase a whole bank first, 37 s have been seen elsewhere
REBOOT_S = 30.0  # our choice: how long after its "success" a device may keep the link


def upload(session: Session, component: Component, image: VerifiedImage, hint: Hint | None = None) -> Script[None]:
    """Send one file; returns when the device has it all and finds it good.

    Args:
        session: Logged in.
        component: What the file belongs to.
        image: The file.
        hint: Where an earlier link left it. One that is too old, or that nobody can have written, is passed over.

    Raises:
        DeclinedByDeviceError, CancelledByDeviceError, FailedByDeviceError: The device's word.
        KeyNotShownError: The same word of a peer that has not shown the key.
        DeviceSilentError, PauseNeverEndedError: It stopped talking.
        MalformedError: It said what its protocol does not allow.
        StopAsked: Thrown in; the device was told to forget the file.
        TrustError, StorageError: The file is not what was verified any more, or cannot be read; the device was told to
            forget it.
    """
    yield from settle(session)
    yield from ask_for_key(session)
    talk = Conversation(session, offer(session.options, component, image), image.size_bytes)
    try:
        end = yield from _transfer(talk, BlockReader(image.content, image.size_bytes), hint)
    except (StopAsked, MalformedError, PauseNeverEndedError, TrustError, StorageError):
        yield from talk.goodbye()
        raise
    session.owed = end.frame


def _transfer(talk: Conversation, content: BlockReader, hint: Hint | None) -> Script[Control]:
    """Carry on, else send the whole; a success that was not earned is sent over once, with what we vouch for."""
    talk.product = hint.product if hint is not None else ""
    start = learned.start(hint, content.size_bytes)
    if start is not None:
        end = yield from carry_on(talk, content, start)
        if end is not None:
            return end
    try:
        return (yield from _whole(talk, content))
    except UnearnedError:  # it kept a file of an earlier link: let it forget that
        yield from talk.cancel()
    return (yield from _whole(talk, content))


def _whole(talk: Conversation, content: BlockReader) -> Script[Control]:
    """Announce the file and send all of it."""
    talk.start_over()
    yield talk.progress(wait_s=OFFER_S)  # before the device is told, so that no mark outlives what it marks
    chunk = yield from _ask_leave(talk)
    if talk.question_lost:  # the link stands, so the device heard the question and did not answer it
        talk.product = learned.NO_QUESTION
    yield talk.progress()
    return (yield from Packets(talk, content, chunk).rest(0))


def _ask_leave(talk: Conversation) -> Script[int]:
    """Announce the file; give the chunk size the device dictates, in bytes of data.

    A cancel in place of the leave may mean another file, or that its "receive" was lost and it has waited for a packet
    since: the file is announced once more.
    """
    session = talk.session
    try:
        got = yield from _announced(talk)
    except CancelledByDeviceError:
        got = yield from _announced(talk)
    if not isinstance(got, Control):
        msg = f"the device did not answer the announcement of the file within {OFFER_S:g} s"
        raise DeviceSilentError(msg)
    if got.action is not Action.RECEIVE:
        msg = f"the device said {got.action.name.lower()} before the first packet"
        raise UnearnedError(msg) if got.action is Action.SUCCESS else MalformedError(msg)
    return chunk_of(got.fields, session.options, sealed=session.sealed(PACKET))


def _announced(talk: Conversation) -> Script[Frame | Control | None]:
    yield from talk.session.send(NOTIFY, *talk.offer)
    return (yield from talk.next(within_s=OFFER_S))


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

"""Carrying a file on over a new link: one packet asks whether the device still knows.

::

    app                                             device
     │ 7025 {9: offset, 10: data}                      │  where the earlier link left it, unannounced
     │                              7026 {9: as ever}  │  it still knows: go on
     │              7023 {7: 1 | 5 | 7}                │  it does not, and says so: announce the file
     │              (anything else, or nothing)        │  it may be anywhere:
     │ 7023 {7: 5 cancel}                              │  let it forget, then announce the file

No document describes this. What comes of it is held to the same end as any transfer: the device checks the file, and
says after its reboot what it runs.
"""

from __future__ import annotations

from ble_ota.errors import (
    CancelledByDeviceError,
    DeclinedByDeviceError,
    DeviceSilentError,
    FailedByDeviceError,
    MalformedError,
    PauseNeverEndedError,
)
from ble_ota.protocols.quecthing.conversation import Conversation
from ble_ota.protocols.quecthing.learned import Start
from ble_ota.protocols.quecthing.packets import Packets, UnearnedError
from ble_ota.protocols.quecthing.vocabulary import Control
from ble_ota.script import BlockReader, Script


def carry_on(talk: Conversation, content: BlockReader, start: Start) -> Script[Control | None]:
    """Go on from `start`; give the device's "success", or None when the file must be sent whole.

    Raises:
        CancelledByDeviceError, DeviceSilentError, PauseNeverEndedError, MalformedError: As of `transfer.upload`, once
            the device has taken the file up again.
    """
    packets = Packets(talk, content, start.learned.chunk, start.learned.next_wanted, start.offset)
    talk.done = talk.sent = start.offset
    talk.learned = str(start.learned)
    try:
        end = yield from packets.send(start.packet, tries=1)
    except (CancelledByDeviceError, DeclinedByDeviceError, FailedByDeviceError):
        talk.asked_in_vain(start.packet)
        return None  # it has ended the file by itself
    except (DeviceSilentError, MalformedError, PauseNeverEndedError) as error:
        talk.asked_in_vain(start.packet)
        talk.question_lost = isinstance(error, DeviceSilentError)
        yield from talk.cancel()
        return None
    yield talk.progress()
    try:
        return (yield from _from_there(packets, start, end))
    except FailedByDeviceError:
        return None  # the two halves do not fit: nothing is lost but time
    except UnearnedError:
        yield from talk.cancel()
        return None


def _from_there(packets: Packets, start: Start, end: Control | None) -> Script[Control]:
    reached = packets.acknowledged(start.packet)
    if reached.done > start.offset:
        yield reached
    return end or (yield from packets.rest(reached.done))

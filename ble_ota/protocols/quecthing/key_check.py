"""The exchange by which a peer shows that it has the key, for a device that answers no encrypted query.

::

    app                                             device
     │ 7022 {6: one byte, …}                           │  an announcement, encrypted
     │              7023 {7: 2 receive | 1 decline}    │  encrypted: only the key makes this answer
     │ 7024, 7023 {7: 5 cancel}                        │  nothing is sent, the file is forgotten

One byte, so that a device that erases before it answers erases one page. It is used after the reboot only: before, and
within the 15 s in which a file may be carried on, an announcement would end that file.
"""

from __future__ import annotations

import hashlib

from ble_ota.errors import DeviceError, MalformedError
from ble_ota.model import Algorithm
from ble_ota.protocols.quecthing.conversation import Conversation
from ble_ota.protocols.quecthing.session import Session
from ble_ota.protocols.quecthing.ttlv import Field
from ble_ota.protocols.quecthing.versions import ask_info
from ble_ota.protocols.quecthing.vocabulary import (
    ALGORITHM,
    ALGORITHM_NUMBER,
    CHECK_CODE,
    FOTA,
    NOTIFY,
    PACKET,
    SIZE,
    TYPE,
    VERSION,
)
from ble_ota.script import Script

ANSWER_S = 30.0  # our choice: a device may erase a page or, taking no size into account, a bank first
_BYTE = b"\0"


def show_key(session: Session) -> Script[bool]:
    """Have the peer show the key by an announcement that is cancelled; return whether it has.

    False without a word to the device where announcements are not encrypted (`Options.encrypt_transfer`).

    Raises:
        MalformedError: The answer cannot be decrypted or read.
        LinkError, AttRefusedError: As the link's.
    """
    if session.trusted or not session.sealed(NOTIFY):
        return session.trusted
    code = hashlib.sha256(_BYTE)
    offer = (
        Field(TYPE, FOTA),
        Field(ALGORITHM, ALGORITHM_NUMBER[Algorithm.SHA256]),
        Field(CHECK_CODE, code.hexdigest().encode() if session.options.check_code == "hex" else code.digest()),
        Field(SIZE, len(_BYTE)),
        Field(VERSION, b"0"),
    )
    talk = Conversation(session, offer, len(_BYTE))
    yield from session.send(NOTIFY, *offer)
    try:
        yield from talk.next(within_s=ANSWER_S)
        yield from talk.goodbye()
    except MalformedError:
        raise
    except DeviceError:  # declined, or cancelled: an answer all the same
        pass
    return session.trusted


def ask_for_key(session: Session) -> Script[None]:
    """Ask an encrypted question where the transfer itself is in clear, so that a refusal can be believed.

    Raises:
        MalformedError: The answer cannot be decrypted or read.
    """
    if not session.trusted and not session.sealed(PACKET) and not session.asked_info:
        yield from ask_info(session)

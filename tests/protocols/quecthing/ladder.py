"""The documented transfer as rows, step by step, and ways to play what departs from it.

Nine bytes in packets of five and four. A name holds everything up to its step: `FIRST` ends with the first packet's
progress.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from ble_ota.errors import BleOtaError
from ble_ota.model import VerifiedImage
from ble_ota.protocols.driver import Hint
from ble_ota.protocols.quecthing import frame
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.packets import COMPLETE_S, PACKET_S
from ble_ota.protocols.quecthing.session import Session
from ble_ota.protocols.quecthing.transfer import OFFER_S, upload
from ble_ota.protocols.quecthing.ttlv import Value
from ble_ota.script import Notified, Progress, Reply, Write
from tests.protocols.conversation import Row, play
from tests.protocols.quecthing.words import (
    CONTENT,
    component,
    hears,
    image,
    progress,
    session,
    silence,
    told,
    writes,
)

ANNOUNCED = "aaaa00228903e87022000a000100220001002b0004cbf439260032000900630005312e302e31"
OFFER = Frame(1000, 0x7022, bytes.fromhex(ANNOUNCED)[9:])
HALF = 5
ECHO, NEXT = "5 echo", "5 next"


def control(action: int, packet_id: int = 77, **more: int | Decimal) -> Frame:
    """A transfer control of the device."""
    return told(0x7023, packet_id, {7: action} | {{"delay": 8, "chunk": 11}[name]: n for name, n in more.items()})


def heard(packet_id: int = 77) -> Row:
    """The answer to a control."""
    return writes(told(0x7024, packet_id))


def packet(packet_id: int, at: int, data: bytes) -> Row:
    """A packet goes out."""
    return writes(told(0x7025, packet_id, {9: at, 10: data}))


def reached(packet_id: int, at: Value) -> Frame:
    """The answer to a packet."""
    return told(0x7026, packet_id, {9: at})


def cancels(packet_id: int) -> Row:
    """We cancel."""
    return writes(control(5, packet_id))


NOTHING_YET = silence(0)
ANNOUNCING = (progress(0, 9, wait_s=OFFER_S), writes(ANNOUNCED))
RECEIVE = (hears(control(2, chunk=HALF), within_s=OFFER_S), heard())
ACCEPTED = (*ANNOUNCING, *RECEIVE, progress(0, 9))
FIRST_SENT = (*ACCEPTED, NOTHING_YET, packet(1001, 0, CONTENT[:HALF]))
FIRST = (*FIRST_SENT, hears(reached(1001, 0), within_s=PACKET_S), progress(5, 9, learned=ECHO))
LAST_SENT = (*FIRST, NOTHING_YET, packet(1002, HALF, CONTENT[HALF:]))
LAST = (*LAST_SENT, hears(reached(1002, HALF), within_s=PACKET_S), progress(9, 9, learned=ECHO))
CHECKING = progress(9, 9, learned=ECHO, wait_s=COMPLETE_S)
WHOLE = (*LAST, CHECKING)
"""All but the device's last word."""
SUCCESS = hears(control(6), within_s=COMPLETE_S)
FAILURE = (hears(control(7), within_s=COMPLETE_S), heard())


def renumbered(rows: Sequence[Row], by: int, *, again: int | None = None) -> list[Row]:
    """`rows` with all our own packet ids raised by `by`.

    With `again` every byte of them has been sent before, and so many of them more than once already.
    """

    def raised(data: bytes) -> bytes:
        said = frame.decode_one(data)
        return frame.encode(replace(said, packet_id=said.packet_id + by * (said.packet_id >= 1000)))

    def row(one: Row) -> Row:
        step, reply = one
        if isinstance(step, Write):
            return replace(step, data=raised(step.data)), reply
        if isinstance(step, Progress) and again is not None:
            return replace(step, resent=again + step.done), reply
        if isinstance(reply, Reply) and isinstance(reply.value, Notified):
            return step, replace(reply, value=replace(reply.value, data=raised(reply.value.data)))
        return one

    return [row(one) for one in rows]


def send(
    *rows: Row, talk: Session | None = None, what: VerifiedImage | None = None, hint: Hint | None = None
) -> Session:
    """Hold an upload to `rows`."""
    talk = talk or session()
    play(upload(talk, component(), what or image(), hint), *rows)
    return talk


def fails(error: type[BleOtaError], match: str, *rows: Row, hint: Hint | None = None) -> BleOtaError:
    """Hold an upload to `rows`, and to the error it ends in."""
    with pytest.raises(error, match=match) as caught:
        send(*rows, hint=hint)
    return caught.value

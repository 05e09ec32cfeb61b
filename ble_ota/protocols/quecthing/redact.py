"""What of a QuecThing link may be kept in a transcript: the plain conversation, without its secrets.

Frames are put together from what was written and heard, and are told with their fields in clear. Only what is listed
here is kept: of a file its announcement, of a packet its offset and length, of a control its numbers, of the versions
those that are known as such; of the login how long random and proof are, and the result::

    {"in":"7033","id":1000,"fields":{"1":{"length":16}}}
    {"out":"7025","id":1004,"fields":{"9":200,"10":{"length":200}}}
    {"in":"7026","id":1004,"fields":{"9":200}}
    {"in":"7026","id":1004,"unreadable":17}     a payload of so many bytes that the session cannot read
    {"in":"1234","id":7,"length":5}             a command that is none of the protocol's
    {"in":"noise","values":3}                   indications with no whole frame in them
    {"read":18,"text":"1.0.0"}                  a characteristic, by its handle
    … "joined":true                             it had come already when the host turned to it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, assert_never

from ble_ota.errors import BleOtaError, MalformedError
from ble_ota.protocols.quecthing import ttlv
from ble_ota.protocols.quecthing.frame import Decoder, Frame
from ble_ota.protocols.quecthing.session import (
    ID_PROOF,
    ID_RANDOM,
    ID_RESULT,
    INFO,
    INFO_ANSWER,
    LOGIN,
    LOGIN_ANSWER,
    RANDOM,
    RANDOM_ANSWER,
    VERSION_MAX,
    Session,
)
from ble_ota.protocols.quecthing.ttlv import Value
from ble_ota.protocols.quecthing.vocabulary import (
    ACTION,
    ALGORITHM,
    CHECK_CODE,
    CHUNK,
    CONTROL,
    CONTROL_ANSWER,
    DATA,
    DELAY,
    NAME,
    NOTIFY,
    OFFSET,
    PACKET,
    PACKET_ANSWER,
    QUERY,
    QUERY_ANSWER,
    SIZE,
    TYPE,
    VERSION,
)
from ble_ota.script import Await, Notified, Read, Reply, Step, Write
from ble_ota.text import clean
from ble_ota.transcript import Words

OFFER = frozenset({TYPE, NAME, ALGORITHM, CHECK_CODE, SIZE, VERSION})
KEPT: Mapping[int, frozenset[int]] = {
    RANDOM: frozenset(),
    RANDOM_ANSWER: frozenset({ID_RANDOM}),
    LOGIN: frozenset({ID_PROOF}),
    LOGIN_ANSWER: frozenset({ID_RESULT}),
    QUERY: frozenset(),
    QUERY_ANSWER: OFFER,
    NOTIFY: OFFER,
    CONTROL: frozenset({ACTION, DELAY, CHUNK}),
    CONTROL_ANSWER: frozenset(),
    PACKET: frozenset({OFFSET, DATA}),
    PACKET_ANSWER: frozenset({OFFSET}),
    INFO: frozenset(),
    INFO_ANSWER: frozenset(),  # the ids of versions are a setting
}
LOGINS = (RANDOM, RANDOM_ANSWER, LOGIN, LOGIN_ANSWER)  # never encrypted
SECRETS = (RANDOM_ANSWER, LOGIN)  # with the key they make the session's, and the proof is worth guessing at
NAMES = frozenset({NAME, CHECK_CODE, VERSION})  # the fields of an announcement whose bytes are kept
SHOWN_MAX = 256  # bytes of one; a name, a version, a digest in hexadecimal


class QuecThingRedaction:
    """Listens to one link."""

    def __init__(self) -> None:
        """Know nothing yet; what comes before the session is read in clear."""
        self._session: Session | None = None
        self._written = Decoder()
        self._heard = Decoder()
        self._without = 0  # indications since the last one that completed a frame
        self._dropped = 0  # beginnings of frames that became none, as far as they are told

    def know(self, session: Session) -> None:
        """Take note of the session: what follows may be encrypted by its key."""
        self._session = session

    def feed(self, step: Step, came: Reply | BleOtaError) -> Iterator[Words]:
        """What there is to keep of a step."""
        if isinstance(came, BleOtaError):
            yield from self._noise()
            return
        match step, came.value:
            case Write(_, data, _), _:
                yield from self._noise()
                for frame in self._written.feed(data):
                    yield from self._frame("out", frame)
            case Await(_, within_s), Notified(_, data):
                yield from self._hear(data, joined=within_s == 0)
            case Await(_, within_s), None if within_s:
                yield from self._noise()
            case Read(char), bytes() as value:
                yield {"read": char, "text": clean(value.decode("utf-8", "replace"), most=VERSION_MAX)}
            case _:
                pass

    def _hear(self, data: bytes, *, joined: bool) -> Iterator[Words]:
        self._without += 1
        frames = self._heard.feed(data)
        if self._heard.dropped > self._dropped:
            yield from self._noise()
        for frame in frames:
            self._without = 0
            for words in self._frame("in", frame):
                yield {**words, "joined": True} if joined else words
            joined = True

    def _noise(self) -> Iterator[Words]:
        """What was heard and became no frame."""
        if self._without:
            yield {"in": "noise", "values": self._without}
        self._without, self._dropped = 0, self._heard.dropped

    def _frame(self, way: str, frame: Frame) -> Iterator[Words]:
        told: dict[str, Any] = {way: f"{frame.cmd:04x}", "id": frame.packet_id}
        if frame.cmd not in KEPT:
            yield told | {"length": len(frame.data)}
            return
        try:
            yield told | {"fields": self._fields(frame)}
        except MalformedError:
            yield told | {"unreadable": len(frame.data)}

    def _fields(self, frame: Frame) -> dict[str, Any]:
        """The fields that may be kept. Raises `MalformedError`."""
        kept, session = KEPT[frame.cmd], self._session
        if session is None or frame.cmd in LOGINS:
            fields: Mapping[int, Value] = {f.id: f.value for f in reversed(ttlv.decode(frame.data))}
        else:
            fields = session.fields(frame)
            kept |= frozenset(session.options.version_ids.values()) if frame.cmd == INFO_ANSWER else frozenset()
        told = {n: value for n, value in fields.items() if n in kept}
        if frame.cmd in SECRETS:
            return {str(n): {"length": len(value) if isinstance(value, bytes) else 0} for n, value in told.items()}
        shown = {NOTIFY: NAMES, QUERY_ANSWER: NAMES, INFO_ANSWER: kept}.get(frame.cmd, frozenset[int]())
        return {str(n): _plain(value, shown=n in shown) for n, value in told.items()}


def _plain(value: Value, *, shown: bool) -> Any:  # noqa: ANN401 -- whatever JSON has
    match value:
        case bool() | int():
            return value
        case Decimal():
            return {"decimal": str(value)}
        case tuple():
            return {"members": len(value)}
        case bytes() if shown and len(value) <= SHOWN_MAX:
            text = value.decode("utf-8", "replace")
            return {"text": text} if clean(text) == text and text.encode() == value else {"hex": value.hex()}
        case bytes():
            return {"length": len(value)}
        case _:
            assert_never(value)

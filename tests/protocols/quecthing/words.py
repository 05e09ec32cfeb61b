"""Rows of a conversation with a QuecThing device, and what they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ble_ota.link import Characteristic, uuid16
from ble_ota.model import Algorithm, Component, ComponentKind, Digest, PlannedFile, VerifiedImage
from ble_ota.protocols.quecthing import frame, ttlv
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.session import Options, Session
from ble_ota.protocols.quecthing.ttlv import Field, Value
from ble_ota.script import Await, Notified, Progress, Reply, Write
from tests.protocols.conversation import DONE, Row

HANDLE = 0x12
CHANNEL = Characteristic(HANDLE, uuid16(0x9C40), uuid16(0x180A), 244)
CONTENT = b"123456789"


def session(*, key: bytes = b"", iv: bytes = b"", max_write: int = 244, options: Options | None = None) -> Session:
    """A session that stands, logged in where `key` is given."""
    return Session(replace(CHANNEL, max_write=max_write), options or Options(), key=key, iv=iv)


def image(content: bytes = CONTENT, *, by: Sequence[Algorithm] = (Algorithm.CRC32,), name: str = "") -> VerifiedImage:
    """`content` as a plan with digests `by` has it."""
    digests = tuple(Digest(a, a.hex(content)) for a in by)
    return VerifiedImage.check(PlannedFile("https://x.invalid/f", len(content), digests, name=name), content)


def component(version: str = "1.0.1", *, kind: ComponentKind = ComponentKind.MODULE) -> Component:
    """A component that becomes `version`."""
    return Component("fw", kind, version, "1.0.0", ())


def told(cmd: int, packet_id: int, values: Mapping[int, Value] | None = None) -> Frame:
    """A frame in clear."""
    return Frame(packet_id, cmd, ttlv.encode(Field(at, value) for at, value in (values or {}).items()))


def writes(what: Frame | str) -> Row:
    """The script writes a frame in one piece."""
    return Write(HANDLE, bytes.fromhex(what) if isinstance(what, str) else frame.encode(what), ack=True), DONE


def hears(what: Frame | str | bytes, *, within_s: float, after_s: float = 0.0) -> Row:
    """The script waits, and is told a frame, or hexadecimal bytes, or bytes."""
    data = what if isinstance(what, bytes) else bytes.fromhex(what) if isinstance(what, str) else frame.encode(what)
    return Await((HANDLE,), within_s), Reply(Notified(HANDLE, data), after_s)


def silence(within_s: float) -> Row:
    """The script waits in vain."""
    return Await((HANDLE,), within_s), Reply(None, within_s)


def progress(done: int, total: int, resent: int = 0, *, learned: str = "", wait_s: float = 0.0) -> Row:
    """The script tells how far it is."""
    return Progress(done, total, resent, learned, wait_s), DONE

"""A recorded link as cues: what the host does, and what the device made of it then.

The links of a transcript are lists of lines; here they become what a device can play: after which word of the host it
said what, and how much later. Recorded words of the host are known again by their command; a packet also by its offset
and length, a control also by its action. Nothing in a transcript is trusted: what cannot be meant is a `UsageError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ble_ota.transcript import Entry, LinkSeen, Words, broken, need, need_words
from ble_ota.virtual.peripherals.quecthing import ttlv, words
from ble_ota.virtual.peripherals.quecthing.frame import LEN_MAX, OVERHEAD, RESERVED
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields, binary, whole

UNREADABLE = b"\x00\x07"  # no payload in nobody's eyes: a field of a reserved type, and no whole block of AES
BLOCK = 16  # bytes; what encryption may add
DECIMALS_MAX = 15
NOISE_MAX = 20_000  # values; twice what a host listens to
NOISE_S = 1e-4  # between two of them
SOON_S = 1e-3  # a link that broke so soon after a word broke before the host did anything with it

Word: TypeAlias = tuple[str, int, tuple[object, ...]]
"""How a deed of the host is known again: "out" with command and particulars, or "read"."""
READ: Word = ("read", 0, ())


@dataclass(frozen=True, slots=True)
class Said:
    """One frame of the device."""

    command: int
    packet_id: int
    fields: dict[int, Any]
    payload: bytes
    readable: bool


@dataclass(slots=True)
class Act:
    """What the device does after a cue."""

    at_s: float
    kind: str  # "say", "noise", "drop" or "stop"
    said: list[Said] = field(default_factory=list[Said])
    """Frames that came in one go."""
    values: int = 0
    drops: bool = False
    """Whether the link broke before the host could do anything with what was said."""


@dataclass(slots=True)
class Cue:
    """One deed of the host, and what followed."""

    at_s: float
    word: Word | None
    """None: whatever the host writes or reads next, for that is where the link ended: see `ending`."""
    packet_id: int = 0
    text: bytes = b""  # what was read
    ending: str = ""  # "drop", "stop" or "refuse"
    code: int = 0  # of the refusal
    acts: list[Act] = field(default_factory=list[Act])


def word_of(command: int, fields: Fields) -> Word:
    """How a frame of the host is known again."""
    match command:
        case words.PACKET:
            return "out", command, (whole(fields, words.OFFSET), len(binary(fields, words.DATA) or b""))
        case words.CONTROL:
            return "out", command, (whole(fields, words.ACTION),)
        case _:
            return "out", command, ()


def describe(word: Word) -> str:
    """A deed of the host, for people."""
    kind, command, particulars = word
    match command, particulars:
        case words.PACKET, (offset, length):
            return f"0x{command:04x} with {length} bytes at {offset}"
        case words.CONTROL, (action,):
            return f"0x{command:04x} with action {action}"
        case _:
            return f"0x{command:04x}" if kind == "out" else "a read"


def cues(link: LinkSeen) -> Iterator[Cue]:
    """A link as cues; the first one is the link itself. Raises `UsageError` if it cannot be meant."""
    cue = Cue(link.began_s, ("link", 0, ()))
    for entry in link.entries:
        begun = _begun(entry)
        if begun is not None:
            yield cue
            cue = begun
        elif (act := _act(entry)) is not None:
            _add(cue.acts, act, joined=entry.words.get("joined") is True)
    yield cue


def _add(acts: list[Act], act: Act, *, joined: bool) -> None:
    last = acts[-1] if acts and acts[-1].kind == "say" else None
    if last is not None and act.kind == "say" and joined:
        last.said += act.said
    elif last is not None and act.kind == "drop" and act.at_s - last.at_s < SOON_S:
        last.drops = True
    else:
        acts.append(act)


def _begun(entry: Entry) -> Cue | None:
    """The cue that an entry is, if it is a deed of the host."""
    told = entry.words
    match entry.kind:
        case "out":
            command, packet_id = _numbers(told, "out")
            return Cue(entry.at_s, word_of(command, _fields(told)), packet_id)
        case "read":
            return Cue(entry.at_s, READ, text=need(told, "text", str).encode())
        case "error" if told.get("step") != "await":
            code = told.get("code")
            return Cue(entry.at_s, None, ending=_ending(told), code=code if isinstance(code, int) else 0)
        case _:
            return None


def _act(entry: Entry) -> Act | None:
    told = entry.words
    match entry.kind:
        case "in" if told.get("in") == "noise":
            return Act(entry.at_s, "noise", values=min(need(told, "values", int), NOISE_MAX))
        case "in":
            command, packet_id = _numbers(told, "in")
            return Act(entry.at_s, "say", [_said(command, packet_id, told)])
        case "error":
            return Act(entry.at_s, "drop" if _ending(told) == "refuse" else _ending(told))
        case _:
            return None


def _ending(told: Words) -> str:
    return {"stop_asked": "stop", "att_refused": "refuse"}.get(need(told, "error", str), "drop")


def _numbers(told: Words, way: str) -> tuple[int, int]:
    try:
        command, packet_id = int(need(told, way, str), 16), need(told, "id", int)
    except ValueError as error:
        raise broken(str(error)) from None
    if not all(0 < n < RESERVED[1] for n in (command, packet_id)):
        raise broken(f"a frame with the command {command:#06x} and the packet id {packet_id}")
    return command, packet_id


def _said(command: int, packet_id: int, told: Words) -> Said:
    if "unreadable" in told:
        return Said(command, packet_id, {}, UNREADABLE, readable=False)
    fields = _fields(told)
    try:
        payload = b"".join(_packed(n, v) for n, v in fields.items())
    except (OverflowError, ValueError) as error:
        raise broken(f"a field that does not fit: {error}") from None
    if len(payload) > LEN_MAX - OVERHEAD - BLOCK:
        raise broken(f"a payload of {len(payload)} bytes")
    return Said(command, packet_id, fields, payload, readable=True)


def _fields(told: Words) -> dict[int, Any]:
    """The fields of a frame; a number that is not whole stays what JSON has."""
    if "fields" not in told:
        return {}
    try:
        return {int(n): _value(v) for n, v in need_words(told, "fields").items()}
    except (TypeError, ValueError, OverflowError) as error:
        raise broken(f"a field: {error}") from None


def _value(told: object) -> object:
    match told:
        case bool() | int() if abs(told) < 1 << 8 * ttlv.NUMBER_BYTES_MAX:
            return told
        case {"text": str(text)}:
            return text.encode()
        case {"hex": str(digits)}:
            return bytes.fromhex(digits)
        case {"length": int(size)} if 0 <= size <= LEN_MAX:
            return bytes(size)
        case {"members": int()}:
            return ()
        case {"decimal": str(number)}:
            return number
        case _:
            msg = f"{str(told)[:40]!r} is no value"
            raise ValueError(msg)


def _packed(number: int, value: object) -> bytes:
    """One field; the device's own writer knows whole numbers only."""
    if not isinstance(value, str):
        return ttlv.pack({number: value})  # type: ignore[dict-item]
    digits = value.lstrip("-").partition(".")
    magnitude = int(digits[0] + digits[2])
    size = max(1, (magnitude.bit_length() + 7) // 8)
    if size > ttlv.NUMBER_BYTES_MAX or len(digits[2]) > DECIMALS_MAX:
        msg = f"{value[:40]} has too many digits"
        raise ValueError(msg)
    head = value.startswith("-") << 7 | len(digits[2]) << 3 | size - 1
    return (number << 3 | 2).to_bytes(2, "big") + bytes((head,)) + magnitude.to_bytes(size, "big")

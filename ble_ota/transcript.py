"""What a host and a device said to each other, kept so that it can be played again.

A transcript is JSON lines; `t` is seconds since its first line::

    {"v":1,"transcript":"ble-ota","tool":"0.1.0","command":"update"}
    {"t":…,"device":{"driver":…,"options":{…},"patience":{…},"product_key":…,"device_key":…,"advert":{…}}}
    {"t":…,"link":"identify","address":…,"characteristics":[{"handle":…,"uuid":…,"service":…,"max_write":…}]}
    {"t":…,"out":…} {"t":…,"in":…} {"t":…,"read":…}         what was said, in the driver's own words
    {"t":…,"subscribed":UUID} {"t":…,"expired":4.5}         a wait in vain, in seconds
    {"t":…,"error":"link_lost","step":"write"}              what was thrown in at a step instead of a reply
    {"t":…,"unlinked":""}                                   the host let go; or the reason why it gave up
    {"t":…,"link":"transfer","failed":"link_lost"}          a link that broke before it stood
    {"t":…,"part":{"no":…,"files":[…],"mark":{…}}}          a component is about to be sent
    {"t":…,"end":{"verdict":"PASS","reason":"verified","exit_code":0}}

No key, nor anything a key could be found by, and no byte of firmware is in it: a driver's redaction sees to that
before a line is written. Whoever reads one trusts nothing in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from ble_ota.errors import BleOtaError, UsageError
from ble_ota.link import Advert
from ble_ota.model import IMAGE_MAX_BYTES, Algorithm, ComponentKind, Mark
from ble_ota.script import Reply, Step

T = TypeVar("T")
S_contra = TypeVar("S_contra", contravariant=True)
"""A driver's session."""
Words: TypeAlias = Mapping[str, Any]
"""One line's members, without its time."""

VERSION = 1
FILE_MAX_BYTES = 64 << 20  # our choice: 100 MB of firmware in packets of 200 bytes fit
LINE_MAX = 65536  # characters
TIME_MAX_S = 1e7  # our choice: four months; no run takes that long
FILES_MAX = 16  # of a component; the Developer Center's plans have five
EMPTY: Words = {}
SAID = ("out", "in", "read", "subscribed", "expired", "error")


class Redaction(Protocol[S_contra]):
    """Says what happens on one link, without what must not be said. Made anew for each link."""

    def know(self, session: S_contra) -> None:
        """Take note of the session that the link's scripts share from now on."""
        ...

    def feed(self, step: Step, came: Reply | BleOtaError) -> Iterable[Words]:
        """What there is to keep of a step and what came of it: none, one or more lines `out`, `in` or `read`."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened on a link."""

    at_s: float
    kind: str  # of `SAID`
    words: Words


@dataclass(slots=True)
class LinkSeen:
    """One link, from its start to its end."""

    purpose: str
    began_s: float
    uuids: tuple[str, ...]
    """Of its characteristics, by handle; none where it never stood."""
    failed: str = ""
    """Why it broke before it stood, as a reason code."""
    entries: list[Entry] = field(default_factory=list[Entry])
    reason: str = ""
    """Why the host gave it up; "" where the host was done."""


@dataclass(frozen=True, slots=True)
class Part:
    """A component that was sent."""

    no: str
    kind: ComponentKind
    target_version: str
    versions: Mapping[str, str]
    """What the device ran before, as `DeviceInfo.versions`."""
    files: tuple[tuple[int, tuple[Algorithm, ...], str], ...]
    """Size in bytes, algorithms of the plan's digests, and name, in the order they were sent."""
    mark: Mark | None
    """Where an earlier run had left it."""


@dataclass(slots=True)
class Transcript:
    """A whole run."""

    tool: str
    command: str
    driver: str = ""
    options: Words = field(default_factory=dict[str, Any])
    patience: Words = field(default_factory=dict[str, Any])
    product_key: str = ""
    device_key: str = ""
    advert: Advert | None = None
    """How the device was first seen; None where none was."""
    links: list[LinkSeen] = field(default_factory=list[LinkSeen])
    parts: list[Part] = field(default_factory=list[Part])
    verdict: str = ""
    reason: str = ""
    exit_code: int = 0


def broken(why: str) -> UsageError:
    """The error of a file that is no transcript, or not a whole one."""
    return UsageError(f"this is no whole transcript of ble-ota: {why}", hint="Record one by `--record FILE`")


def parse(lines: Iterable[str]) -> Transcript:
    """Read a transcript.

    Raises:
        UsageError: It is none, is cut off, or is of another version.
    """
    told = _told(lines)
    head: Words = next(told, EMPTY)
    if head.get("transcript") != "ble-ota":
        raise broken("its first line does not say so")
    if head.get("v") != VERSION:
        msg = f"this transcript is of version {head.get('v')!r}, and only version {VERSION} is known here"
        raise UsageError(msg, hint="A newer ble-ota may play it")
    reading = _Reading(Transcript(need(head, "tool", str), need(head, "command", str)))
    for line in told:
        reading.take(need_s(line, "t"), line)
    if not reading.seen.verdict:
        raise broken("its end is missing")
    return reading.seen


def need(words: Words, name: str, kind: type[T]) -> T:
    """The member `name`, which must be of `kind`. Raises `UsageError`."""
    value = words.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise broken(f"it has {name!r} as {str(value)[:40]!r}")
    return value


def need_s(words: Words, name: str) -> float:
    """The member `name` as seconds, 0 to `TIME_MAX_S`. Raises `UsageError`."""
    value = words.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= TIME_MAX_S:
        raise broken(f"it has {name!r} as {str(value)[:40]!r}")
    return float(value)


def need_words(words: Words, name: str) -> Words:
    """The member `name`, which must be an object. Raises `UsageError`."""
    return cast("Words", need(words, name, dict))


def need_list(words: Words, name: str) -> list[Words]:
    """The member `name`, which must be a list of objects. Raises `UsageError`."""
    found = cast("list[object]", need(words, name, list))
    if not all(isinstance(one, dict) for one in found):
        raise broken(f"it has something else than objects in {name!r}")
    return cast("list[Words]", found)


def _told(lines: Iterable[str]) -> Iterator[Words]:
    for number, line in enumerate(lines, 1):
        try:
            told = json.loads(line) if len(line) <= LINE_MAX else None
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise broken(f"its line {number} is no object of JSON")
        yield cast("Words", told)


@dataclass(slots=True)
class _Reading:
    seen: Transcript
    open: LinkSeen | None = None

    def take(self, at_s: float, line: Words) -> None:
        kind = next((k for k in SAID if k in line), "")
        if self.seen.verdict:
            raise broken("something follows its end")
        if "link" in line and self.open is None and self.seen.advert is not None:
            self._link(at_s, line)
        elif kind and self.open is not None:
            self.open.entries.append(Entry(at_s, kind, line))
        elif "unlinked" in line and self.open is not None:
            self.open.reason = need(line, "unlinked", str)
            self.open = None
        elif self.open is None:
            self._beside(line)
        else:
            raise broken(f"a line of it is out of place: {sorted(line)}"[:120])

    def _link(self, at_s: float, line: Words) -> None:
        failed = need(line, "failed", str) if "failed" in line else ""
        chars = [] if failed else need_list(line, "characteristics")
        uuids = tuple(need(c, "uuid", str) for c in chars)
        link = LinkSeen(need(line, "link", str), at_s, uuids, failed)
        self.seen.links.append(link)
        self.open = None if failed else link

    def _beside(self, line: Words) -> None:
        """What stands between links."""
        match line:
            case {"device": dict()} if self.seen.advert is None:
                self._device(need_words(line, "device"))
            case {"part": dict()}:
                self.seen.parts.append(_part(need_words(line, "part")))
            case {"elsewhere": None | str()}:  # the Developer Center's word in older transcripts: it proves nothing
                pass
            case {"end": dict()}:
                self._end(need_words(line, "end"))
            case _:
                raise broken(f"a line of it is out of place: {sorted(line)}"[:120])

    def _device(self, words: Words) -> None:
        self.seen.driver = need(words, "driver", str)
        self.seen.options = need_words(words, "options")
        self.seen.patience = need_words(words, "patience")
        self.seen.product_key = need(words, "product_key", str)
        self.seen.device_key = need(words, "device_key", str)
        self.seen.advert = _advert(need_words(words, "advert"))

    def _end(self, words: Words) -> None:
        self.seen.verdict = need(words, "verdict", str)
        self.seen.reason = need(words, "reason", str)
        self.seen.exit_code = need(words, "exit_code", int)


def _advert(words: Words) -> Advert:
    try:
        told = need_words(words, "manufacturer").items()
        manufacturer = {int(company): bytes.fromhex(data) for company, data in told}
    except (TypeError, ValueError) as error:
        raise broken(f"the advertisement: {error}") from None
    rssi = words.get("rssi_dbm")
    return Advert(
        need(words, "address", str),
        need(words, "name", str),
        rssi if isinstance(rssi, int) else None,
        tuple(map(str, cast("list[object]", need(words, "services", list)))),
        manufacturer,
    )


def _part(words: Words) -> Part:
    files = need_list(words, "files")
    if not 0 < len(files) <= FILES_MAX:
        raise broken(f"a component of {len(files)} files")
    try:
        kind = ComponentKind[need(words, "kind", str).upper()]
    except KeyError as error:
        raise broken(f"a component of the kind {error}") from None
    no = need(words, "no", str)
    versions = {str(n): str(version) for n, version in need_words(words, "versions").items()}
    mark = _mark(no, need_words(words, "mark")) if words.get("mark") is not None else None
    return Part(no, kind, need(words, "target_version", str), versions, tuple(map(_file, files)), mark)


def _file(words: Words) -> tuple[int, tuple[Algorithm, ...], str]:
    size = need(words, "size", int)
    if not 0 < size <= IMAGE_MAX_BYTES:
        raise broken(f"a file of {size} bytes")
    try:
        algorithms = tuple(Algorithm(a) for a in cast("list[object]", need(words, "algorithms", list)))
    except ValueError as error:
        raise broken(str(error)) from None
    if not algorithms:
        raise broken("a file without a digest")
    return size, algorithms, need(words, "name", str)


def _mark(no: str, words: Words) -> Mark:
    offset, file = need(words, "offset", int), need(words, "file", int)
    return Mark(no, file, "", offset, need(words, "learned", str), need_s(words, "age_s"))

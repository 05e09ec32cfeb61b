"""Writing a transcript (`transcript.py` says its form): what happened on each link, and what is needed beside it.

Nothing in here knows a file or a clock; both come in as functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from ble_ota import __version__
from ble_ota.errors import AttRefusedError, BleOtaError, LinkLostError
from ble_ota.link import Advert, LinkFacts
from ble_ota.model import Component, Mark, VerifiedImage
from ble_ota.script import Await, Progress, Read, ReadBlock, Reply, Step, Subscribe, Write
from ble_ota.transcript import VERSION, Redaction, Words

SEEN = ("address", "name", "rssi_dbm", "services")  # of an advertisement; the rest is what a system knows, not a device


@dataclass(slots=True)
class Recorder:
    """Takes down one run."""

    sink: Callable[[str], None]
    """Takes one line, its end included; must not raise."""
    clock: Callable[[], float]
    """Seconds, from any beginning."""
    _began_s: float = 0.0

    def begin(self, command: str) -> None:
        """Write the first line; times count from here."""
        self._began_s = self.clock()
        head = {"v": VERSION, "transcript": "ble-ota", "tool": __version__, "command": command}
        self.sink(_line(head))

    def note(self, words: Words) -> None:
        """Write one line, with its time."""
        self.sink(_line({"t": round(self.clock() - self._began_s, 4)} | dict(words)))

    def meet(self, advert: Advert, keys: tuple[str, str], driver: str, options: Words, patience: Words) -> None:
        """Say which device it is, and how it is spoken to.

        Args:
            advert: How the device was seen.
            keys: Product key and device key; "" where unknown.
            driver: Name of the protocol.
            options: Its settings, as JSON has them; no secret is one.
            patience: Budgets of the run, as JSON has them.
        """
        seen = {name: getattr(advert, name) for name in SEEN}
        seen |= {"manufacturer": {str(c): d.hex() for c, d in advert.manufacturer.items()}}
        told = {"driver": driver, "options": options, "patience": patience}
        self.note({"device": told | {"product_key": keys[0], "device_key": keys[1], "advert": seen}})

    def part(
        self, component: Component, images: Sequence[VerifiedImage], versions: Mapping[str, str], mark: Mark | None
    ) -> None:
        """Say that a component is about to be sent."""
        files = [
            {"size": i.size_bytes, "algorithms": [d.algorithm.value for d in i.file.digests], "name": i.file.name}
            for i in images
        ]
        told = {"no": component.no, "kind": component.kind.name, "target_version": component.target_version}
        left = None if mark is None else {k: v for k, v in asdict(mark).items() if k not in ("component", "sha256")}
        self.note({"part": told | {"versions": dict(versions), "files": files, "mark": left}})

    def end(self, verdict: str, reason: str, exit_code: int) -> None:
        """Say how the run ended; the last line."""
        self.note({"end": {"verdict": verdict, "reason": reason, "exit_code": exit_code}})

    @contextmanager
    def link(self, purpose: str, redact: Callable[[], Redaction[Any]] | None) -> Generator[LinkTape, None, None]:
        """Take down one link, from before it is made until it has been let go."""
        tape = LinkTape(self, purpose, redact() if redact is not None else None)
        try:
            yield tape
        except BaseException as error:
            tape.leave(error.reason if isinstance(error, BleOtaError) else "stop_asked")
            raise
        tape.leave("")


@dataclass(slots=True)
class LinkTape:
    """One link of a transcript; itself it is a `perform.Tape`."""

    recorder: Recorder
    purpose: str
    redaction: Redaction[Any] | None
    _uuids: dict[int, str] | None = None
    """Of characteristics, by handle; None until the link stands."""

    def stands(self, facts: LinkFacts) -> None:
        """Say that there is a link."""
        self._uuids = {c.handle: c.uuid for c in facts.characteristics}
        told = [asdict(c) for c in facts.characteristics]
        self.recorder.note({"link": self.purpose, "address": facts.address, "characteristics": told})

    def opened(self, session: object) -> None:
        """Take note of the session."""
        if self.redaction is not None:
            self.redaction.know(session)

    def __call__(self, step: Step, came: Reply | BleOtaError) -> None:
        """Write down what is to be kept of a step and what came of it; of firmware that is read, nothing."""
        if isinstance(step, ReadBlock):
            return
        for words in self._words(step, came):
            self.recorder.note(words)

    def leave(self, reason: str) -> None:
        """Say that there is a link no more. One that never stood is told if it broke; a device not found is no link."""
        if self._uuids is not None:
            self.recorder.note({"unlinked": reason})
        elif reason == LinkLostError("").reason:
            self.recorder.note({"link": self.purpose, "failed": reason})

    def _words(self, step: Step, came: Reply | BleOtaError) -> Iterator[Words]:
        if self.redaction is not None:
            yield from self.redaction.feed(step, came)
        if isinstance(came, BleOtaError):
            code = {"code": came.code} if isinstance(came, AttRefusedError) else {}
            yield {"error": came.reason, "step": type(step).__name__.lower(), **code}
            return
        match step:
            case Subscribe(char):
                yield {"subscribed": (self._uuids or {}).get(char, "")}
            case Await(_, within_s) if came.value is None:
                if within_s:
                    yield {"expired": within_s}
            case Progress():
                pass
            case _:
                if self.redaction is None:  # nobody knows what in it is a secret
                    yield {KINDS[type(step)]: ""}


KINDS: Mapping[type[Step], str] = {Write: "out", Await: "in", Read: "read"}


def _line(words: Words) -> str:
    return json.dumps(words, separators=(",", ":")) + "\n"

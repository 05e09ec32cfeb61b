from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ble_ota import __version__
from ble_ota.content import Content
from ble_ota.errors import AttRefusedError, BleOtaError, DeviceNotFoundError, LinkLostError, TrustError
from ble_ota.link import Advert, Characteristic, LinkFacts, uuid16
from ble_ota.model import Mark
from ble_ota.script import Await, Notified, Progress, Read, ReadBlock, Reply, Step, Subscribe, Write
from ble_ota.tape import LinkTape, Recorder
from ble_ota.transcript import Words
from tests.protocols.quecthing.words import component, image

FACTS = LinkFacts("C0:DE:B0:E0:00:01", (Characteristic(7, uuid16(0x9C40), uuid16(0x180A), 244),))
DONE = Reply(None, 0.0)


@dataclass(slots=True)
class Paper:
    """Where a recorder writes, with a clock set by hand."""

    lines: list[str] = field(default_factory=list[str])
    now_s: float = 100.0

    def recorder(self) -> Recorder:
        made = Recorder(self.lines.append, lambda: self.now_s)
        made.begin("flash")
        return made

    @property
    def told(self) -> list[dict[str, Any]]:
        """What stands behind the first line, without times."""
        return [{k: v for k, v in json.loads(line).items() if k != "t"} for line in self.lines[1:]]


@pytest.fixture
def paper() -> Paper:
    return Paper()


def told(paper: Paper, *steps: tuple[Step, Reply | BleOtaError], redact: Any = None) -> list[dict[str, Any]]:
    """What is written of steps on a link that stands."""
    with paper.recorder().link("identify", redact) as tape:
        tape.stands(FACTS)
        for step, came in steps:
            tape(step, came)
    return paper.told[1:-1]


def test_the_first_line_says_what_this_is(paper: Paper) -> None:
    paper.recorder()
    head = {"v": 1, "transcript": "ble-ota", "tool": __version__, "command": "flash"}
    assert [json.loads(line) for line in paper.lines] == [head]


def test_every_line_is_one_and_short(paper: Paper) -> None:
    paper.recorder().note({"read": "1\n2"})
    assert paper.lines[1] == '{"t":0.0,"read":"1\\n2"}\n'


def test_times_count_from_the_first_line(paper: Paper) -> None:
    recorder = paper.recorder()
    paper.now_s += 1.23456
    recorder.note({})
    assert json.loads(paper.lines[1])["t"] == 1.2346


def test_the_device_is_told_with_all_a_replay_needs(paper: Paper) -> None:
    advert = Advert("C0:DE:B0:E0:00:01", "n", None, ("s",), {0x5551: b"\x01\xff"})
    paper.recorder().meet(advert, ("pk", "dk"), "quecthing", {"login": True}, {"links": 2})
    seen = {"address": "C0:DE:B0:E0:00:01", "name": "n", "rssi_dbm": None, "services": ["s"]}
    keys = {"driver": "quecthing", "options": {"login": True}, "patience": {"links": 2}}
    keys |= {"product_key": "pk", "device_key": "dk"}
    assert paper.told == [{"device": keys | {"advert": seen | {"manufacturer": {"21841": "01ff"}}}}]


def test_of_a_component_no_digest_and_no_address_is_told(paper: Paper) -> None:
    paper.recorder().part(component(), [image(name="f.bin")], {"": "1.0.0"}, None)
    files = [{"size": 9, "algorithms": ["crc32"], "name": "f.bin"}]
    part = {"no": "fw", "kind": "MODULE", "target_version": "1.0.1", "versions": {"": "1.0.0"}, "files": files}
    assert paper.told == [{"part": part | {"mark": None}}]


def test_a_mark_is_told_without_the_digest(paper: Paper) -> None:
    paper.recorder().part(component(), [image()], {}, Mark("fw", 0, "5ha", 4, "4 echo", 1.5))
    assert paper.told[0]["part"]["mark"] == {"file": 0, "offset": 4, "learned": "4 echo", "age_s": 1.5}


def test_the_end_is_told(paper: Paper) -> None:
    paper.recorder().end("PASS", "verified", 0)
    assert paper.told == [{"end": {"verdict": "PASS", "reason": "verified", "exit_code": 0}}]


def test_a_link_that_stands_is_told_with_its_facts(paper: Paper) -> None:
    told(paper)
    char = {"handle": 7, "uuid": uuid16(0x9C40), "service": uuid16(0x180A), "max_write": 244}
    assert paper.told[0] == {"link": "identify", "address": "C0:DE:B0:E0:00:01", "characteristics": [char]}


def test_a_link_that_was_let_go_is_told_without_a_reason(paper: Paper) -> None:
    told(paper)
    assert paper.told[-1] == {"unlinked": ""}


@pytest.mark.parametrize(
    ("error", "reason"),
    [(LinkLostError("gone"), "link_lost"), (asyncio.CancelledError(), "stop_asked"), (ValueError(), "stop_asked")],
)
def test_a_link_that_was_given_up_is_told_with_the_reason(paper: Paper, error: BaseException, reason: str) -> None:
    def talk() -> None:
        with paper.recorder().link("verify", None) as tape:
            tape.stands(FACTS)
            raise error

    with pytest.raises(type(error)):
        talk()
    assert paper.told[-1] == {"unlinked": reason}


def test_a_link_that_broke_before_it_stood_is_told(paper: Paper) -> None:
    with pytest.raises(LinkLostError), paper.recorder().link("transfer", None):
        raise LinkLostError("gone")
    assert paper.told == [{"link": "transfer", "failed": "link_lost"}]


def test_a_device_that_was_not_found_is_no_link(paper: Paper) -> None:
    with pytest.raises(DeviceNotFoundError), paper.recorder().link("transfer", None):
        raise DeviceNotFoundError("nobody")
    assert paper.told == []


def test_a_subscription_is_told_by_its_uuid(paper: Paper) -> None:
    assert told(paper, (Subscribe(7), DONE)) == [{"subscribed": uuid16(0x9C40)}]


def test_a_wait_in_vain_is_told_and_a_poll_is_not(paper: Paper) -> None:
    assert told(paper, (Await((7,), 4.5), DONE), (Await((7,), 0), DONE)) == [{"expired": 4.5}]


def test_progress_is_not_told(paper: Paper) -> None:
    assert told(paper, (Progress(1, 2), DONE)) == []


def test_an_error_is_told_by_its_reason_and_step(paper: Paper) -> None:
    assert told(paper, (Write(7, b"x", ack=True), LinkLostError("it is s3cret"))) == [
        {"error": "link_lost", "step": "write"}
    ]


def test_a_refusal_is_told_with_its_code(paper: Paper) -> None:
    assert told(paper, (Read(7), AttRefusedError("read", 5))) == [{"error": "att_refused", "step": "read", "code": 5}]


def test_without_a_redaction_there_are_kinds_and_times_only(paper: Paper) -> None:
    spoken = (Write(7, b"s3cret", ack=True), DONE), (Await((7,), 1), Reply(Notified(7, b"s3cret"), 0.1))
    assert told(paper, *spoken, (Read(7), Reply(b"s3cret", 0.1))) == [{"out": ""}, {"in": ""}, {"read": ""}]


class Whisper:
    """A redaction that says how much there was, and whether it knew a session."""

    def __init__(self) -> None:
        self._session: object = None

    def know(self, session: object) -> None:
        self._session = session

    def feed(self, step: Step, came: Reply | BleOtaError) -> Iterator[Words]:
        if isinstance(step, Write):
            yield {"out": len(step.data), "knows": self._session, "failed": isinstance(came, BleOtaError)}


@pytest.mark.parametrize("redact", [None, Whisper])
@pytest.mark.parametrize("came", [Reply(b"firmware", 0.1), TrustError("changed")])
def test_of_firmware_that_is_read_nothing_is_kept(
    paper: Paper, redact: type[Whisper] | None, came: Reply | BleOtaError
) -> None:
    assert told(paper, (ReadBlock(Content.of(b"firmware"), 0), came), redact=redact) == []


def test_a_redaction_says_what_is_kept(paper: Paper) -> None:
    assert told(paper, (Write(7, b"s3cret", ack=True), DONE), redact=Whisper) == [
        {"out": 6, "knows": None, "failed": False}
    ]


def test_a_redaction_hears_of_errors_before_they_are_told(paper: Paper) -> None:
    lines = told(paper, (Write(7, b"s", ack=True), LinkLostError("")), redact=Whisper)
    assert [next(iter(line)) for line in lines] == ["out", "error"]


def test_a_redaction_is_told_the_session(paper: Paper) -> None:
    with paper.recorder().link("identify", Whisper) as tape:
        tape.stands(FACTS)
        tape.opened("it")
        tape(Write(7, b"", ack=True), DONE)
    assert paper.told[1]["knows"] == "it"


def test_each_link_has_a_redaction_of_its_own(paper: Paper) -> None:
    recorder = paper.recorder()
    with recorder.link("identify", Whisper) as first:
        first.opened("it")
    with recorder.link("verify", Whisper) as second:
        second.stands(FACTS)
        second(Write(7, b"", ack=True), DONE)
    assert [line["knows"] for line in paper.told if "knows" in line] == [None]


def test_a_session_without_a_redaction_is_no_matter(paper: Paper) -> None:
    LinkTape(replace(paper.recorder()), "identify", None).opened("it")
    assert paper.told == []

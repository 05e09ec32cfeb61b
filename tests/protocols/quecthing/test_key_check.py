from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ble_ota.errors import MalformedError
from ble_ota.protocols.quecthing import Options, Session, frame
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.key_check import ask_for_key, show_key
from ble_ota.protocols.quecthing.ttlv import Field
from ble_ota.protocols.quecthing.versions import INFO_S
from ble_ota.script import Await, Notified, Reply, Script, Step, Write
from ble_ota.target import talking
from ble_ota.virtual.peripherals.quecthing import Habits, Impostor
from ble_ota.virtual.peripherals.quecthing.impostor import Answer
from tests.bench import Bench, bench
from tests.protocols.conversation import Row, play
from tests.protocols.quecthing.words import HANDLE, hears, session, silence, writes

KEY, IV = bytes(range(16)), b"A" * 16


def sealed(cmd: int, packet_id: int, *fields: Field) -> Frame:
    return Frame(packet_id, cmd, session(key=KEY, iv=IV).seal(cmd, fields))


async def shown(on: Bench) -> bool:
    target, secret = await on.target(), on.secret
    async with talking(target, on.radio, secret, emit=on.events.append, purpose="verify") as talk:
        return await talk.do(show_key(talk.session))


REAL = {"accepts": Habits(), "declines": Habits(declines=True), "erases first": Habits(erase_s=20.0)}


@pytest.mark.looptime
@pytest.mark.parametrize("what", REAL)
async def test_a_device_shows_the_key_and_is_as_it_was(tmp_path: Path, what: str) -> None:
    on = bench(tmp_path, REAL[what])
    assert await shown(on)
    assert (on.device.version("MAIN"), on.device.stats.bytes, on.device.boot.staged) == ("1.0.0", 0, ())


@pytest.mark.looptime
@pytest.mark.parametrize("answers", ["silent", "empty", "clear", "garbled"])
async def test_a_peer_without_the_key_does_not_show_it(tmp_path: Path, answers: Answer) -> None:
    on = bench(tmp_path)
    on.device.power_off()
    on.air.add(Impostor(on.world, on.world.devices[0], claims="1.1.0", answers=answers))
    try:
        assert not await shown(on)
    except MalformedError:
        assert answers != "silent"


def test_nothing_is_asked_where_the_key_is_shown_or_there_is_none() -> None:
    assert play(show_key(session()))
    assert play(show_key(replace(session(key=KEY, iv=IV), key_shown=True)))


def test_an_announcement_in_clear_shows_nothing_and_is_not_made() -> None:
    assert not play(show_key(session(key=KEY, iv=IV, options=Options(encrypt_transfer=False))))


def _ask(rows: tuple[Row, ...], make: Callable[[], Session]) -> Session:
    talk = make()
    play(ask_for_key(talk), *rows)
    return talk


def test_a_transfer_in_clear_begins_with_an_encrypted_question() -> None:
    asks = writes(Frame(1000, 0x7040))
    answer = hears(sealed(0x7041, 1000, Field(12, b"1.0.0")), within_s=INFO_S)
    clear = Options(encrypt_transfer=False)
    assert _ask((asks, answer), lambda: session(key=KEY, iv=IV, options=clear)).trusted
    silent = _ask((asks, silence(INFO_S)), lambda: session(key=KEY, iv=IV, options=clear))
    assert not silent.trusted
    play(ask_for_key(silent))  # once a link is enough


def test_a_sealed_transfer_needs_no_question() -> None:
    assert not _ask((), lambda: session(key=KEY, iv=IV)).asked_info


def test_a_device_that_does_not_answer_is_told_to_forget_it() -> None:
    steps: list[Step] = []

    def silent(script: Script[bool]) -> Script[bool]:
        reply = None
        while True:
            try:
                step = next(script) if reply is None else script.send(reply)
            except StopIteration as end:
                return bool(end.value)
            steps.append(step)
            reply = yield step

    def answer(script: Script[bool]) -> bool:
        step = next(script)
        while True:
            try:
                step = script.send(Reply(None, step.within_s if isinstance(step, Await) else 0.0))
            except StopIteration as end:
                return bool(end.value)

    assert not answer(silent(show_key(session(key=KEY, iv=IV))))
    assert [type(s) for s in steps] == [Write, Await, Write]


def test_an_answer_that_cannot_be_decrypted_is_an_error() -> None:
    script = show_key(session(key=KEY, iv=IV))
    assert isinstance(next(script), Write)
    assert isinstance(script.send(Reply(None, 0.0)), Await)
    garbled = frame.encode(Frame(2000, 0x7023, b"x" * 16))
    with pytest.raises(MalformedError, match="cannot be decrypted"):
        script.send(Reply(Notified(HANDLE, garbled), 0.0))

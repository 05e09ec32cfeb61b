"""The receiving side of QuecThing's file transfer.

::

    0x7022 notification            -> 0x7023 {7: 2 receive, 11: chunk} or {7: 1 decline}
    0x7025 {9: offset, 10: data}   -> 0x7026 {9}                            until the last byte: see `ending`
    0x7023 {7: 3 pause, 8: delay} · {7: 4 proceed} · {7: 5 cancel}  -> 0x7024, in both directions

A device that keeps its file over a lost link stays in its phase, and what it waits for goes on (see `waiting`).
"""

from __future__ import annotations

from collections.abc import Callable

from ble_ota.virtual.peripherals.quecthing import words
from ble_ota.virtual.peripherals.quecthing.body import Body
from ble_ota.virtual.peripherals.quecthing.boot import Staged
from ble_ota.virtual.peripherals.quecthing.ending import Ending
from ble_ota.virtual.peripherals.quecthing.frame import Frame
from ble_ota.virtual.peripherals.quecthing.habits import Pause
from ble_ota.virtual.peripherals.quecthing.junk import Flood
from ble_ota.virtual.peripherals.quecthing.offer import understand
from ble_ota.virtual.peripherals.quecthing.session import Phase, Session
from ble_ota.virtual.peripherals.quecthing.trouble import Stretch, id9
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields, binary, whole
from ble_ota.virtual.peripherals.quecthing.waiting import Waiting


class Receiver:
    """The file transfers of one power cycle."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._session = Session()
        self._ending = Ending(body, self._session)
        self._waiting = Waiting(body, self._session, self._ending, self._arrived)
        self._flood = Flood(body, self._session)

    # ------------------------------------------------------------------ what comes

    def wake(self) -> None:
        """Power is back: wait for the rest of the file that flash holds, if there is one; its last page is lost."""
        boot, page_bytes = self._body.boot, self._body.habits.page_bytes
        file = next((s for s in boot.staged if not s.accepted), None)
        if file is None:
            return
        there = boot.flash.size(file.area)
        kept = there if there == file.size else there - there % page_bytes
        if kept < there:
            boot.flash.truncate(file.area, kept)
        self._session.begin(file, kept)
        self._session.orphan()
        self._waiting.go_on()

    def take(self, frame: Frame, fields: Fields) -> None:
        """Act on one readable frame; one that is none of the transfer's counts as a sign of life."""
        if self._session.phase is Phase.RECEIVING:
            self._waiting.go_on()
        match frame.command:
            case words.NOTIFICATION:
                self._notified(fields)
            case words.CONTROL:
                self._controlled(frame, fields)
            case words.CONTROLLED:
                self._ending.acknowledged(frame.packet_id)
            case words.PACKET:
                self._arrived(frame, fields)
            case _:
                pass

    def link_lost(self) -> None:
        """The link is gone: an unfinished file is kept or forgotten, an accepted one still goes to its reboot."""
        if not self._session.under_way:
            return
        if self._body.habits.keeps_session_over_disconnect:
            self._session.orphan()
        else:
            self._ending.forget()

    # ------------------------------------------------------------------ notification

    def _notified(self, fields: Fields) -> None:
        habits, stats, session = self._body.habits, self._body.stats, self._session
        if session.under_way and (not session.orphaned or habits.on_new_offer == "declines"):
            self._decline("a transfer is under way")
            return
        wanted = understand(self._body.world, fields, habits)
        if isinstance(wanted, str):
            self._decline(wanted)
            return
        stats.announced += 1
        if habits.declines:
            self._decline("not now")
        elif stats.busy < habits.busy_times:
            stats.busy += 1
            self._decline("busy")
        else:
            self._receive(wanted)

    def _decline(self, why: str) -> None:
        self._body.log(f"declined: {why}")
        self._control(words.DECLINE)

    def _receive(self, wanted: Staged) -> None:
        boot, habits = self._body.boot, self._body.habits
        continues = habits.on_new_offer == "continues"
        kept = next((s for s in boot.staged if continues and not s.accepted and s.same_file(wanted)), None)
        if kept is None:
            boot.drop(lambda s: not s.accepted)
        file = kept or boot.stage(wanted)
        self._session.begin(file, boot.flash.size(file.area))
        self._waiting.work(habits.erase_s if kept is None else 0, lambda: self._ready(file))

    def _ready(self, file: Staged) -> None:
        self._control(words.RECEIVE, {words.CHUNK: self._body.habits.chunk_bytes})
        self._flood.begin()
        if self._session.whole or self._body.habits.accepts_without_bytes:
            self._ending.finish(file)

    # ------------------------------------------------------------------ packets

    def _arrived(self, frame: Frame, fields: Fields) -> None:
        habits, session = self._body.habits, self._session
        session.orphaned = False
        drops = habits.drops_while_paused and session.phase is Phase.PAUSED
        if session.phase in (Phase.PAUSED, Phase.BUSY) and session.in_flight is None and not drops:
            session.in_flight = frame, fields
        elif session.phase is Phase.RECEIVING:
            self._waiting.work(habits.slow_answer_s, lambda: self._packet(frame, fields))
        else:
            self._packet(frame, fields)

    def _packet(self, frame: Frame, fields: Fields) -> None:
        habits, session = self._body.habits, self._session
        offset, data = whole(fields, words.OFFSET), binary(fields, words.DATA)
        size = frame.size if habits.packet_bound == "frame" else len(data or b"")
        if offset is None or not data or size > habits.chunk_bytes:
            self._body.stats.ignored += 1
        elif session.file is None:
            self._stray()
        elif session.phase is Phase.RECEIVING or (session.phase is Phase.FINISHED and self._ends_it(offset, data)):
            self._due(session.file, frame, offset, data)
        else:
            self._body.stats.ignored += 1

    def _stray(self) -> None:
        self._body.stats.ignored += 1
        match self._body.habits.stray_packet:
            case "cancels":
                self._control(words.CANCEL)
            case "declines":
                self._decline("no file was announced")
            case "ignores":
                pass

    def _ends_it(self, offset: int, data: bytes) -> bool:
        """Whether it is the last packet of a file that is whole: its answer, or the success, was lost."""
        return self._session.whole and offset + len(data) == self._session.received

    def _due(self, file: Staged, frame: Frame, offset: int, data: bytes) -> None:
        session, stats, after = self._session, self._body.stats, offset + len(data)
        stats.packets += 1
        if after <= session.received:
            stats.duplicates += 1
            self._answer(frame, id9(self._body.habits, offset, after))
            if self._ends_it(offset, data):
                self._ending.finish(file)
        elif after > file.size:
            self._waiting.cancel()
        elif offset > session.received:
            self._missed(frame)
        else:
            self._store(file, frame, offset, data)

    def _missed(self, frame: Frame) -> None:
        match self._body.habits.gap:
            case "tells":
                self._answer(frame, self._session.received)
            case "cancels":
                self._waiting.cancel()
            case "ignores":
                pass

    def _store(self, file: Staged, frame: Frame, offset: int, data: bytes) -> None:
        session, habits = self._session, self._body.habits
        new = Stretch(habits, session.received, offset + len(data), file.size)
        self._body.boot.flash.write(file.area, offset, data)
        session.received = new.after
        self._body.stats.bytes += new.after - new.before
        if new.carries(habits.silent_after):
            self._body.fall_silent()
        elif new.carries(habits.cancel_at):
            self._waiting.cancel()
        else:
            self._stored(file, new.pause, lambda: self._answer(frame, new.told(offset)))

    def _stored(self, file: Staged, pause: Pause | None, answer: Callable[[], None]) -> None:
        if pause is None or pause.answer == "first":
            answer()
        if pause is not None:
            self._waiting.pause(file, pause)
        if pause is not None and pause.answer == "then":
            answer()
        if pause is not None and pause.answer == "held":
            self._session.owed = answer
        if pause is None and self._session.whole:
            self._ending.finish(file)

    def _answer(self, frame: Frame, offset: int) -> None:
        self._body.say(words.STORED, {words.OFFSET: offset}, reply_to=frame.packet_id)

    # ------------------------------------------------------------------ control

    def _controlled(self, frame: Frame, fields: Fields) -> None:
        action, delay = whole(fields, words.ACTION), whole(fields, words.DELAY)
        session = self._session
        if action is None or (action == words.PAUSE and delay is None):
            return  # not the documented form: no answer
        self._body.say(words.CONTROLLED, {}, reply_to=frame.packet_id)
        if action == words.PAUSE and delay is not None and session.phase is Phase.RECEIVING:
            self._waiting.hold(delay)
        elif action == words.PROCEED and session.phase is Phase.HELD:
            session.orphaned = False
            self._waiting.go_on()
        elif action == words.CANCEL and session.under_way:
            self._ending.forget()

    def _control(self, action: int, more: Fields | None = None) -> None:
        self._body.say(words.CONTROL, {words.ACTION: action} | dict(more or {}))

"""The receiving side of QuecThing's file transfer.

::

    0x7022 notification            -> 0x7023 {7: 2 receive, 11: chunk} or {7: 1 decline}
    0x7025 {9: offset, 10: data}   -> 0x7026 {9}                            until the last byte, then
                                   -> 0x7023 {7: 6 success}  <- 0x7024      settles, reboots
                                   -> 0x7023 {7: 7 failure}
    0x7023 {7: 3 pause, 8: delay} · {7: 4 proceed} · {7: 5 cancel}  -> 0x7024, in both directions

Silence of 15 s, or a pause of the host that outlasts its delay, ends in a cancel. One alarm is enough, as each phase
waits for one thing.
"""

from __future__ import annotations

from collections.abc import Callable

from ble_ota.virtual.peripherals.quecthing.body import Body, Phase
from ble_ota.virtual.peripherals.quecthing.boot import Staged
from ble_ota.virtual.peripherals.quecthing.frame import Frame
from ble_ota.virtual.peripherals.quecthing.habits import Pause
from ble_ota.virtual.peripherals.quecthing.offer import understand
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields, binary, whole

QUERY, NOTIFICATION, CONTROL, CONTROLLED, PACKET, STORED = 0x7020, 0x7022, 0x7023, 0x7024, 0x7025, 0x7026
TRANSFER = range(QUERY, STORED + 1)
ACTION, DELAY, OFFSET, DATA, CHUNK = 7, 8, 9, 10, 11  # TTLV ids
DECLINE, RECEIVE, PAUSE, PROCEED, CANCEL, SUCCESS, FAILURE = 1, 2, 3, 4, 5, 6, 7  # actions


class Receiver:
    """The file transfers of one power cycle."""

    def __init__(self, body: Body) -> None:
        self.phase = Phase.IDLE
        self._body = body
        self._file: Staged | None = None
        self._received = 0
        self._owed: Callable[[], None] | None = None  # an answer held back by a pause
        self._in_flight: Frame | None = None  # a packet that came into a pause
        self._in_flight_fields: Fields = {}
        self._told: tuple[int, Staged] | None = None  # packet id of the success, and of which file

    # ------------------------------------------------------------------ what comes

    def take(self, frame: Frame, fields: Fields) -> None:
        """Act on one readable frame; one that is none of the transfer's counts as a sign of life."""
        if self.phase is Phase.RECEIVING:
            self._body.alarm(self._body.habits.patience_s, self._cancel)
        match frame.command:
            case 0x7022:
                self._notified(fields)
            case 0x7023:
                self._controlled(frame, fields)
            case 0x7024 if self._told is not None and frame.packet_id == self._told[0]:
                self._accept(self._told[1])
            case 0x7025:
                self._packet(frame, fields)
            case _:
                pass

    def link_lost(self) -> None:
        """The link is gone: an unfinished file is kept or forgotten, an accepted one still goes to its reboot."""
        if self.phase in (Phase.IDLE, Phase.SETTLING):
            return
        if not self._body.habits.keeps_session_over_disconnect:
            self._forget()
        self._rest()

    # ------------------------------------------------------------------ notification

    def _notified(self, fields: Fields) -> None:
        if self.phase not in (Phase.IDLE, Phase.SETTLING):
            self._decline("a transfer is under way")
            return
        wanted = understand(self._body.world, fields, self._body.habits)
        if isinstance(wanted, str):
            self._decline(wanted)
        elif self._body.habits.declines:
            self._decline("not now")
        else:
            self._receive(wanted)

    def _decline(self, why: str) -> None:
        self._body.log(f"declined: {why}")
        self._control(DECLINE)

    def _receive(self, wanted: Staged) -> None:
        boot = self._body.boot
        kept = next((s for s in boot.staged if not s.accepted and s.same_file(wanted)), None)
        if kept is None:
            boot.drop(lambda s: not s.accepted)
        self._file = kept or boot.stage(wanted)
        self._received = boot.flash.size(self._file.area)
        self._owed, self._in_flight = None, None
        self._go_on()
        self._control(RECEIVE, {CHUNK: self._body.habits.chunk_bytes})
        if self._received == wanted.size:
            self._finish(self._file)

    # ------------------------------------------------------------------ packets

    def _packet(self, frame: Frame, fields: Fields) -> None:
        habits, stats = self._body.habits, self._body.stats
        if self.phase is Phase.PAUSED and self._in_flight is None and not habits.drops_while_paused:
            self._in_flight, self._in_flight_fields = frame, fields
            return
        offset, data = whole(fields, OFFSET), binary(fields, DATA)
        size = frame.size if habits.packet_bound == "frame" else len(data or b"")
        file = self._file if self.phase is Phase.RECEIVING else None
        if file is None or offset is None or not data or size > habits.chunk_bytes:
            stats.ignored += 1
            return
        stats.packets += 1
        if offset + len(data) <= self._received:
            stats.duplicates += 1
            self._answer(frame, offset, offset + len(data))
        elif offset + len(data) > file.size:
            self._cancel()
        elif offset > self._received:
            self._missed(frame)
        else:
            self._store(file, frame, offset, data)

    def _missed(self, frame: Frame) -> None:
        match self._body.habits.gap:
            case "tells":
                self._answer(frame, self._received, self._received)
            case "cancels":
                self._cancel()
            case _:  # "ignores"
                pass

    def _store(self, file: Staged, frame: Frame, offset: int, data: bytes) -> None:
        before, after = self._received, offset + len(data)
        habits = self._body.habits
        self._body.boot.flash.write(file.area, offset, data)
        self._received = after
        self._body.stats.bytes += after - before

        def carries(at: int | None) -> bool:
            return at is not None and before <= at < after

        if carries(habits.silent_after):
            self._body.fall_silent()
        elif carries(habits.cancel_at):
            self._cancel()
        else:
            off = carries(habits.wrong_offset_at)
            pause = next((p for p in habits.pauses if carries(p.at)), None)
            self._stored(file, pause, lambda: self._answer(frame, offset + off, after + off))

    def _stored(self, file: Staged, pause: Pause | None, answer: Callable[[], None]) -> None:
        if pause is None or pause.answer == "first":
            answer()
        if pause is not None:
            self._pause(file, pause)
        if pause is not None and pause.answer == "then":
            answer()
        if pause is not None and pause.answer == "held":
            self._owed = answer
        if pause is None and self._received == file.size:
            self._finish(file)

    def _answer(self, frame: Frame, offset: int, after: int) -> None:
        start = offset if self._body.habits.id9 == "echo" else after
        self._body.say(STORED, {OFFSET: start}, reply_to=frame.packet_id)

    # ------------------------------------------------------------------ pauses and cancels

    def _pause(self, file: Staged, pause: Pause) -> None:
        self.phase = Phase.PAUSED
        self._control(PAUSE, {DELAY: pause.delay_s})
        if pause.lasts_s is None:
            self._body.alarm(pause.delay_s + self._body.habits.patience_s, self._cancel)
        else:
            self._body.alarm(pause.lasts_s, lambda: self._proceed(file))

    def _proceed(self, file: Staged) -> None:
        self._go_on()
        self._control(PROCEED)
        owed, self._owed = self._owed, None
        in_flight, self._in_flight = self._in_flight, None
        if owed is not None:
            owed()
        if self._received == file.size:
            self._finish(file)
        elif in_flight is not None:
            self._packet(in_flight, self._in_flight_fields)

    def _controlled(self, frame: Frame, fields: Fields) -> None:
        action, delay = whole(fields, ACTION), whole(fields, DELAY)
        if action is None or (action == PAUSE and delay is None):
            return  # not the documented form: no answer
        self._body.say(CONTROLLED, {}, reply_to=frame.packet_id)
        if action == PAUSE and delay is not None and self.phase is Phase.RECEIVING:
            self.phase = Phase.HELD
            self._body.alarm(delay, self._cancel)
        elif action == PROCEED and self.phase is Phase.HELD:
            self._go_on()
        elif action == CANCEL and self.phase not in (Phase.IDLE, Phase.SETTLING):
            self._forget()
            self._rest()

    def _go_on(self) -> None:
        self.phase = Phase.RECEIVING
        self._body.alarm(self._body.habits.patience_s, self._cancel)

    def _cancel(self) -> None:
        self._control(CANCEL)
        self._forget()
        self._rest()

    # ------------------------------------------------------------------ the end of a file

    def _finish(self, file: Staged) -> None:
        boot, habits = self._body.boot, self._body.habits
        if habits.fail_at_end or not file.is_in(boot.flash.content(file.area)):
            self._control(FAILURE)
            self._forget()
            self._rest()
            return
        self._told = (self._control(SUCCESS), file)
        self.phase = Phase.FINISHED
        self._body.alarm(habits.patience_s, self._unanswered)
        if habits.reboots_without_ack:
            self._accept(file)

    def _unanswered(self) -> None:
        self._body.log("nobody took note of the success")
        self._forget()
        self._rest()

    def _accept(self, file: Staged) -> None:
        self._body.boot.accept(file)
        self._rest()

    def _rest(self) -> None:
        """After a file: settle if the reboot has something to do, else wait for the next."""
        self._file, self._told = None, None
        self._body.no_alarm()
        self.phase = Phase.IDLE
        if any(s.accepted for s in self._body.boot.staged):
            self.phase = Phase.SETTLING
            self._body.alarm(self._body.habits.settle_s, self._settled)

    def _settled(self) -> None:
        boot = self._body.boot
        if any(s.accepted and boot.missing(s.component) == 0 for s in boot.staged):
            self._body.restart()
        else:
            self._body.alarm(self._body.habits.patience_s, self._incomplete)

    def _incomplete(self) -> None:
        self._body.log("the rest of the package did not come")
        self._body.boot.drop(lambda s: s.accepted)
        self._rest()

    def _forget(self) -> None:
        self._body.boot.drop(lambda s: not s.accepted)

    def _control(self, action: int, more: Fields | None = None) -> int:
        return self._body.say(CONTROL, {ACTION: action} | dict(more or {}))

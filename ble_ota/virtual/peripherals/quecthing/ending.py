"""How a file ends: found good or not, known to the host or not, and what the device does next.

::

    the last byte                  -> 0x7023 {7: 6 success}  <- 0x7024      settles, reboots
                                   -> 0x7023 {7: 7 failure}
"""

from __future__ import annotations

from ble_ota.virtual.peripherals.quecthing.body import Body
from ble_ota.virtual.peripherals.quecthing.boot import Staged
from ble_ota.virtual.peripherals.quecthing.session import Phase, Session
from ble_ota.virtual.peripherals.quecthing.words import ACTION, CONTROL, FAILURE, SUCCESS


class Ending:
    """The last words about a file, and the way to the reboot."""

    def __init__(self, body: Body, session: Session) -> None:
        self._body = body
        self._session = session

    def finish(self, file: Staged) -> None:
        """Say what became of `file`: all that will come is there. May be said again, with another packet id."""
        habits, session = self._body.habits, self._session
        good = not habits.fail_at_end and file.is_in(self._body.boot.flash.content(file.area))
        if not good and not habits.accepts_without_bytes:
            self._body.say(CONTROL, {ACTION: FAILURE})
            self.forget()
            return
        self._body.stats.successes += 1
        session.told.add(self._body.say(CONTROL, {ACTION: SUCCESS}))
        session.phase, session.in_flight = Phase.FINISHED, None
        self._body.alarm(habits.patience_s, self._unanswered)
        if habits.reboots_without_ack:
            self._accept(file)

    def acknowledged(self, packet_id: int) -> None:
        """The host has taken note of the frame with this packet id."""
        if self._session.file is not None and packet_id in self._session.told:
            self._accept(self._session.file)

    def forget(self) -> None:
        """Forget the file in transfer; what was accepted before still goes to its reboot."""
        self._body.boot.drop(lambda s: not s.accepted)
        self._rest()

    def _unanswered(self) -> None:
        self._body.log("nobody took note of the success")
        self.forget()

    def _accept(self, file: Staged) -> None:
        self._body.boot.accept(file)
        self._rest()

    def _rest(self) -> None:
        """After a file: settle if the reboot has something to do, else wait for the next."""
        self._session.end()
        self._body.no_alarm()
        if any(s.accepted for s in self._body.boot.staged):
            self._session.phase = Phase.SETTLING
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

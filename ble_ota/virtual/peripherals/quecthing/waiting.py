"""What the device waits for, and what ends the wait.

::

    for a packet               any correct frame begins it anew; 15 s later it cancels
    for its own flash          erasing, or a slow answer; then for a packet
    for the end of its pause   it proceeds by itself; a pause that never ends is cancelled 15 s after its delay
    for the end of the host's  the host proceeds within the delay it named, or it is cancelled

One alarm is enough for them all. It runs on while there is no link.
"""

from __future__ import annotations

from collections.abc import Callable

from ble_ota.virtual.peripherals.quecthing.body import Body
from ble_ota.virtual.peripherals.quecthing.boot import Staged
from ble_ota.virtual.peripherals.quecthing.ending import Ending
from ble_ota.virtual.peripherals.quecthing.frame import Frame
from ble_ota.virtual.peripherals.quecthing.habits import Pause
from ble_ota.virtual.peripherals.quecthing.session import Phase, Session
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields
from ble_ota.virtual.peripherals.quecthing.words import ACTION, CANCEL, CONTROL, DELAY, PAUSE, PROCEED


class Waiting:
    """Between two packets."""

    def __init__(self, body: Body, session: Session, ending: Ending, arrived: Callable[[Frame, Fields], None]) -> None:
        """Hand a packet that came in the meantime to `arrived`."""
        self._body = body
        self._session = session
        self._ending = ending
        self._arrived = arrived

    def go_on(self) -> None:
        """Wait for a packet, from now."""
        self._session.phase = Phase.RECEIVING
        self._body.alarm(self._body.habits.patience_s, self.cancel)

    def cancel(self) -> None:
        """Say so, and forget the file."""
        self._body.say(CONTROL, {ACTION: CANCEL})
        self._ending.forget()

    def hold(self, delay_s: float) -> None:
        """Wait for the host, which pauses."""
        self._session.phase, self._session.orphaned = Phase.HELD, False
        self._body.alarm(delay_s, self.cancel)

    def work(self, for_s: float, then: Callable[[], None]) -> None:
        """Be busy for so long, then do `then`, and wait for a packet unless that changes it."""
        if for_s > 0:
            self._session.phase = Phase.BUSY
            self._body.alarm(for_s, lambda: self._worked(then))
        else:
            self.go_on()
            then()

    def pause(self, file: Staged, pause: Pause) -> None:
        """Make a pause."""
        self._session.phase = Phase.PAUSED
        self._body.say(CONTROL, {ACTION: PAUSE, DELAY: pause.delay_s})
        if pause.lasts_s is None:
            self._body.alarm(pause.delay_s + self._body.habits.patience_s, self.cancel)
        else:
            self._body.alarm(pause.lasts_s, lambda: self._proceed(file, pause))

    def _worked(self, then: Callable[[], None]) -> None:
        self.go_on()
        then()
        self._next()

    def _proceed(self, file: Staged, pause: Pause) -> None:
        session = self._session
        self.go_on()
        self._body.say(CONTROL, {ACTION: PROCEED})
        owed, session.owed = session.owed, None
        if owed is not None:
            owed()
        if self._body.habits.endless_pauses and not session.orphaned:
            self.pause(file, pause)
        elif session.whole:
            self._ending.finish(file)
        else:
            self._next()

    def _next(self) -> None:
        """Turn to the packet that came in the meantime."""
        in_flight, self._session.in_flight = self._session.in_flight, None
        if in_flight is not None:
            self._arrived(*in_flight)

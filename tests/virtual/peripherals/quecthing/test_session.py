from __future__ import annotations

from ble_ota.virtual.peripherals.quecthing.boot import SHA256, Staged
from ble_ota.virtual.peripherals.quecthing.frame import Frame
from ble_ota.virtual.peripherals.quecthing.session import Phase, Session

FILE = Staged("MAIN", 0, 1, "2", 100, SHA256, "00" * 32)


def busy() -> Session:
    """A session with everything in it."""
    session = Session()
    session.begin(FILE, 50)
    session.phase = Phase.FINISHED
    session.owed = lambda: None
    session.in_flight = Frame(1, 0x7025, b""), {}
    session.told = {1, 2}
    return session


def test_without_a_file_nothing_is_under_way() -> None:
    assert (Session().under_way, Session().whole) == (False, False)


def test_a_file_is_under_way_from_its_beginning_to_its_end() -> None:
    session = busy()
    assert session.under_way
    session.end()
    assert not session.under_way


def test_a_file_is_whole_with_its_last_byte() -> None:
    session = busy()
    session.received = 99
    assert not session.whole
    session.received = 100
    assert session.whole


def test_an_orphan_owes_nothing_and_has_nothing_in_flight() -> None:
    session = busy()
    session.orphan()
    assert (session.owed, session.in_flight) == (None, None)


def test_an_orphan_remembers_what_it_was_about() -> None:
    session = busy()
    session.orphan()
    assert (session.orphaned, session.phase, session.file, session.received, session.told) == (
        True,
        Phase.FINISHED,
        FILE,
        50,
        {1, 2},
    )


def test_the_end_leaves_nothing() -> None:
    session = busy()
    session.orphan()
    session.end()
    assert session == Session()


def test_a_new_file_knows_nothing_of_the_one_before() -> None:
    session = busy()
    session.orphan()
    session.begin(FILE, 0)
    fresh = Session()
    fresh.begin(FILE, 0)
    assert session == fresh

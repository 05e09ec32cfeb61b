from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ble_ota.cli.when import appointment, flags, shown, shown_period, typed
from ble_ota.errors import UsageError
from ble_ota.mqtt import Period

BERLIN, NEW_YORK, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")
SUNDAY = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()  # 13:00 in Berlin


def read(start: str, end: str | None = None, *, now: float = SUNDAY, zone: ZoneInfo = BERLIN) -> tuple[str, str]:
    period = appointment(start, end, now_s=now, zone=zone)
    assert period.start_s is not None
    assert period.end_s is not None
    return typed(period.start_s, zone), typed(period.end_s, zone)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("2026-11-24T02:00", "2026-11-24T02:00+01:00"),
        ("2026-11-24 02:00", "2026-11-24T02:00+01:00"),
        ("2026-11-24T02:00:30", "2026-11-24T02:00:30+01:00"),
        ("2026-11-24T02:00Z", "2026-11-24T03:00+01:00"),
        ("2026-11-24T02:00-05:00", "2026-11-24T08:00+01:00"),
        ("22:00", "2026-11-22T22:00+01:00"),
        ("9:30", "2026-11-23T09:30+01:00"),
        ("13:00", "2026-11-23T13:00+01:00"),
        ("today 22:00", "2026-11-22T22:00+01:00"),
        ("today 02:00", "2026-11-22T02:00+01:00"),
        ("Tomorrow 02:00", "2026-11-23T02:00+01:00"),
        ("sunday 22:00", "2026-11-22T22:00+01:00"),
        ("sun 02:00", "2026-11-29T02:00+01:00"),
        ("Friday 02:00", "2026-11-27T02:00+01:00"),
    ],
)
def test_a_time_is_read_as_a_person_means_it(text: str, means: str) -> None:
    assert read(text, "+2h")[0] == means


@pytest.mark.parametrize(("zone", "means"), [(NEW_YORK, "2026-11-23T02:00-05:00"), (KOLKATA, "2026-11-23T02:00+05:30")])
def test_tomorrow_is_meant_where_the_reader_is(zone: ZoneInfo, means: str) -> None:
    assert read("tomorrow 02:00", "+1h", zone=zone)[0] == means


def test_it_is_already_tomorrow_in_kolkata() -> None:
    late = datetime(2026, 11, 22, 20, 0, tzinfo=UTC).timestamp()
    assert read("tomorrow 02:00", "+1h", now=late, zone=KOLKATA)[0] == "2026-11-24T02:00+05:30"


@pytest.mark.parametrize(
    ("start", "end", "means"),
    [
        ("22:00", "+2h", "2026-11-23T00:00+01:00"),
        ("22:00", "+90m", "2026-11-22T23:30+01:00"),
        ("22:00", "+1h30m", "2026-11-22T23:30+01:00"),
        ("22:00", "23:30", "2026-11-22T23:30+01:00"),
        ("tomorrow 22:00", "02:00", "2026-11-24T02:00+01:00"),
        ("tomorrow 22:00", "tuesday 04:00", "2026-11-24T04:00+01:00"),
        ("2026-11-24T02:00-05:00", "04:00", "2026-11-24T10:00+01:00"),
        ("22:00", "22:00", "2026-11-22T22:00+01:00"),
        ("22:00", "today 21:00", "2026-11-22T21:00+01:00"),
    ],
)
def test_an_end_is_read_from_its_start_on(start: str, end: str, means: str) -> None:
    assert read(start, end)[1] == means


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("tomorrow 02:00\u201304:00", "2026-11-23T02:00", "2026-11-23T04:00"),
        ("tomorrow 02:00-04:00", "2026-11-23T02:00", "2026-11-23T04:00"),
        ("tomorrow 02:00 - 04:00", "2026-11-23T02:00", "2026-11-23T04:00"),
        ("tomorrow 22:00 \u2014 01:00", "2026-11-23T22:00", "2026-11-24T01:00"),
        ("22:00 to tomorrow 01:00", "2026-11-22T22:00", "2026-11-23T01:00"),
        ("2026-11-24 02:00 - 04:00", "2026-11-24T02:00", "2026-11-24T04:00"),
        ("2026-11-24T02:00\u20132026-11-25T03:00", "2026-11-24T02:00", "2026-11-25T03:00"),
    ],
)
def test_a_range_has_both_ends(text: str, start: str, end: str) -> None:
    assert read(text) == (f"{start}+01:00", f"{end}+01:00")


def test_a_date_with_a_zone_is_no_range() -> None:
    with pytest.raises(UsageError, match="needs an end"):
        read("2026-11-24T02:00-05:00")


def test_an_end_that_is_said_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="has an end already"):
        read("tomorrow 02:00-04:00", "+2h")


@pytest.mark.parametrize("text", ["soon", "2026-11-24", "25:00", "tomorrow", "2am", "fr 02:00", "mor 02:00", "", "+2h"])
def test_what_is_no_time_is_named_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(UsageError, match="is no time") as caught:
        read(text, "+2h")
    assert "tomorrow 02:00" in caught.value.hint


@pytest.mark.parametrize("text", ["9999-12-31T23:59", "0001-01-01T00:00", "+", "+2", "24:00"])
def test_an_end_beyond_every_calendar_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        read("22:00", text)


@pytest.mark.parametrize(
    ("zone", "gap", "after"),
    [(BERLIN, "2026-03-29T02:30", "2026-03-29T03:30+02:00"), (NEW_YORK, "2026-03-08T02:30", "2026-03-08T03:30-04:00")],
)
def test_a_time_that_the_clocks_skip_is_refused(zone: ZoneInfo, gap: str, after: str) -> None:
    with pytest.raises(UsageError, match="does not exist") as caught:
        read(gap, "+2h", zone=zone)
    assert after in caught.value.hint


def test_of_a_time_that_comes_twice_the_first_is_meant() -> None:
    assert read("2026-10-25T02:30", "+1h") == ("2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00")


def test_hours_are_counted_over_a_change_of_the_clocks() -> None:
    assert read("2026-10-25T01:00", "+3h")[1] == "2026-10-25T03:00+01:00"


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()


@pytest.fixture(autouse=True)
def _clock_as_before(monkeypatch: pytest.MonkeyPatch) -> object:
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_berlin")
def test_without_a_zone_it_is_the_machines() -> None:
    period = appointment("2026-07-01T02:00", "04:00", now_s=SUNDAY, zone=None)
    assert shown_period(period, None) == "2026-07-01 02:00+02:00 to 2026-07-01 04:00+02:00"


@pytest.mark.usefixtures("in_berlin")
def test_the_machines_zone_has_its_gaps_too() -> None:
    with pytest.raises(UsageError, match="does not exist"):
        appointment("2026-03-29T02:30", "+2h", now_s=SUNDAY, zone=None)


# ---------------------------------------------------------------- shown


def test_what_is_shown_has_its_distance_from_utc() -> None:
    assert shown(SUNDAY, NEW_YORK) == "2026-11-22 07:00-05:00"


@pytest.mark.parametrize(
    ("period", "text"),
    [
        (Period(), "open"),
        (Period(SUNDAY), "from 2026-11-22 13:00+01:00"),
        (Period(None, SUNDAY), "until 2026-11-22 13:00+01:00"),
    ],
)
def test_a_period_may_be_open(period: Period, text: str) -> None:
    assert shown_period(period, BERLIN) == text


def test_a_time_beyond_every_calendar_is_shown_as_its_number() -> None:
    assert shown(1e15, BERLIN) == "1000000000000000 s after 1970"


def test_what_is_typed_is_read_back_to_the_millisecond() -> None:
    at_s = 1_795_000_000.123
    assert appointment(typed(at_s, BERLIN), "+1h", now_s=SUNDAY, zone=NEW_YORK).start_s == at_s


def test_flags_are_on_full_minutes_within_the_period() -> None:
    said = flags(Period(SUNDAY + 0.5, SUNDAY + 7259.5), BERLIN)
    assert said == "--start 2026-11-22T13:01+01:00 --end 2026-11-22T15:00+01:00"


def test_flags_of_an_hour_to_the_second_keep_it() -> None:
    said = flags(Period(SUNDAY + 1, SUNDAY + 3601), BERLIN)
    assert said == "--start 2026-11-22T13:00:01+01:00 --end 2026-11-22T14:00:01+01:00"

"""Times as a person types them, and as they are shown. Now and the zone come in; None is this machine's zone.

An appointment's start may be the whole of it (`tomorrow 02:00-04:00`), or `--end` says the rest.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo

from ble_ota.errors import UsageError
from ble_ota.mqtt import APPOINTMENT_MIN_S, Period

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
YEARS = range(1971, 9000)  # in which every machine can reckon, with its zone
ABBREVIATED = 3  # letters that a weekday has at least: "mon"
FORMS = "Write 2026-11-24T02:00, 2026-11-24T02:00+01:00, `22:00`, `tomorrow 02:00` or `friday 22:00`"

_CLOCK = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)", re.ASCII)
_NAMED = re.compile(rf"(?:(?P<day>[a-z]+)\s+)?{_CLOCK.pattern}", re.ASCII)
_AFTER = re.compile(r"\+\s*(?:(?P<hours>\d{1,5})\s*h)?\s*(?:(?P<minutes>\d{1,6})\s*m(?:in)?)?", re.ASCII)
_DASH = re.compile(r"\s*[\u2013\u2014]\s*|\s+-\s+|\s+to\s+")
_HYPHEN = re.compile(rf"(?P<start>.*\d:[0-5]\d)-(?P<end>{_CLOCK.pattern})", re.ASCII)


def appointment(start: str, end: str | None, *, now_s: float, zone: tzinfo | None) -> Period:
    """Read an appointment; whether it keeps the rules is `mqtt.misfit`'s business.

    Args:
        start: A time, or a whole range where `end` is None.
        end: A time; `04:00` is the first such time from the start on, `+2h` is counted from it.
        now_s: Unix seconds, for `22:00` and `tomorrow`.
        zone: Where a time without a zone is meant.

    Raises:
        UsageError: One of them is no time, or none that exists, or the end is missing or said twice.
    """
    first, last = _halves(start.strip(), None if end is None else end.strip())
    begin_s, its_zone = _moment(first, now_s, zone)
    return Period(begin_s, _end(last, begin_s, now_s, its_zone))


def _halves(start: str, end: str | None) -> tuple[str, str]:
    split = _split(start)
    if end is not None and split is None:
        return start, end
    if end is not None:
        msg = f"`{start}` has an end already, and `--end` says another one"
        raise UsageError(msg, hint="Leave out one of them")
    if split is None:
        msg = f"an appointment needs an end, and `{start}` has none"
        raise UsageError(
            msg, hint='Pass `--end`, for example `--end +2h`, or a range: `--start "tomorrow 02:00-04:00"`'
        )
    return split


def _split(text: str) -> tuple[str, str] | None:
    """The two ends of a range; `02:00-05:00` after a date is a time with its zone, as ISO 8601 has it."""
    if len(parts := _DASH.split(text, maxsplit=1)) == 2:
        return parts[0], parts[1]
    found = _HYPHEN.fullmatch(text)
    return (found["start"], found["end"]) if found and _iso(text) is None else None


def _end(text: str, begin_s: float, now_s: float, zone: tzinfo | None) -> float:
    if (after := _AFTER.fullmatch(text)) and (after["hours"] or after["minutes"]):
        return begin_s + int(after["hours"] or 0) * 3600 + int(after["minutes"] or 0) * 60
    if clock := _CLOCK.fullmatch(text):
        begin = datetime.fromtimestamp(begin_s, zone).replace(tzinfo=None)
        wall = _on(begin.date(), clock, text)
        return _at(wall if wall >= begin.replace(second=0, microsecond=0) else wall + timedelta(days=1), zone)
    return _moment(text, now_s, zone)[0]


def _moment(text: str, now_s: float, zone: tzinfo | None) -> tuple[float, tzinfo | None]:
    """A time, and the zone it was meant in."""
    if (iso := _iso(text)) is not None:
        return (iso.timestamp(), iso.tzinfo) if iso.tzinfo else (_at(iso, zone), zone)
    if (named := _NAMED.fullmatch(text.lower())) is None:
        raise _no_time(text)
    now = datetime.fromtimestamp(now_s, zone).replace(tzinfo=None)
    walls = [_on(day, named, text) for day in _days(named["day"], now.date(), text)]
    return _at(next((wall for wall in walls if wall > now), walls[-1]), zone), zone


def _iso(text: str) -> datetime | None:
    """A date with a time of day, by ISO 8601; a date alone is no time."""
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return found if found.year in YEARS and not _is_date(text) else None


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _days(word: str | None, today: date, text: str) -> list[date]:
    """The days that are meant, nearest first."""
    if word is None:
        return [today, today + timedelta(days=1)]
    if word in ("today", "tomorrow"):
        return [today + timedelta(days=word == "tomorrow")]
    number = next((n for n, name in enumerate(WEEKDAYS) if len(word) >= ABBREVIATED and name.startswith(word)), None)
    if number is None:
        raise _no_time(text)
    nearest = today + timedelta(days=(number - today.weekday()) % 7)
    return [nearest, nearest + timedelta(days=7)]


def _on(day: date, clock: re.Match[str], text: str) -> datetime:
    try:
        return datetime(day.year, day.month, day.day, int(clock["hour"]), int(clock["minute"]))
    except ValueError:
        raise _no_time(text) from None


def _at(wall: datetime, zone: tzinfo | None) -> float:
    """Unix seconds of a time on the wall; of two that a change of the clocks makes, the first."""
    at_s = (wall.astimezone() if zone is None else wall.replace(tzinfo=zone)).timestamp()
    if datetime.fromtimestamp(at_s, zone).replace(tzinfo=None) != wall:
        msg = f"{wall:%Y-%m-%d %H:%M} does not exist: the clocks are set forward over it"
        raise UsageError(msg, hint=f"The same moment by the new time is {typed(at_s, zone)}")
    return at_s


def _no_time(text: str) -> UsageError:
    return UsageError(f"`{text}` is no time", hint=FORMS)


# ---------------------------------------------------------------- shown


def shown(at_s: float, zone: tzinfo | None) -> str:
    """A time for people, to the minute, always with its distance from UTC."""
    moment = _local(at_s, zone)
    return f"{at_s:.0f} s after 1970" if moment is None else moment.isoformat(" ", "minutes")


def shown_period(period: Period, zone: tzinfo | None) -> str:
    """A period for people."""
    start, end = (None if s is None else shown(s, zone) for s in (period.start_s, period.end_s))
    if start and end:
        return f"{start} to {end}"
    return f"from {start}" if start else f"until {end}" if end else "open"


def typed(at_s: float, zone: tzinfo | None) -> str:
    """A time as `appointment` reads it back, without a loss; seconds only where there are some."""
    moment = _local(at_s, zone)
    if moment is None:
        return str(at_s)
    return moment.isoformat(timespec="auto" if moment.second or moment.microsecond else "minutes")


def flags(period: Period, zone: tzinfo | None) -> str:
    """A period that has both ends as it is typed; on full minutes, where an hour and more is left then."""
    start_s, end_s = period.start_s or 0.0, period.end_s or 0.0
    whole = -(-start_s // 60) * 60, end_s // 60 * 60
    if whole[1] - whole[0] >= APPOINTMENT_MIN_S:
        start_s, end_s = whole
    return f"--start {typed(start_s, zone)} --end {typed(end_s, zone)}"


def _local(at_s: float, zone: tzinfo | None) -> datetime | None:
    """None where it is beyond every calendar, as what a server says may be."""
    try:
        return datetime.fromtimestamp(at_s, UTC).astimezone(zone)
    except (OverflowError, OSError, ValueError):
        return None

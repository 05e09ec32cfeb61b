from __future__ import annotations

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from ble_ota.errors import UsageError
from ble_ota.ledger import Changes
from ble_ota.ledger.outbox import keep, resolve
from ble_ota.ledger.runs import begin, finish, put_mark, write
from ble_ota.ledger.seek import LONG_AGO_S, belongs, entries, find, last_mark, listed, open_runs, pending, unfinished
from ble_ota.model import Mark
from tests.ledger.words import ADDRESS, DEVICE, SHA, ending, entry, report, started

KEYS = Changes(product_key="p11", device_key="d1", address=ADDRESS)
APPROVED = Changes(**KEYS, approved_by="ada")


def put(
    connection: sa.Connection, run_id: str, changes: Changes, verdict: str | None = None, *, at_s: float = 1.0
) -> None:
    """One whole run."""
    begin(connection, started(run_id), now_s=at_s)
    write(connection, run_id, [entry(0)], changes)
    if verdict:
        finish(connection, run_id, [], ending(verdict), now_s=at_s)


def history(connection: sa.Connection, **other: object) -> list[str]:
    wanted = {"device": None, "of": "", "only_open": False, "limit": 50, "before": "", **other}
    return [row.id for row in listed(connection, **wanted)]  # type: ignore[arg-type]


def left(connection: sa.Connection, product_key: str = "p11", device_key: str = "d1", address: str = "") -> str | None:
    found = pending(connection, product_key=product_key, device_key=device_key, address=address)
    return found.id if found else None


# ---------------------------------------------------------------- those without a verdict


def test_open_runs_are_those_of_the_device_without_a_verdict(connection: sa.Connection) -> None:
    for name, known in {
        "first": APPROVED,
        "second": KEYS,
        "other": Changes(product_key="p11", device_key="d2"),
    }.items():
        put(connection, name, known)
    put(connection, "ended", APPROVED, "ERROR")
    put(connection, "without keys", Changes(address=ADDRESS.lower()))
    begin(connection, started("early"), now_s=1.0)
    here = belongs(product_key="p11", device_key="d1", address=ADDRESS)
    assert [row.id for row in open_runs(connection, here)] == ["without keys", "second", "first"]


# ---------------------------------------------------------------- by id


PREFIXES = {"abcd-1": "abcd-1", "abcd": "abcd-1", "abce": "abce-1", "abc": None, "": None}
STRANGE = dict.fromkeys(("ABCD", "abc%", "____", "xyz9", "abcd-1-and-more"))


@pytest.mark.parametrize(("asked", "found"), (PREFIXES | STRANGE).items())
def test_a_run_is_found_by_its_id_or_the_beginning_of_it(
    asked: str, found: str | None, connection: sa.Connection
) -> None:
    for name in ("abcd-1", "abce-1"):
        begin(connection, started(name), now_s=1.0)
    row = find(connection, asked)
    assert (row.id if row else None) == found


def test_a_beginning_of_several_runs_is_refused_with_their_names(connection: sa.Connection) -> None:
    for name in ("abcd-1", "abcd-2", "other"):
        begin(connection, started(name), now_s=1.0)
    with pytest.raises(UsageError, match=r"several runs: abcd-2, abcd-1$"):
        find(connection, "abcd")


def test_signs_that_sql_takes_for_any_letter_hide_nothing(connection: sa.Connection) -> None:
    for name in ("ab_d-1", *(f"ab{n}d-1" for n in range(9))):
        begin(connection, started(name), now_s=1.0)
    row = find(connection, "ab_d")
    assert row is not None
    assert row.id == "ab_d-1"


def test_a_whole_id_wins_over_those_it_is_the_beginning_of(connection: sa.Connection) -> None:
    for name in ("abcd", "abcd-2"):
        begin(connection, started(name), now_s=1.0)
    row = find(connection, "abcd")
    assert row is not None
    assert row.id == "abcd"


def test_of_many_runs_that_begin_alike_only_some_are_named(connection: sa.Connection) -> None:
    for number in range(9):
        begin(connection, started(f"abcd-{number}"), now_s=1.0)
    with pytest.raises(UsageError, match=r"abcd-8, abcd-7, abcd-6, abcd-5, abcd-4, …$"):
        find(connection, "abcd")


# ---------------------------------------------------------------- lists


def test_runs_are_listed_newest_first_whatever_the_clock_said(connection: sa.Connection) -> None:
    for name, at_s in (("a", 300.0), ("b", 100.0), ("c", 200.0)):
        put(connection, name, KEYS, at_s=at_s)
    assert history(connection) == ["c", "b", "a"]


def test_a_list_ends_at_its_limit_and_goes_on_before_a_run(connection: sa.Connection) -> None:
    for name in "abcde":
        put(connection, name, KEYS)
    assert history(connection, limit=2) == ["e", "d"]
    assert history(connection, limit=2, before="d") == ["c", "b"]
    assert history(connection, before="nonsense") == []


@pytest.mark.parametrize("of", ["d1", "p11/d1", ADDRESS, ADDRESS.lower(), "Lamp"])
def test_runs_of_a_device_are_found_by_any_of_its_names(of: str, connection: sa.Connection) -> None:
    put(connection, "mine", Changes(**KEYS, name="Lamp"))
    put(connection, "other", Changes(product_key="p11", device_key="d2", address="AA:BB:CC:DD:EE:02", name="Lamp 2"))
    assert history(connection, of=of) == ["mine"]


def test_a_list_may_be_of_one_device(connection: sa.Connection) -> None:
    put(connection, "mine", KEYS)
    put(connection, "product", Changes(product_key="p12", device_key="d1"))
    put(connection, "device", Changes(product_key="p11", device_key="d2"))
    assert history(connection, device=DEVICE) == ["mine"]


def test_a_list_may_be_of_open_runs_alone(connection: sa.Connection) -> None:
    put(connection, "ended", KEYS, "PASS")
    put(connection, "open", KEYS)
    assert history(connection, only_open=True) == ["open"]


def test_events_are_those_of_the_run(connection: sa.Connection) -> None:
    put(connection, "a", KEYS)
    put(connection, "b", KEYS)
    write(connection, "a", [entry(10), entry(11)], Changes())
    assert [e.seq for e in entries(connection, "a")] == [0, 10, 11]


# ---------------------------------------------------------------- what was left


@pytest.mark.parametrize("verdict", [None, "ERROR", "TIMEOUT", "ABORTED"])
def test_an_approved_run_that_came_to_nothing_is_carried_on(verdict: str | None, connection: sa.Connection) -> None:
    put(connection, "a", APPROVED, verdict)
    assert left(connection) == "a"


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "DECLINED", "NOTHING_TO_DO", "REFUSED"])
def test_a_run_that_came_to_something_is_not_carried_on(verdict: str, connection: sa.Connection) -> None:
    put(connection, "a", APPROVED, verdict)
    assert left(connection) is None


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "DECLINED", "NOTHING_TO_DO"])
def test_a_final_verdict_of_a_newer_run_ends_the_older_one(verdict: str, connection: sa.Connection) -> None:
    put(connection, "a", APPROVED, "ERROR")
    put(connection, "b", KEYS, verdict)
    assert left(connection) is None


@pytest.mark.parametrize("verdict", [None, "ERROR", "TIMEOUT", "ABORTED", "REFUSED"])
def test_a_newer_run_that_nobody_approved_does_not_stand_in_the_way(
    verdict: str | None, connection: sa.Connection
) -> None:
    put(connection, "a", APPROVED, "ERROR")
    put(connection, "b", KEYS, verdict)
    assert left(connection) == "a"


def test_the_newest_of_several_is_carried_on(connection: sa.Connection) -> None:
    put(connection, "a", APPROVED, "ERROR", at_s=9.0)
    put(connection, "b", APPROVED, at_s=1.0)
    assert left(connection) == "b"


def test_a_refusal_of_the_newest_does_not_bring_the_older_one_back(connection: sa.Connection) -> None:
    put(connection, "a", APPROVED, "ERROR")
    put(connection, "b", APPROVED, "REFUSED")
    assert left(connection) is None


def test_a_final_verdict_of_an_older_run_does_not_count(connection: sa.Connection) -> None:
    put(connection, "a", APPROVED, "PASS")
    put(connection, "b", APPROVED, "ERROR")
    assert left(connection) == "b"


def test_a_run_nobody_approved_is_not_carried_on(connection: sa.Connection) -> None:
    put(connection, "a", KEYS)
    assert left(connection) is None


OTHER = ("p11", "d2", ADDRESS)
ELSEWHERE = "AA:BB:CC:DD:EE:99"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("p11", "d1", ADDRESS), "a"),
        (("p11", "d1", ELSEWHERE), "a"),  # a device may change its address
        (("p11", "d1", ""), "a"),
        (("", "", ADDRESS.lower()), "a"),
        (("", "", ELSEWHERE), None),
        (OTHER, None),  # the keys are proven by the login; the address is a hint
        (("p12", "d1", ADDRESS), None),
        (("", "", ""), None),
    ],
)
def test_a_device_is_told_by_its_keys_and_else_by_its_address(
    asked: tuple[str, str, str], found: str | None, connection: sa.Connection
) -> None:
    put(connection, "a", APPROVED)
    assert left(connection, *asked) == found


def test_a_run_without_keys_is_told_by_its_address(connection: sa.Connection) -> None:
    put(connection, "a", Changes(address=ADDRESS, approved_by="ada"))
    assert left(connection, "p11", "d1", ADDRESS) == "a"
    assert left(connection, "p11", "d1", ELSEWHERE) is None
    assert left(connection, "p11", "d1", "") is None


def test_runs_of_unknown_devices_have_nothing_in_common(connection: sa.Connection) -> None:
    put(connection, "a", Changes(approved_by="ada"))
    assert left(connection, "", "", "") is None


def unfinished_ids(connection: sa.Connection) -> Sequence[str]:
    return [row.id for row in unfinished(connection)]


def test_a_run_that_a_person_settled_is_not_carried_on_and_neither_is_one_before_it(connection: sa.Connection) -> None:
    for name in ("run-1", "run-2"):
        put(connection, name, APPROVED, "ERROR")
    keep(connection, report("run-2", outcome="succeeded"), now_s=2.0)
    assert left(connection) == "run-2"
    resolve(connection, [report("run-2", component="1", outcome="failed", resolved_by="eve")], now_s=3.0)
    assert left(connection) is None
    assert unfinished(connection) == []
    put(connection, "run-3", APPROVED, "ERROR")
    assert left(connection) == "run-3"


def test_what_is_unfinished_is_one_run_per_device_newest_first(connection: sa.Connection) -> None:
    put(connection, "d0", Changes(product_key="p11", device_key="d0", approved_by="ada"))
    put(connection, "d1 old", APPROVED, "ERROR")
    put(connection, "d2", Changes(product_key="p11", device_key="d2", approved_by="ada"), at_s=99.0)
    put(connection, "d3", Changes(product_key="p11", device_key="d3", approved_by="ada"), "PASS")
    put(connection, "d1 new", APPROVED, "TIMEOUT")
    put(connection, "d4", Changes(product_key="p11", device_key="d4"))
    assert unfinished_ids(connection) == ["d1 new", "d2", "d0"]


def test_a_device_that_changed_its_address_is_unfinished_once(connection: sa.Connection) -> None:
    put(connection, "a", APPROVED, "ERROR")
    put(connection, "b", Changes(product_key="p11", device_key="d1", address=ELSEWHERE, approved_by="ada"), "ERROR")
    assert unfinished_ids(connection) == ["b"]


def test_a_pass_without_approval_of_its_own_finishes_a_device(connection: sa.Connection) -> None:
    put(connection, "a", APPROVED, "ERROR")
    put(connection, "b", KEYS, "NOTHING_TO_DO")
    assert unfinished_ids(connection) == []


# ---------------------------------------------------------------- marks


def marked(
    connection: sa.Connection, *, now_s: float, sha256: str = SHA, device: tuple[str, str] = DEVICE
) -> Mark | None:
    return last_mark(connection, device, "0", 1, sha256=sha256, now_s=now_s)


@pytest.fixture
def mark(connection: sa.Connection) -> Mark:
    mark = Mark("0", 1, SHA, 65_536, "200 next", age_s=2.0)
    begin(connection, started(), now_s=1.0)
    put_mark(connection, "run-1", DEVICE, mark, now_s=100.0)
    return mark


def test_a_mark_is_as_old_as_the_clock_says(mark: Mark, connection: sa.Connection) -> None:
    assert marked(connection, now_s=103.0) == Mark("0", 1, SHA, 65_536, "200 next", age_s=5.0)


def test_a_mark_of_another_image_is_none(mark: Mark, connection: sa.Connection) -> None:
    assert marked(connection, now_s=103.0, sha256="00" * 32) is None


@pytest.mark.parametrize("device", [("p11", "d2"), ("p12", "d1"), ("", "")])
def test_a_mark_of_another_device_is_none(device: tuple[str, str], mark: Mark, connection: sa.Connection) -> None:
    assert marked(connection, now_s=103.0, device=device) is None


@pytest.mark.parametrize(("component", "place"), [("1", 1), ("0", 0)])
def test_a_mark_of_another_file_is_none(component: str, place: int, mark: Mark, connection: sa.Connection) -> None:
    assert last_mark(connection, DEVICE, component, place, sha256=SHA, now_s=103.0) is None


def test_a_mark_from_the_future_is_very_old(mark: Mark, connection: sa.Connection) -> None:
    found = marked(connection, now_s=97.9)
    assert found is not None
    assert found.age_s == LONG_AGO_S

from __future__ import annotations

from dataclasses import replace

import pytest

from ble_ota.ledger.chain import BEGINNING, BODY_MAX, SEALED, beginning, bounded, follow, seal
from ble_ota.ledger.schema import canonical
from tests.ledger.words import entry

ROW: dict[str, object] = dict.fromkeys((*BEGINNING, *SEALED), "")
ENTRY = entry(3, address="AA")


@pytest.mark.parametrize("column", BEGINNING)
def test_each_column_of_the_beginning_is_in_the_first_hash(column: str) -> None:
    assert beginning({**ROW, column: "x"}) != beginning(ROW)


@pytest.mark.parametrize("column", SEALED)
def test_each_column_that_became_known_is_in_the_seal(column: str) -> None:
    assert seal("", {**ROW, column: "x"}) != seal("", ROW)


@pytest.mark.parametrize(
    "other",
    [replace(ENTRY, seq=4), replace(ENTRY, at_s=0.5), replace(ENTRY, name="x"), replace(ENTRY, body={"address": "AB"})],
    ids=["seq", "at_s", "name", "body"],
)
def test_each_part_of_an_event_is_in_its_hash(other: object) -> None:
    assert follow("", other) != follow("", ENTRY)  # type: ignore[arg-type]


def test_the_hash_before_is_in_the_next_one() -> None:
    assert follow("a", ENTRY) != follow("b", ENTRY)


def test_the_hash_is_the_one_that_old_ledgers_hold() -> None:
    # by sha256sum, of 64 zeros and {"at_s":1.5,"body":{"a":"\\u00e4","b":1},"name":"link.connected","seq":3}
    written = "6058a708587845b4bf6b9e85612a2d1e0d793250d86626678958ecddc8908b2e"
    assert follow("00" * 32, replace(ENTRY, at_s=1.5, body={"b": 1, "a": "ä"})) == written


def test_a_body_at_the_bound_is_kept_whole() -> None:
    body = {"x": "y" * (BODY_MAX - len('{"x":""}'))}
    assert bounded(body) == body


def test_a_body_over_the_bound_is_cut_and_says_so() -> None:
    body = {"x": '"' * BODY_MAX}
    kept = bounded(body)
    assert (kept["truncated"], kept["bytes"]) == (True, len(canonical(body)))
    assert kept["begins"].startswith('{"x":"\\"')
    assert len(canonical(kept)) <= BODY_MAX

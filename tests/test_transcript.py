from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.errors import UsageError
from ble_ota.link import uuid16
from ble_ota.model import Algorithm, ComponentKind, Mark
from ble_ota.transcript import FILES_MAX, LINE_MAX, Entry, parse
from tests.taped import ADVERT, DEVICE, END, HEAD, PART, Line, heard, link, out, written

MARK = {"file": 0, "offset": 200, "learned": "200 echo", "age_s": 3.5}


def test_the_head_says_who_wrote_it() -> None:
    seen = parse(written([]))
    assert (seen.tool, seen.command) == ("0.1.0", "update")


def test_the_device_comes_with_what_a_replay_needs() -> None:
    seen = parse(written([]))
    assert (seen.driver, seen.product_key, seen.device_key) == ("quecthing", "p11vWQ", "B0E0C0DE0001")
    assert (seen.options, seen.patience) == ({"login": False}, {"links": 2})


def test_the_advertisement_is_as_it_was_seen() -> None:
    advert = parse(written([])).advert
    assert advert is not None
    assert (advert.address, advert.name, advert.rssi_dbm) == ("C0:DE:B0:E0:00:01", "QUEC_BLE_0001", -50)
    assert advert.services == (uuid16(0x180A),)
    assert advert.manufacturer == {0x5551: bytes.fromhex("454300010670313176575106b0e0c0de0001001004")}


def test_a_signal_strength_that_was_not_known_stays_unknown() -> None:
    advert = parse(written([], device=DEVICE | {"advert": ADVERT | {"rssi_dbm": None}})).advert
    assert advert is not None
    assert advert.rssi_dbm is None


def test_a_link_has_what_happened_on_it_in_order() -> None:
    (seen,) = parse(written(link(out(0x7040), heard(0x7041), at_s=2.5, purpose="verify", left="link_lost"))).links
    assert (seen.purpose, seen.began_s, seen.reason) == ("verify", 2.5, "link_lost")
    assert seen.uuids == (uuid16(0x9C40), uuid16(0x2A26))
    words: list[Line] = [{"t": 2.5, **out(0x7040)}, {"t": 2.5, **heard(0x7041)}]
    assert seen.entries == [Entry(2.5, "out", words[0]), Entry(2.5, "in", words[1])]


def test_a_link_that_never_stood_is_there_and_empty() -> None:
    (seen,) = parse(written([{"t": 1, "link": "transfer", "failed": "link_lost"}])).links
    assert (seen.failed, seen.uuids, seen.entries) == ("link_lost", (), [])


def test_a_component_is_read_with_its_files() -> None:
    (part,) = parse(written([{"t": 1, "part": PART}])).parts
    assert (part.no, part.kind, part.target_version) == ("MAIN", ComponentKind.MODULE, "1.1.0")
    assert (part.versions, part.files, part.mark) == ({"": "1.0.0"}, ((3, (Algorithm.SHA256,), "f"),), None)


def test_where_an_earlier_run_had_left_a_component_is_read() -> None:
    (part,) = parse(written([{"t": 1, "part": PART | {"mark": MARK}}])).parts
    assert part.mark == Mark("MAIN", 0, "", 200, "200 echo", 3.5)


def test_the_developer_centers_word_in_an_older_transcript_is_passed_over() -> None:
    older: list[Line] = [{"t": 1, "elsewhere": None}, {"t": 2, "elsewhere": "1.1.0"}]
    assert parse(written(older)) == parse(written([]))


def test_the_end_is_the_verdict() -> None:
    seen = parse(written([], end={"t": 9, "end": {"verdict": "FAIL", "reason": "declined", "exit_code": 32}}))
    assert (seen.verdict, seen.reason, seen.exit_code) == ("FAIL", "declined", 32)


def test_a_run_that_met_no_device_is_a_transcript_too() -> None:
    assert parse([json.dumps(HEAD), json.dumps(END)]).advert is None


def refused(lines: list[str]) -> str:
    with pytest.raises(UsageError) as caught:
        parse(lines)
    return str(caught.value)


@pytest.mark.parametrize(
    "first", ["", "firmware", "[]", "{}", "1", '{"v":1}', '{"v":1,"transcript":"theirs"}', "[" * 50_000, "1" * 5000]
)
def test_a_file_that_is_none_is_refused(first: str) -> None:
    assert "this is no whole transcript" in refused([first, *written([])[1:]])


def test_an_empty_file_is_refused() -> None:
    assert "its first line does not say so" in refused([])


def test_a_newer_version_is_named() -> None:
    assert "version 2" in refused([json.dumps(HEAD | {"v": 2}), *written([])[1:]])


@pytest.mark.parametrize("left", range(1, 6))
def test_a_transcript_that_was_cut_off_is_refused(left: int) -> None:
    lines = written(link(out(0x7040)))
    assert left < len(lines)
    assert "its end is missing" in refused(lines[:left])


def test_half_a_line_is_named_by_its_number() -> None:
    lines = written([])
    assert "line 3" in refused([*lines[:-1], lines[-1][:20]])


def test_a_line_without_end_is_refused() -> None:
    assert "line 3" in refused(written([{"t": 1, "elsewhere": "x" * LINE_MAX}]))


def test_nothing_follows_the_end() -> None:
    assert "follows its end" in refused([*written([]), json.dumps(END)])


@pytest.mark.parametrize(
    "lines",
    [
        [{"t": 1, **out(0x7040)}],  # on no link
        [{"t": 1, "unlinked": ""}],
        [{"t": 1, "hello": 1}],
        [{"t": 1, "elsewhere": 3}],
        [{"t": 1, "device": DEVICE}],  # a second one
        [*link()[:-1], *link()],  # a link in a link
        [*link()[:-1], {"t": 1, "part": PART}],
    ],
    ids=str,
)
def test_a_line_out_of_place_is_refused(lines: list[Line]) -> None:
    assert "out of place" in refused(written(lines))


def test_a_link_before_its_device_is_refused() -> None:
    assert "out of place" in refused([json.dumps(HEAD), json.dumps({"t": 1, "link": "identify", "failed": "x"})])


@pytest.mark.parametrize("at_s", [None, "1", True, -1, 1e9, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(at_s: object) -> None:
    assert "'t'" in refused(written([{"t": at_s, "elsewhere": None}]))


def wrong(*path: str | int, to: object) -> Callable[[], list[str]]:
    """A good transcript with one thing in it changed."""

    def lines() -> list[str]:
        good: list[Any] = [HEAD, {"t": 0, "device": DEVICE}, {"t": 0, "part": PART | {"mark": MARK}}, *link(), END]
        whole: Any = json.loads(json.dumps(good))
        place = whole
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to
        return [json.dumps(line) for line in whole]

    return lines


@pytest.mark.parametrize(
    "lines",
    [
        wrong(0, "tool", to=1),
        wrong(1, "device", "driver", to=None),
        wrong(1, "device", "options", to=[]),
        wrong(1, "device", "advert", "services", to=""),
        wrong(1, "device", "advert", "manufacturer", to={"x": "00"}),
        wrong(1, "device", "advert", "manufacturer", to={"1": "0"}),
        wrong(1, "device", "advert", "manufacturer", to={"1": 0}),
        wrong(2, "part", "kind", to="CAR"),
        wrong(2, "part", "files", to=[]),
        wrong(2, "part", "files", to=[1]),
        wrong(2, "part", "files", to=PART["files"] * (FILES_MAX + 1)),  # type: ignore[operator]
        wrong(2, "part", "files", 0, "size", to=0),
        wrong(2, "part", "files", 0, "size", to=10**9),
        wrong(2, "part", "files", 0, "size", to=True),
        wrong(2, "part", "files", 0, "algorithms", to=[]),
        wrong(2, "part", "files", 0, "algorithms", to=["crc8"]),
        wrong(2, "part", "mark", "offset", to="1"),
        wrong(3, "characteristics", to=[{"uuid": 1}]),
        wrong(5, "end", "exit_code", to="0"),
        wrong(5, "end", "verdict", to=""),
    ],
)
def test_a_member_that_cannot_be_meant_is_refused(lines: Callable[[], list[str]]) -> None:
    assert "no whole transcript" in refused(lines())


def test_the_good_one_of_these_is_read() -> None:
    assert parse(wrong(0, "tool", to="0.1.0")()).verdict == "PASS"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["t", "link", "out", "in", "part", "device", "unlinked", "end", "elsewhere", "failed", "error"])


@given(st.lists(st.dictionaries(KEYS, JSON, max_size=4), max_size=6))
def test_any_lines_are_read_or_refused(lines: list[dict[str, Any]]) -> None:
    with suppress(UsageError):
        parse([json.dumps(HEAD), json.dumps({"t": 0, "device": DEVICE}), *map(json.dumps, lines)])

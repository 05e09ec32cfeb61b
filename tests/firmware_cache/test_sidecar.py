from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_cache import sidecar
from firmware_cache.owner import Owner
from firmware_cache.sidecar import Sidecar

OWNER = Owner("machine", "boot", 7, "12")
KNOWN = Sidecar(1000, '"v1"', OWNER)
GOOD = {"size_bytes": 1000, "etag": '"v1"', "owner": {"machine": "m", "boot": "b", "pid": 7, "started": "12"}}


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "x.part"


@pytest.mark.parametrize("known", [KNOWN, Sidecar(1000, None, OWNER)])
def test_what_was_written_is_read(part: Path, known: Sidecar) -> None:
    sidecar.write(part, known)
    assert sidecar.read(part) == known


def test_it_lies_beside_the_part(part: Path) -> None:
    sidecar.write(part, KNOWN)
    assert [path.name for path in part.parent.iterdir()] == ["x.part.json"]


def test_it_takes_the_place_of_an_earlier_one(part: Path) -> None:
    sidecar.write(part, KNOWN)
    sidecar.write(part, Sidecar(2, None, OWNER))
    assert sidecar.read(part) == Sidecar(2, None, OWNER)


def test_where_there_is_none_nothing_is_known(part: Path) -> None:
    assert sidecar.read(part) is None


GARBLED = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "no UTF-8": b"\xff\xfe\xff",
    "a field missing": json.dumps({**GOOD, "owner": {}}).encode(),
    "no owner": json.dumps({**GOOD, "owner": 3}).encode(),
    "no size": json.dumps({**GOOD, "size_bytes": "many"}).encode(),
    "infinite": b'{"size_bytes": Infinity, "etag": null, "owner": {}}',
    "no process": json.dumps({**GOOD, "owner": {**GOOD["owner"], "pid": "x"}}).encode(),  # type: ignore[dict-item]
    "etag no text": json.dumps({**GOOD, "etag": 3}).encode(),
    "too long": json.dumps({**GOOD, "more": "x" * sidecar.SIZE_MAX}).encode(),
    "too deep": b"[" * 4000,
}


@pytest.mark.parametrize("name", GARBLED)
def test_from_a_garbled_one_nothing_is_known(part: Path, name: str) -> None:
    sidecar.beside(part).write_bytes(GARBLED[name])
    assert sidecar.read(part) is None


def test_a_good_one_is_read(part: Path) -> None:
    sidecar.beside(part).write_text(json.dumps(GOOD))
    assert sidecar.read(part) is not None


@pytest.mark.parametrize("etag", ['W/"v1"', "v1", '"a\r\nHost: x"'])
def test_an_etag_that_may_not_be_sent_is_not_read(part: Path, etag: str) -> None:
    sidecar.beside(part).write_text(json.dumps({**GOOD, "etag": etag}))
    found = sidecar.read(part)
    assert found is not None
    assert found.etag is None


def test_a_write_that_fails_leaves_nothing_behind(part: Path) -> None:
    sidecar.beside(part).mkdir()
    with pytest.raises(OSError, match="directory"):
        sidecar.write(part, KNOWN)
    assert [path.name for path in part.parent.iterdir()] == ["x.part.json"]

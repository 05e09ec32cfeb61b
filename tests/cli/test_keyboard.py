from __future__ import annotations

import os
import pty
import sys
from collections.abc import Iterator

import pytest

from ble_ota.cli.keyboard import drop_typed_ahead


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of a terminal where a person types; the other end is stdin."""
    typed, terminal = pty.openpty()
    with os.fdopen(terminal, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield typed
    os.close(typed)


def test_lines_and_halves_of_lines_that_were_typed_before_are_dropped(person: int) -> None:
    os.write(person, b"y\nyes\ny")
    drop_typed_ahead()
    os.write(person, b"n\n")
    assert os.read(sys.stdin.fileno(), 100) == b"n\n"


def test_a_pipe_keeps_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.write(writes, b"y\n")
    os.close(writes)
    with os.fdopen(reads, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        drop_typed_ahead()
        assert stdin.read() == "y\n"

"""What the ledger's tests have in common: runs and reports made short, a clock to turn, an engine with the schema."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from ble_ota.events import Verdict
from ble_ota.ledger import Changes, Ending, Entry, Report, Started
from ble_ota.ledger.engine import connect
from ble_ota.ledger.migrate import bring_up
from ble_ota.ledger.place import located

DEVICE = ("p11", "d1")
ADDRESS = "AA:BB:CC:DD:EE:01"
SHA = "5a" * 32
HERE = {"product_key": "p11", "device_key": "d1", "address": ADDRESS}
KNOWN = Changes(product_key="p11", device_key="d1", address=ADDRESS)
APPROVED = Changes(**KNOWN, approved_by="ada", fingerprint="f1")


class Clock:
    """Stands still until it is turned."""

    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def started(id: str = "run-1", **other: object) -> Started:  # noqa: A002
    begun = Started(
        id=id,
        command="update",
        asked="d1",
        arguments={"yes": True},
        settings={"deadline_s": 3600.0},
        radio="bleak",
        cloud="eu",
        who="ada@bench-3",
        pid=4711,
        tool="0.1.0",
    )
    return replace(begun, **other)  # type: ignore[arg-type]


def entry(seq: int, name: str = "link.connected", **body: object) -> Entry:
    return Entry(seq, 1_800_000_000.25 + seq, name, body)


def ending(verdict: str = Verdict.PASS, **other: object) -> Ending:
    return replace(Ending(verdict, "done", 0), **other)  # type: ignore[arg-type]


def report(run: str = "run-1", **other: object) -> Report:
    made = Report(
        run=run,
        account="acme",
        product_key=DEVICE[0],
        device_key=DEVICE[1],
        plan_id="plan-1",
        component="0",
        outcome="confirmed",
        versions={"0": "1.0.0"},
    )
    return replace(made, **other)  # type: ignore[arg-type]


@contextmanager
def process(code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Another Python process that runs `code`, prints "held" and waits; killed at the end."""
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


@contextmanager
def engine_at(place: Path | str, *, busy_s: float = 10.0, schema: bool = True) -> Iterator[sa.Engine]:
    """A plain engine: what a test looks with, or does harm with."""
    engine = connect(located(place), busy_s=busy_s)
    try:
        if schema:
            bring_up(engine)
        yield engine
    finally:
        engine.dispose()

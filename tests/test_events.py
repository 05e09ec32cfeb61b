from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, NoReturn, get_type_hints

import pytest
from jsonschema import Draft202012Validator

from ble_ota import events
from ble_ota.cli.run import as_line
from ble_ota.events import Emit, Event, Verdict, recording, silent
from ble_ota.model import (
    Algorithm,
    Blocked,
    Component,
    ComponentKind,
    DeviceInfo,
    Digest,
    FetchPlan,
    PlannedFile,
)
from ble_ota.update import update

SHA256 = "ab" * 32
PLANNED = {
    "no": "fw",
    "kind": "module",
    "target_version": "1.1.0",
    "source_version": "1.0.0",
    "running": None,
    "files": [{"name": "fw.bin", "size": 9, "digests": ["sha256:" + SHA256, "crc32:cbf43926"]}],
    "delta": False,
    "notes": "",
    "sort": 0,
}
EXAMPLES: tuple[Event, ...] = (
    events.RunStarted("update", "0.1.0"),
    events.PlanShown("7", [PLANNED]),
    events.PlanDecided("approved", "--yes"),
    events.ConfirmReported("fw", 2),
    events.DownloadStarted("fw", 9),
    events.DownloadProgress("fw", 4, 9),
    events.DownloadDone("fw", 9, SHA256, cached=True),
    events.ImageVerified("fw", 9, SHA256, "raw"),
    events.LinkConnected("C0:DE:B0:E0:00:01", "transfer"),
    events.LinkLost("the link broke", 1, 3),
    events.TransferStarted("fw", 9),
    events.TransferProgress("fw", 4, 9, 21000, resent=4),
    events.TransferResumed("fw", 4, "device"),
    events.TransferDone("fw", 9),
    events.DeviceRebooting("fw", "disconnected"),
    events.DeviceVerified("fw", "1.1.0", "device"),
    events.StatusReported("fw", "succeeded", 9),
    events.ReportKept("fw", "succeeded", "no number is set for it"),
    events.Warned("something"),
    events.RunFinished(
        Verdict.PASS, "verified", 0, "runs", "", [{"component": "fw", "state": "verified"}], 9, 0, {"transfer": 0.5}
    ),
)
SCHEMA: dict[str, Any] = json.loads(files("ble_ota").joinpath("events.schema.json").read_text())
LINES = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
ENVELOPE = ["v", "ts", "seq", "event", "run", "device"]
KINDS = {str: "string", int: "integer", bool: "boolean"}
CLASSES = [
    cls for cls in vars(events).values() if isinstance(cls, type) and issubclass(cls, Event) and cls is not Event
]
BY_CLASS = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.name)
BY_EXAMPLE = pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.name)
RESULT = {"v": 1, "event": "result", "command": "cache ls", "data": [1, None, {"a": "b"}]}
ERROR = {"v": 1, "event": "error", "exit_code": 20, "message": "no", "hint": ""}


async def refused(plan: FetchPlan, emit: Emit) -> None:
    """Let the main path show `plan`, and policy refuse it."""

    async def fetch_plan(_device: DeviceInfo) -> FetchPlan:
        return plan

    async def never(*_given: object) -> NoReturn:
        raise AssertionError

    device = DeviceInfo("C0:DE:B0:E0:00:01", "QUEC_BLE_0001", "pk", "dk", {"mcu": "1.0.0"})
    no: dict[str, Any] = {"consent": never, "report": never, "fetch": never, "install": never}
    await update(device, fetch_plan=fetch_plan, decide=lambda _d, _p: Blocked("no", ""), record=recording(emit), **no)


def line_of(event: Event) -> dict[str, Any]:
    line = as_line(event, run="a1b2", device="pk/dk", seq=17, at=datetime(2026, 1, 2, 3, 4, 5, 6000, UTC))
    parsed: dict[str, Any] = json.loads(json.dumps(line))
    return parsed


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    target: dict[str, Any] = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else {}
    return target | schema


def kind(schema: dict[str, Any]) -> str | list[str]:
    found = resolved(schema)
    if "enum" in found:
        return "string" if all(isinstance(word, str) for word in found["enum"]) else "?"
    told: str | list[str] = found["type"]
    return told


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_event_has_an_example() -> None:
    assert [type(event) for event in EXAMPLES] == CLASSES


def test_names_are_unique() -> None:
    assert len({cls.name for cls in CLASSES}) == len(CLASSES)


@BY_EXAMPLE
def test_an_event_is_plain_json(event: Event) -> None:
    plain = asdict(event)
    assert json.loads(json.dumps(plain)) == plain


@BY_EXAMPLE
def test_the_line_of_an_event_fits_the_schema(event: Event) -> None:
    LINES.validate(line_of(event))


async def test_the_plan_a_run_shows_fits_the_schema() -> None:
    file = PlannedFile("https://x.invalid/f", 9, (Digest(Algorithm.MD5, "00"),), name="fw.bin")
    component = Component("mcu", ComponentKind.MCU, "1.1.0", "1.0.0", (file,))
    shown: list[Event] = []
    await refused(FetchPlan("7", "pk", "dk", (component,)), shown.append)
    LINES.validate(line_of(shown[0]))


@BY_EXAMPLE
def test_a_line_with_one_field_more_does_not_fit(event: Event) -> None:
    assert not LINES.is_valid(line_of(event) | {"more": 1})


@BY_EXAMPLE
def test_a_line_with_one_field_less_does_not_fit(event: Event) -> None:
    line = line_of(event)
    assert [name for name in line if LINES.is_valid({k: v for k, v in line.items() if k != name})] == []


@BY_CLASS
def test_the_schema_has_exactly_the_fields_of_an_event(cls: type[Event]) -> None:
    entry = SCHEMA["$defs"][cls.name]
    assert sorted(entry["properties"]) == sorted(entry["required"]) == sorted(ENVELOPE + [f.name for f in fields(cls)])


@BY_CLASS
def test_the_schema_has_the_types_of_an_event(cls: type[Event]) -> None:
    hints, properties = get_type_hints(cls), SCHEMA["$defs"][cls.name]["properties"]
    plain = {f.name: KINDS[hints[f.name]] for f in fields(cls) if hints[f.name] in KINDS}
    assert {name: kind(properties[name]) for name in plain} == plain


def test_the_schema_lists_every_event_and_no_other() -> None:
    listed = [one["$ref"].removeprefix("#/$defs/") for one in SCHEMA["oneOf"]]
    assert listed == [*(cls.name for cls in CLASSES), "upgrade.changed", "scan.seen", "result", "error"]


def test_the_schema_lists_every_verdict() -> None:
    assert SCHEMA["$defs"]["run.finished"]["properties"]["verdict"]["enum"] == [v.value for v in Verdict]


@pytest.mark.parametrize("line", [RESULT, ERROR])
def test_the_line_of_a_command_that_is_no_run_fits_the_schema(line: dict[str, Any]) -> None:
    LINES.validate(line)


@pytest.mark.parametrize("line", [RESULT | {"more": 1}, ERROR | {"exit_code": "20"}, {"v": 1, "event": "other"}])
def test_another_line_does_not_fit_the_schema(line: dict[str, Any]) -> None:
    assert not LINES.is_valid(line)


@pytest.mark.parametrize(
    "wrong",
    [{"v": 2}, {"ts": "2026-01-02 03:04:05"}, {"seq": 0}, {"event": "run.started"}, {"bytes": -1}, {"bytes": 1.5}],
)
def test_a_wrong_value_does_not_fit_the_schema(wrong: dict[str, Any]) -> None:
    assert not LINES.is_valid(line_of(events.TransferProgress("fw", 4, 9, 21000)) | wrong)


def test_whoever_does_not_listen_is_told_in_vain() -> None:
    assert [silent(event) for event in EXAMPLES] == [None] * len(EXAMPLES)  # type: ignore[func-returns-value]

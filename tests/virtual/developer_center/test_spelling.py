from __future__ import annotations

from typing import Any

import pytest

from ble_ota.virtual.developer_center.spelling import Call, Spelling, said_spelling
from ble_ota.virtual.world import World, WorldError


@pytest.mark.parametrize(
    ("call", "method", "place"),
    [
        ("plan", "GET", "query"),
        ("confirm", "POST", "json"),
        ("details", "POST", "json"),
        ("auto_set", "PUT", "json"),
        ("auto_delete", "DELETE", "query"),
        ("auto_get", "GET", "query"),
    ],
)
def test_each_call_has_its_inferred_spelling(call: str, method: str, place: str) -> None:
    spelled: Call = getattr(Spelling(), call)
    assert (spelled.method, spelled.place, spelled.keys) == (method, place, ("productKey", "deviceKey"))


@pytest.mark.parametrize(
    ("answer", "with_plan", "without"),
    [("object", {"a": 1}, None), ("list", [{"a": 1}], []), ("wrapped", {"list": [{"a": 1}]}, {"list": []})],
)
def test_a_plan_is_wrapped_as_spelled(answer: Any, with_plan: object, without: object) -> None:
    spelling = Spelling(plan_answer=answer)
    assert (spelling.told_plan({"a": 1}), spelling.told_plan(None)) == (with_plan, without)


@pytest.mark.parametrize(("answer", "told"), [("list", [1, 2]), ("wrapped", {"list": [1, 2]})])
def test_details_are_wrapped_as_spelled(answer: Any, told: object) -> None:
    assert Spelling(details_answer=answer).told_details([1, 2]) == told


@pytest.mark.parametrize(
    ("answer", "on", "off"),
    [
        ("boolean", "True", "False"),
        ("number", "1", "0"),
        ("text", "'1'", "'0'"),
        ("isAuto", "{'isAuto': True}", "{'isAuto': False}"),
        ("autoUpgrade", "{'autoUpgrade': 1}", "{'autoUpgrade': 0}"),
    ],
)
def test_the_switch_is_told_as_spelled(answer: Any, on: str, off: str) -> None:
    """By `repr`: true and 1 are equal to Python, and not to JSON."""
    spelling = Spelling(auto_answer=answer)
    assert (repr(spelling.told_auto(on=True)), repr(spelling.told_auto(on=False))) == (on, off)


@pytest.mark.parametrize(
    ("left_out", "told"), [(False, {"successList": [1], "failList": []}), (True, {"successList": [1]})]
)
def test_an_empty_list_is_there_as_spelled(left_out: bool, told: object) -> None:
    assert Spelling(lists_left_out=left_out).told_orders([1], []) == told


# ------------------------------------------------------------------ from a file


def from_file(world: World, text: str) -> Spelling:
    (world.folder / "cloud").mkdir()
    (world.folder / "cloud" / "spelling.json").write_text(text, "utf-8")
    return said_spelling(world)


def test_a_world_without_a_file_spells_as_inferred(world: World) -> None:
    assert said_spelling(world) == Spelling()


def test_a_file_says_how_calls_are_spelled(world: World) -> None:
    text = '{"ota_prefix": "/v3", "plan": {"method": "POST", "place": "form", "keys": ["pk", "dk"]}}'
    assert from_file(world, text) == Spelling("/v3", Call("POST", "form", ("pk", "dk")))


@pytest.mark.parametrize(
    "text",
    [
        '{"ota_prefix": "v3"}',
        '{"ota_prefix": "/v3/"}',
        '{"ota_prefix": "/{x}"}',
        '{"plan": {"method": "PATCH"}}',
        '{"plan": {"place": "header"}}',
        '{"plan": {"keys": ["pk"]}}',
        '{"plan": {"mood": 1}}',
        '{"auto_answer": true}',
        '{"mood": 1}',
    ],
)
def test_a_file_that_is_not_right_is_said(world: World, text: str) -> None:
    with pytest.raises(WorldError, match=r"spelling\.json is not right: "):
        from_file(world, text)

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest

from ble_ota.cloud import ENDPOINTS, override
from ble_ota.cloud import contract as contract_module
from ble_ota.cloud.contract import Call, Node, Point, calls, document, operations
from ble_ota.settings import Settings
from tests.contract.points import Said, every_point

REQUESTS = [said for said in every_point() if said.sent]
INFERRED = [said for said in every_point() if said.says["level"] != "documented"]
SAMPLES: dict[str, object] = {"path": "/x", "method": "PUT", "parameters": "json", "wrapped_in": "deviceList"}


def read(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Call:
    """What the operation `getBatchUpgradeDetails` is read as, with some of it changed."""
    contract: Node = copy.deepcopy(document())
    item = contract["paths"]["/v2/quecota/enduserapi/v2/getBatchUpgradeDetails"]
    item["post"] |= changed
    monkeypatch.setattr(contract_module, "document", lambda: {"paths": {"/here": item}})
    [call] = calls.__wrapped__()
    return call


def body(schema: Node, kind: str = "application/json") -> Node:
    return {"content": {kind: {"schema": schema}}}


# What the file says


def test_every_operation_is_an_endpoint() -> None:
    assert [operation["operationId"] for _, _, operation in operations(document())] == list(ENDPOINTS)


@pytest.mark.parametrize("call", calls(), ids=lambda call: call.name)
def test_no_two_words_of_a_call_are_one(call: Call) -> None:
    [operation] = [o for _, _, o in operations(document()) if o["operationId"] == call.name]
    assert len(call.words) == _words(operation)


def _words(node: Any) -> int:
    """How many `x-word`s there are below a node, and how many words without a name."""
    if isinstance(node, list):
        return sum(map(_words, node))
    if not isinstance(node, dict):
        return 0
    return ("x-word" in node) + len(node.get("x-unsent-words", ())) + sum(map(_words, node.values()))


@pytest.mark.parametrize("call", calls(), ids=lambda call: call.name)
def test_no_two_names_on_the_wire_are_one(call: Call) -> None:
    assert [name for name, times in Counter(filter(None, call.words.values())).items() if times > 1] == []


@pytest.mark.parametrize("said", INFERRED, ids=lambda said: said.at)
def test_what_is_not_documented_says_why_and_how_to_settle_it(said: Said) -> None:
    assert said.says["why"]
    assert said.says["settle"]


@pytest.mark.parametrize("said", [s for s in INFERRED if s.sent], ids=lambda said: said.at)
def test_what_is_inferred_of_a_request_has_a_setting(said: Said) -> None:
    assert said.says["setting"]


@pytest.mark.parametrize("said", [s for s in INFERRED if "setting" in s.says], ids=lambda said: said.at)
def test_a_setting_that_is_named_exists(said: Said) -> None:
    first, *rest = said.says["setting"].split(".")
    assert first in Settings.model_fields
    if rest:
        name, key, *word = rest
        named = {**ENDPOINTS[name].fields, word[0] if word else "product_key": "other"}
        sample = named if key == "fields" else SAMPLES[key]
        assert getattr(override(ENDPOINTS, {name: {key: sample}})[name], key) == sample


@pytest.mark.parametrize("said", [s for s in REQUESTS if "endpoints." in s.says.get("setting", "")], ids=lambda s: s.at)
def test_a_setting_is_that_of_the_point_it_stands_at(said: Said) -> None:
    assert said.says["setting"] == f"endpoints.{said.at}"


def test_the_platforms_own_description_can_be_found() -> None:
    groups = ("EnduserServiceEnduserAPI", "BindingServiceEnduserAPI", "OTAServiceEnduserAPI")
    assert all(group in document()["info"]["description"] for group in groups)


# How it is read


def test_the_file_is_read_once() -> None:
    assert document() is document()


def test_a_word_without_a_name_is_kept() -> None:
    [call] = [call for call in calls() if call.name == "setAutoUpgradeSwitch"]
    assert call.words == {"product_key": "productKey", "device_key": "deviceKey", "switch": ""}


def test_what_has_no_word_is_not_sent() -> None:
    [call] = [call for call in calls() if call.name == "deviceInfo"]
    assert call.words == {"product_key": "pk", "device_key": "dk"}


def test_a_body_that_is_a_list_is_about_many_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    call = read(monkeypatch)
    assert (call.path, call.method, call.parameters, call.lists, call.wrapped_in) == ("/here", "POST", "json", True, "")


def test_a_list_in_an_object_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"type": "object", "properties": {"plan": {"x-word": "plan_id"}}}
    wrapped = {"type": "object", "properties": {"deviceList": {"type": "array", "items": record}}}
    call = read(monkeypatch, requestBody=body(wrapped))
    assert (call.lists, call.wrapped_in, call.words) == (True, "deviceList", {"plan_id": "plan"})


def test_an_object_with_one_property_that_is_no_list_is_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    call = read(monkeypatch, requestBody=body({"type": "object", "properties": {"plan": {"x-word": "plan_id"}}}))
    assert (call.lists, call.words) == (False, {"plan_id": "plan"})


def test_a_form_is_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    form = body({"type": "object", "properties": {}}, "application/x-www-form-urlencoded")
    assert read(monkeypatch, requestBody=form).parameters == "form"


def test_what_stands_beside_a_parameter_is_a_point_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"level": "third-party", "why": "a demo", "settle": "ask", "setting": "cloud"}
    record = {"type": "object", "properties": {"plan": {"x-word": "plan_id", "x-evidence": said}}}
    points = read(monkeypatch, **{"requestBody": body(record), "x-evidence": {}}).points
    assert points == (Point("plan", "third-party", "a demo", "ask", "cloud"),)


def test_parameters_in_two_places_are_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="getBatchUpgradeDetails: parameters are sent in one place"):
        read(monkeypatch, parameters=[{"name": "a", "in": "query", "x-word": "plan_id"}])


def test_a_word_in_a_header_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="getBatchUpgradeDetails: parameters are sent in one place"):
        read(monkeypatch, parameters=[{"name": "a", "in": "header", "x-word": "plan_id"}])


def test_a_level_that_is_none_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="`rumour` is no level"):
        read(monkeypatch, **{"x-evidence": {"path": {"level": "rumour"}}})

"""The table of inferred points in README.md names every one of the contract file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.cloud import ENDPOINTS
from tests.contract.points import Said, every_point

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
TABLE = README.split("## Settings that rest on inference")[1].split("\n## ")[0]
ROWS = [line.split(" | ") for line in TABLE.splitlines() if line.startswith("| ")][1:]
WORDS = {"NotAnswered": "HTTP status"}
INFERRED = [said for said in every_point() if said.says["level"] != "documented"]


def named(said: Said) -> list[list[str]]:
    """The rows that name a point: by its setting where it has one, else by what it is about."""
    setting = said.says.get("setting", "")
    if setting.startswith("endpoints."):
        _, endpoint, key = setting.split(".", 2)
        return [row for row in ROWS if f"`endpoints.{endpoint}." in row[0] and f".{key}`" in row[0]]
    if setting:
        return [row for row in ROWS if f"`{setting}" in row[0]]
    words = WORDS.get(said.at) or said.at.replace("answer of ", "answer of `") + "`"
    return [row for row in ROWS if words in row[0]]


@pytest.mark.parametrize("said", INFERRED, ids=lambda said: said.at)
def test_an_inferred_point_is_named(said: Said) -> None:
    assert named(said)


@pytest.mark.parametrize("said", INFERRED, ids=lambda said: said.at)
def test_an_inferred_point_says_how_to_settle_it(said: Said) -> None:
    assert all(len(row) == 4 and row[3].strip(" |") for row in named(said))


@pytest.mark.parametrize("row", [row for row in ROWS if "/v2/" in row[1]], ids=lambda row: row[0])
def test_a_default_is_the_one_in_force(row: list[str]) -> None:
    endpoint = ENDPOINTS[row[0].split(".")[1]]
    assert f"`{endpoint.method} {endpoint.path}`" in row[1]


def test_every_row_is_about_something_that_is_not_settled() -> None:
    endpoints = {row[0] for row in ROWS if "`endpoints." in row[0]}
    assert endpoints == {row[0] for said in INFERRED for row in named(said) if "`endpoints." in row[0]}

from __future__ import annotations

from pathlib import PurePosixPath
from types import MappingProxyType

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from ble_ota.errors import StorageError
from ble_ota.ledger.schema import KEY_MAX, WHOLE_MAX, canonical, event, fit, metadata, plain, report, run

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda t: t.name)
def test_every_table_and_index_compiles_for_postgresql(table: sa.Table) -> None:
    made: list[sa.ClauseElement] = [CreateTable(table), *(CreateIndex(i) for i in table.indexes)]
    for statement in made:
        assert "CREATE" in str(
            statement.compile(
                dialect=postgresql.dialect()  # type: ignore[no-untyped-call]
            )
        )


@given(JSON)
def test_plain_values_stay_as_they_are(value: object) -> None:
    assert canonical(plain(value)) == canonical(value)


def test_the_order_of_keys_does_not_change_the_canonical_text() -> None:
    assert canonical({"b": 1, "a": {"d": 2, "c": 3}}) == canonical({"a": {"c": 3, "d": 2}, "b": 1})


def test_what_json_does_not_know_becomes_its_text() -> None:
    assert plain({"at": PurePosixPath("a/b"), 1: (2,)}) == {"at": "a/b", "1": [2]}


def test_a_mapping_of_another_kind_stays_a_mapping() -> None:
    assert plain(MappingProxyType({"a": MappingProxyType({"b": 1})})) == {"a": {"b": 1}}


def test_text_is_fitted_as_it_will_be_stored() -> None:
    told = {"id": "x" * 300, "name": "\x1b[31mred\ud800"}
    fitted = fit(run, told)
    assert fitted == {"id": "x" * (KEY_MAX - 1) + "…", "name": "[31mred"}
    assert fit(run, fitted) == fitted


def test_a_whole_time_becomes_the_real_number_that_is_read_back() -> None:
    assert canonical(fit(event, {"at_s": 5})["at_s"]) == "5.0"


def test_nothing_stays_nothing() -> None:
    assert fit(report, {"plan_ends_at_s": None}) == {"plan_ends_at_s": None}


def test_a_plan_beyond_the_bound_is_refused_by_its_name() -> None:
    with pytest.raises(StorageError, match="`plan` of the run is larger"):
        fit(run, {"plan": {"notes": "x" * WHOLE_MAX}})

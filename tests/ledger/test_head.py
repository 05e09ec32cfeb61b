from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.errors import UsageError
from ble_ota.ledger import Head

HASH = "0af9" * 16


@given(st.integers(1, 10**18 - 1), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_head_is_read_as_it_is_written(count: int, hash: str) -> None:  # noqa: A002 -- its name
    assert Head.parse(f" {Head(count, hash)}\n") == Head(count, hash)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "3", f"3{HASH}", f":{HASH}", f"0:{HASH}", f"-1:{HASH}", f"1.0:{HASH}", f"1{'0' * 18}:{HASH}"),
        *(f"3:{HASH[1:]}", f"3:{HASH}0", f"3:{HASH.upper()}", f"\u0663:{HASH}", f"3 :{HASH}"),
    ],
)
def test_what_is_no_head_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="COUNT:HASH") as caught:
        Head.parse(text)
    assert "history verify" in caught.value.hint

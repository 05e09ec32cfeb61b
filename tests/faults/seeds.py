"""How many seeds a test takes: some in CI, the whole with `FAULTS=whole`, or as many as `FAULT_SEEDS` says."""

from __future__ import annotations

import os

import pytest


def blocks(some: int, *, whole: int, of: int) -> pytest.MarkDecorator:
    """Give a test the parameter `block`, a range of seeds: `of` seeds at a time, so that a failure ends one block."""
    most = int(os.environ.get("FAULT_SEEDS") or (whole if os.environ.get("FAULTS") == "whole" else some))
    ranges = [range(start, min(start + of, most)) for start in range(0, most, of)]
    return pytest.mark.parametrize("block", ranges, ids=[f"{r.start}-{r.stop - 1}" for r in ranges])

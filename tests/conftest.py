"""What all tests share."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from hypothesis import settings

# Fixed examples in CI, fresh ones at a desk; a failing one is printed with what it takes to see it again.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("desk", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# A shell ignores SIGINT in what it starts with `&`, and a process of ours that begins so goes on ignoring it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# looptime asks for the current event loop before the first plain test; with none set it makes none that leaks.
asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let virtual time move on sooner: looptime's own 42 idle rounds before each step are half of what a test costs."""
    for item in items:
        if any(item.iter_markers("looptime")):
            item.add_marker(pytest.mark.looptime(noop_cycles=2))
